"""
Two mails for each confirmation, whatever happens to the one who sends them.
"""

import os
import signal

import asyncpg

from .agreement import agreed
from .locks import WAITING, statements_wait
from .merchants import CUSTOMER, Merchant, card
from .sandboxes import eventually


async def test_f32_mails_wait_for_a_mailbox_that_is_down(hasty_merchant: Merchant) -> None:
    """The mail server is away and the mailer is killed: one mail to each when both are back."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    mailer = sandbox.log("mailer")
    await sandbox.stop("mailbox")
    async with merchant.client() as client:
        await client.sale(4200, "USD", card(), order="mail-1", customer_email=CUSTOMER)
        await mailer.says("mail_failed", times=2)
        await sandbox.kill("mailer")
        await sandbox.start("mailbox")
    await agreed(merchant)

    mails = await sandbox.mails("for order mail-1")
    assert sorted(each["to"] for each in mails) == sorted([[CUSTOMER], [merchant.email]])


async def test_f32_a_mail_that_was_taken_and_not_noted_comes_again_as_itself(
    hasty_merchant: Merchant,
) -> None:
    """Killed between the mail server's yes and our note of it: the repeat is recognisable."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    async with sandbox.database() as database:
        await _taken_and_not_noted(merchant, "mail-2", database)
        os.kill(sandbox.pid("mailer"), signal.SIGKILL)
        await database.fetch(f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting")
    await agreed(merchant)

    mails = await sandbox.mails("for order mail-2")
    for recipient in (CUSTOMER, merchant.email):
        copies = [each for each in mails if each["to"] == [recipient]]
        assert len(copies) == 2
        assert len({each["message_id"] for each in copies}) == 1


async def test_f32_a_mail_that_was_taken_is_noted_when_the_database_is_back(
    merchant: Merchant,
) -> None:
    """PostgreSQL is killed between the mail server's yes and our note: nobody gets a second one."""
    sandbox = merchant.sandbox
    async with sandbox.database() as database:
        await _taken_and_not_noted(merchant, "mail-3", database)
        await sandbox.kill_database()
    await agreed(merchant)

    assert len(await sandbox.mails("for order mail-3")) == 2


async def _taken_and_not_noted(
    merchant: Merchant, order: str, database: asyncpg.Connection
) -> None:
    """
    Sell, and let the mail server take both mails while *database* holds the lock of their rows.
    """
    sandbox = merchant.sandbox
    mailbox = sandbox.pid("mailbox")
    os.kill(mailbox, signal.SIGSTOP)
    try:
        async with merchant.client() as client:
            await client.sale(4200, "USD", card(), order=order, customer_email=CUSTOMER)
        rows = "FROM outbox WHERE merchant_id = $1 AND lease_owner IS NOT NULL"

        async def claimed() -> bool:
            found = await database.fetch(f"SELECT 1 {rows}", merchant.merchant_id)
            return len(found) == 2

        await eventually(claimed, "the mailer is about to send both mails")
        await database.execute("BEGIN")  # Ended with the connection.
        await database.execute(f"SELECT 1 {rows} FOR UPDATE", merchant.merchant_id)
    finally:
        os.kill(mailbox, signal.SIGCONT)
    await statements_wait(sandbox, 2)  # The mailer tries to note what was taken.
