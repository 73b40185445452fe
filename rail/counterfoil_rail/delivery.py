"""
The last step of a message: its answer leaves, unless a fault befalls it.

Called only after the books are durable. Faults are for tests; without one armed an
answer is framed and sent with the others of its turn.
"""

import asyncio

from counterfoil_rail.dialects import Fields
from counterfoil_rail.faults import Faults
from counterfoil_rail.link import Link
from counterfoil_rail.message import Answer, Request, answer_fields

STAN_MAX = 999_999


def deliver(link: Link, request: Request, answer: Answer, faults: Faults) -> str:
    """
    Send *answer* on *link*, or do what an armed fault says; return which it was.
    """
    if request.is_end_of_day:
        if request.function != "0320" and faults.strikes("silent_to_close"):
            return "silent"
    elif request.is_reversal:
        if faults.strikes("silent_to_reversals"):
            return "silent"
    else:
        fault = _misdeliver(link, request, answer, faults)
        if fault:
            return fault
    link.put(answer_fields(request, answer))
    return answer.note or "answered"


def _misdeliver(link: Link, request: Request, answer: Answer, faults: Faults) -> str:
    """
    Do what a fault of payments, captures and refunds says; "" when none strikes.
    """
    if faults.strikes_after_booking():
        return "silent"
    if faults.strikes("drop_link_after_booking"):
        link.cut("fault")
        return "link_dropped"
    if faults.strikes("wrong_stan_answer"):
        link.put(answer_fields(_under_another_stan(request), answer))
        return "wrong_stan"
    late_seconds = faults.late_seconds()
    if late_seconds:
        late = answer_fields(request, answer)
        asyncio.get_running_loop().call_later(late_seconds, lambda: _send(link, late))
        return "late"
    if faults.strikes("duplicate_answer"):
        said = answer_fields(request, answer)
        link.put(said)
        link.put(said)
        return "answered_twice"
    return ""


def send_echo_test(link: Link, *, transmission: str, stan: int) -> None:
    """
    Ask the gateway whether it is there (0800/301).
    """
    fields = {"t": "0800", "7": transmission, "11": f"{stan:06d}", "70": "301"}
    _send(link, fields | {"33": link.gateway_id})


def _under_another_stan(request: Request) -> Request:
    stan = int(request.key.stan) % STAN_MAX + 1
    fields = request.fields | {"11": f"{stan:06d}"}
    return Request(request.mti, request.function, fields, request.key)


def _send(link: Link, fields: Fields) -> None:
    link.put(fields)
    link.flush()
