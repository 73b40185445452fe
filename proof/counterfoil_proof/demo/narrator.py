"""
The narrator: says each step of a payment as it happens, from what the programs log.
"""

import json
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from counterfoil_proof.demo.panel import Steps

_SHOWN = "2 3 4 7 11 37 38 39 41 42 49 50 60 66 74 76 77 86 88 89 90 97"
FIELDS_SHOWN = tuple(_SHOWN.split())
NETWORK_MANAGEMENT = ("0800", "0810")

NAMES = {
    "0100": "authorization",
    "0110": "answer to the authorization",
    "0200": "sale",
    "0210": "answer to the sale",
    "0220": "capture or refund",
    "0221": "capture or refund, repeated",
    "0230": "answer to the advice",
    "0420": "reversal",
    "0421": "reversal, repeated",
    "0430": "answer to the reversal",
    "0500": "the batch's totals",
    "0501": "the batch's totals, repeated",
    "0510": "the host's own totals",
    "0320": "an item of the batch",
    "0330": "answer to the item",
    "0520": "the batch's totals after the upload",
    "0530": "the host's last word on the batch",
}


class Narrator:
    """
    Writes the story to *stream*, and keeps its *steps* for the side panel.

    `on_line` takes the lines of all programs.
    """

    def __init__(self, stream: TextIO, steps: Steps | None = None) -> None:
        self.steps = steps or Steps()
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

    def on_line(self, program: str, line: str) -> None:
        """
        Tell the step that *line* of *program* stands for, if it stands for one.
        """
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and (told := _told(program, event)):
            self.step(*told)

    def say(self, text: str = "", style: str = "") -> None:
        """
        Write one line.
        """
        self._console.print(Text(text, style=style))

    def step(self, who: str, what: str, milliseconds: float | None = None, note: str = "") -> None:
        """
        Write one step: who did what, how long it took, and a masked message below it.
        """
        self.steps.add(who, what, milliseconds, note)
        line = Text("  ")
        line.append(f"{who:<9}", style="bold cyan")
        line.append(what)
        if milliseconds is not None:
            line.append(f"  {milliseconds:.1f} ms", style="green")
        self._console.print(line)
        if note:
            self._console.print(Text(f"           {note}", style="dim"))

    def problem(self, text: str) -> None:
        """
        Write what went wrong.
        """
        self._console.print(Text(text, style="bold red"))


def _told(program: str, event: dict[str, Any]) -> tuple[str, str, float | None, str] | None:
    name = event.get("event")
    took = event.get("milliseconds")
    if name == "payment.intended" and not event["won"]:
        return program, "a repeat: this key has its payment; nothing new was made", took, ""
    if name == "payment.intended":
        return program, f"intent committed, RRN {event['rrn']}; nothing was sent yet", took, ""
    if name == "network.sent" and event["mti"] not in NETWORK_MANAGEMENT:
        return program, f"→ acquirer  {_message(event)}", None, _fields(event)
    if name == "network.answered" and event["mti"] not in NETWORK_MANAGEMENT:
        return program, f"← acquirer  {_message(event)}", took, _fields(event)
    if name == "payment.concluded":
        code = event.get("response_code") or "none"
        return program, f"outcome committed: {event['state']} (response {code})", took, ""
    if name == "payment.confirmed":
        session = "the same session" if event["on_session"] else "another session"
        return program, f"acknowledged on {session}; confirmation number committed", took, ""
    if name == "order_placed":
        where = {"shop": "here", "page": "on the payment page"}[event["way"]]
        return "shop", f"order {event['order']} is in the books, to be paid {where}", None, ""
    if name == "order_decided":
        return "shop", f"order {event['order']} is {event['status'].replace('_', ' ')}", None, ""
    if name == "mail_sent":
        whom = "merchant" if event["kind"] == "mail_merchant" else "customer"
        return program, f"receipt mailed to the {whom}", None, ""
    if name == "reversal_owed":
        return "worker", f"reversal owed for RRN {event['rrn']} ({event['cause']})", None, ""
    return None


def _message(event: dict[str, Any]) -> str:
    return f"{event['mti']} {NAMES.get(event['mti'], '')}".rstrip()


def _fields(event: dict[str, Any]) -> str:
    fields = event.get("fields", {})
    return "  ".join(f"{number}={fields[number]}" for number in FIELDS_SHOWN if number in fields)


def to(stream: TextIO = sys.stdout) -> Narrator:
    """
    Return a narrator for *stream*.
    """
    return Narrator(stream)
