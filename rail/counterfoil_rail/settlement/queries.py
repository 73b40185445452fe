"""
The named queries of settlement and bank.
"""

# The business day.
FIND_DAY = "SELECT day, statements FROM business_day"
BEGIN_DAYS = "INSERT INTO business_day VALUES (1, ?, ?) ON CONFLICT DO NOTHING"
SET_DAY = "UPDATE business_day SET day = ?"
SET_STATEMENTS = "UPDATE business_day SET statements = ?"

# Every merchant with a batch to settle has a bank account in its currency.
OPEN_ACCOUNTS = """
    INSERT INTO bank_account (merchant_id, acquirer_id, currency)
    SELECT closing.merchant_id, min(acquirer_id), currency
    FROM closing JOIN batch ON batch.id = batch_id
    WHERE state = 'balanced'
    GROUP BY closing.merchant_id, currency
    ON CONFLICT DO NOTHING
"""
ACCOUNTS = """
    SELECT bank_account.id, merchant_id, acquirer_id, currency,
           EXISTS (SELECT 1 FROM closing JOIN batch ON batch.id = batch_id
                   WHERE state = 'balanced' AND closing.merchant_id = bank_account.merchant_id
                     AND batch.currency = bank_account.currency) AS is_due
    FROM bank_account ORDER BY merchant_id, currency
"""
END_CLOSINGS = "UPDATE closing SET state = 'settled' WHERE state = 'balanced'"

# A deposit with everything that stands in the batches closed in balance.
LAST_DEPOSIT_ID = "SELECT ifnull(max(id), 0) FROM deposit"
ADD_DEPOSIT = """
    INSERT INTO deposit (id, reference, merchant_id, currency, day, value_date)
    VALUES (?, ?, ?, ?, ?, ?)
"""
# DE 7 has no year: the one that puts it nearest to the business day is meant.
ADD_ITEMS = """
    INSERT INTO item (deposit_id, entry_id, terminal_id, batch, kind, rrn, brand, last4,
                      transacted_on, approval_code, amount_minor,
                      interchange_minor, scheme_minor, markup_minor)
    SELECT :deposit_id, id, terminal_id, number, kind, rrn, brand, last4,
           date(CASE WHEN :year || month_day > :latest THEN :year - 1
                     WHEN :year || month_day < :earliest THEN :year + 1
                     ELSE :year END || month_day),
           approval_code, iif(kind = 'REFUND', -amount_minor, amount_minor),
           fee_minor('interchange', brand, kind, amount_minor),
           fee_minor('scheme', brand, kind, amount_minor),
           fee_minor('markup', brand, kind, amount_minor)
    FROM (SELECT entry.id, rtrim(batch.terminal_id) AS terminal_id, number, entry.rrn, brand, last4,
                 '-' || substr(entry.sent_at, 1, 2) || '-' || substr(entry.sent_at, 3, 2)
                     AS month_day,
                 CASE WHEN entry.kind = 'credit' THEN 'REFUND'
                      WHEN charge.kind = 'authorization' THEN 'CAPTURE' ELSE 'SALE' END AS kind,
                 iif(entry.kind = 'debit', ifnull(approval_code, ''), '') AS approval_code,
                 entry.amount_minor - ifnull((SELECT sum(undo.amount_minor) FROM entry AS undo
                                              WHERE undo.reverses = entry.id), 0) AS amount_minor
          FROM closing
          JOIN batch ON batch.id = closing.batch_id
          JOIN entry ON entry.batch_id = batch.id
          JOIN charge ON charge.id = entry.charge_id
          WHERE closing.state = 'balanced' AND closing.merchant_id = :merchant_id
            AND batch.currency = :currency AND entry.kind IN ('debit', 'credit')
          ORDER BY batch.id, entry.id)
    WHERE amount_minor > 0
"""
ADD_ADJUSTMENT = """
    INSERT INTO adjustment (deposit_id, kind, amount_minor, text) VALUES (?, ?, ?, ?)
"""
SUM_ITEMS = """
    SELECT count(*), ifnull(sum(max(amount_minor, 0)), 0), ifnull(-sum(min(amount_minor, 0)), 0),
           ifnull(sum(interchange_minor + scheme_minor + markup_minor), 0)
    FROM item WHERE deposit_id = ?
"""
SUM_ADJUSTMENTS = """
    SELECT count(*), ifnull(sum(amount_minor), 0) FROM adjustment WHERE deposit_id = ?
"""
SAVE_SUMS = """
    UPDATE deposit SET items_number = ?1, gross_minor = ?2, refunds_minor = ?3, fees_minor = ?4,
                       adjustments_minor = ?5, net_minor = ?2 - ?3 - ?4 + ?5
    WHERE id = ?6
"""
DROP_DEPOSIT = "DELETE FROM deposit WHERE id = ?"

# Mistakes in a report: each changes the item given.
FIRST_ITEM = "SELECT id FROM item WHERE deposit_id = ? ORDER BY kind = 'REFUND', id LIMIT 1"
DROP_ITEM = "DELETE FROM item WHERE id = ?"
_COPY_ITEM = """
    INSERT INTO item (deposit_id, terminal_id, batch, kind, rrn, brand, last4, transacted_on,
                      approval_code, amount_minor, interchange_minor, scheme_minor, markup_minor)
    SELECT deposit_id, terminal_id, batch, kind, {rrn}, brand, last4, transacted_on,
           approval_code, amount_minor, interchange_minor, scheme_minor, markup_minor
    FROM item WHERE id = ?
"""
REPEAT_ITEM = _COPY_ITEM.format(rrn="rrn")
INVENT_ITEM = _COPY_ITEM.format(rrn="printf('999%09d', id % 1000000000)")
RAISE_ITEM = """
    UPDATE item SET amount_minor = amount_minor + iif(amount_minor < 0, -100, 100) WHERE id = ?
"""
SHIFT_ITEM = "UPDATE item SET transacted_on = date(transacted_on, '+1 day') WHERE id = ?"
MOVE_ITEM = "UPDATE item SET batch = '999999' WHERE id = ?"

# Reports.
ADD_REPORT = """
    INSERT INTO report (merchant_id, day, acquirer_id, mistakes, due_day) VALUES (?, ?, ?, ?, ?)
"""
REPORTS_TO_WRITE = """
    SELECT merchant_id, day, acquirer_id, mistakes FROM report
    WHERE is_written = 0 AND due_day < ? ORDER BY day, merchant_id
"""
REPORT_IS_WRITTEN = "UPDATE report SET is_written = 1 WHERE merchant_id = ? AND day = ?"
DEPOSITS_OF_REPORT = """
    SELECT id, reference, currency, gross_minor, refunds_minor, fees_minor, adjustments_minor,
           net_minor, value_date, items_number
    FROM deposit WHERE merchant_id = ? AND day = ? ORDER BY currency
"""
ITEMS_OF_DEPOSIT = """
    SELECT terminal_id, batch, kind, rrn, approval_code, last4, brand, amount_minor,
           interchange_minor, scheme_minor, markup_minor, transacted_on
    FROM item WHERE deposit_id = ? ORDER BY id
"""
ADJUSTMENTS_OF_DEPOSIT = """
    SELECT kind, amount_minor, text FROM adjustment WHERE deposit_id = ? ORDER BY id
"""

# The bank books a deposit on its value date, and a return when its day has come.
DEPOSITS_DUE = """
    SELECT deposit.id, bank_account.id, net_minor
    FROM deposit JOIN bank_account USING (merchant_id, currency)
    WHERE state = 'pending' AND value_date <= ? ORDER BY deposit.id
"""
ADD_BOOKING = """
    INSERT INTO booking (account_id, deposit_id, day, is_return, amount_minor)
    VALUES (?, ?, ?, ?, ?)
"""
SET_STATE = "UPDATE deposit SET state = ? WHERE id = ?"
RETURN_DEPOSITS = """
    UPDATE deposit SET state = 'returned'
    WHERE id IN (SELECT deposit_id FROM booking WHERE day = ? AND is_return)
"""

# A statement tells one account's bookings of one day.
SUM_OF_DAY = "SELECT ifnull(sum(amount_minor), 0) FROM booking WHERE account_id = ? AND day = ?"
BALANCES = "SELECT id, balance_minor, statements_number FROM bank_account ORDER BY id"
SAVE_BALANCE = "UPDATE bank_account SET balance_minor = ?, statements_number = ? WHERE id = ?"
ADD_STATEMENT = """
    INSERT INTO statement (account_id, day, number, opening_minor, closing_minor, forms, mistakes,
                           made_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
STATEMENTS_TO_WRITE = """
    SELECT account_id, merchant_id || currency, merchant_id, currency, day, number,
           opening_minor, closing_minor, forms, mistakes, made_at
    FROM statement JOIN bank_account ON bank_account.id = account_id
    WHERE is_written = 0 ORDER BY day, account_id
"""
STATEMENT_IS_WRITTEN = "UPDATE statement SET is_written = 1 WHERE account_id = ? AND day = ?"
BOOKINGS_OF_DAY = """
    SELECT booking.id, amount_minor, is_return, reference
    FROM booking JOIN deposit ON deposit.id = deposit_id
    WHERE account_id = ? AND booking.day = ? ORDER BY booking.id
"""

# What people and tests ask.
LIST_DEPOSITS = """
    SELECT id, reference, merchant_id AS merchant, currency, day AS business_date,
           gross_minor AS gross, refunds_minor AS refunds, fees_minor AS fees,
           adjustments_minor AS adjustments, net_minor AS net, value_date, state
    FROM deposit ORDER BY id
"""
LIST_ITEMS = """
    SELECT rrn, kind, terminal_id, batch, amount_minor, interchange_minor, scheme_minor,
           markup_minor, interchange_minor + scheme_minor + markup_minor AS fees_minor
    FROM item WHERE deposit_id = ? ORDER BY id
"""
LIST_ADJUSTMENTS = """
    SELECT kind, amount_minor, text FROM adjustment WHERE deposit_id = ? ORDER BY id
"""
LIST_BATCHES = """
    SELECT terminal_id, currency, number, merchant_id,
           CASE WHEN state IS NOT NULL THEN state WHEN closed_at IS NULL THEN 'open'
                ELSE 'ended' END AS state,
           day AS business_date, opened_at, closed_at,
           debits_number, debits_reversal_number, credits_number, credits_reversal_number,
           authorizations_number,
           debits_minor, debits_reversal_minor, credits_minor, credits_reversal_minor,
           debits_minor - debits_reversal_minor - credits_minor + credits_reversal_minor
               AS net_minor
    FROM batch LEFT JOIN closing ON batch_id = batch.id ORDER BY batch.id
"""
