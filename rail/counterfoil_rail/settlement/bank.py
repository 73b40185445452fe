"""
The merchants' bank: books deposits on their value date and makes the statements.

A deposit with a positive net is a credit, one with a negative net a debit. Each banking
day that ends gives one statement an account, also when nothing was booked.
"""

from datetime import date

from counterfoil_rail.faults import Faults
from counterfoil_rail.settlement import queries
from counterfoil_rail.settlement.banking_days import is_banking_day, next_banking_day
from counterfoil_rail.settlement.deposits import Run

STATEMENT_MISTAKES = ("statement_bad_balance", "statement_twice")


def book(run: Run, day: date, faults: Faults) -> None:
    """
    Book what is due on *day*.
    """
    for deposit_id, account_id, net_minor in run(
        queries.DEPOSITS_DUE, (day.isoformat(),)
    ).fetchall():
        state = "debited" if net_minor < 0 else "paid"
        run(queries.SET_STATE, (state, deposit_id))
        where = (account_id, deposit_id, day.isoformat(), 0)
        for amount_minor in _parts(net_minor, faults):
            run(queries.ADD_BOOKING, (*where, amount_minor))
        if net_minor > 0 and faults.strikes("deposit_returned"):
            returned_on = next_banking_day(day).isoformat()
            run(queries.ADD_BOOKING, (account_id, deposit_id, returned_on, 1, -net_minor))
    run(queries.RETURN_DEPOSITS, (day.isoformat(),))


def end_day(run: Run, day: date, faults: Faults, *, forms: str, made_at: str) -> int:
    """
    Make the statements of *day* if it is a banking day; return how many.
    """
    if not is_banking_day(day):
        return 0
    accounts = run(queries.BALANCES).fetchall()
    for account_id, opening_minor, number in accounts:
        (booked_minor,) = run(queries.SUM_OF_DAY, (account_id, day.isoformat())).fetchone()
        closing_minor = opening_minor + booked_minor
        mistakes = " ".join(name for name in STATEMENT_MISTAKES if faults.strikes(name))
        balances = (opening_minor, closing_minor)
        statement = (account_id, day.isoformat(), number + 1, *balances, forms, mistakes, made_at)
        run(queries.ADD_STATEMENT, statement)
        run(queries.SAVE_BALANCE, (closing_minor, number + 1, account_id))
    return len(accounts)


def _parts(net_minor: int, faults: Faults) -> list[int]:
    """
    Return the amounts that are booked: one, unless a mistake says otherwise.
    """
    if net_minor > 1 and faults.strikes("deposit_short"):
        return [net_minor - 1]
    if net_minor > 1 and faults.strikes("deposit_split"):
        return [net_minor // 2, net_minor - net_minor // 2]
    return [net_minor] if net_minor else []
