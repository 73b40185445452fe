"""
`counterfoil`: the program of operators.

Other packages add commands through the entry point group `counterfoil.commands`; the
sandbox's `demo` comes that way.
"""

import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import cyclopts

from counterfoil import __version__
from counterfoil.plainly import SaidPlainly

EXIT_REFUSED = 2

app = cyclopts.App(
    name="counterfoil",
    help="A self-hosted payment gateway: from a shop's order over ISO 8583 to a confirmation.",
    version=__version__,
)

_OWN = {
    "serve": "counterfoil.cli.serve:serve",
    "worker": "counterfoil.cli.serve:worker",
    "mailer": "counterfoil.cli.serve:mailer",
    "web": "counterfoil.cli.serve:web",
    "user": "counterfoil.cli.user:app",
    "up": "counterfoil.cli.up:up",
    "database": "counterfoil.cli.up:database",
    "migrate": "counterfoil.cli.migrate:migrate",
    "merchant": "counterfoil.cli.merchant:app",
    "key": "counterfoil.cli.key:app",
    "screening": "counterfoil.cli.screening:app",
    "events": "counterfoil.cli.events:events",
    "webhook": "counterfoil.cli.webhook:app",
    "batch": "counterfoil.cli.batch:app",
    "settlement": "counterfoil.cli.settlement:app",
    "report": "counterfoil.cli.report:app",
    "audit": "counterfoil.cli.audit:audit",
    "iso8583": "counterfoil.cli.iso8583:app",
    "doctor": "counterfoil.cli.doctor:doctor",
    "backup": "counterfoil.cli.backup:backup",
    "restore": "counterfoil.cli.backup:restore",
    "quarantine": "counterfoil.cli.quarantine:app",
    "keys": "counterfoil.cli.keys:app",
    "pages": "counterfoil.cli.pages:app",
}

for _name, _place in _OWN.items():
    app.command(_place, name=_name)
for _found in entry_points(group="counterfoil.commands"):
    app.command(_found.value, name=_found.name)


def main() -> None:
    """
    Run the command that the words on the command line ask for.
    """
    if sys.argv[1:2] in ([], ["--help"], ["-h"]):
        _load_all()
    try:
        app(sys.argv[1:], error_formatter=_complaint)
    except SaidPlainly as error:
        sys.stderr.write(f"counterfoil: {error}\n")
        sys.exit(EXIT_REFUSED)


def _complaint(error: cyclopts.CycloptsError) -> object:
    """
    Return what is wrong with a command line; a word that is missing is named as the usage does.
    """
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument and error.target:
        words = _words(error.target)
        missing = error.argument.name.removeprefix("--").upper()
        if missing in words and error.keyword is None:
            command = " ".join(("counterfoil", *(error.command_chain or ()), *words))
            said = f"{missing} is missing, or a word before it: write {command}"
            return cyclopts.CycloptsPanel(said)
    return cyclopts.CycloptsPanel(error)


def _words(command: Callable[..., object]) -> list[str]:
    """
    Return the words that a command takes without an option's name, as its usage writes them.
    """
    return [
        each.name.rstrip("_").replace("_", "-").upper()
        for each in inspect.signature(command).parameters.values()
        if each.kind is not each.KEYWORD_ONLY
    ]


def _load_all() -> None:
    """
    Import every command: the overview says what each one does.
    """
    for name in app:
        app[name]


if __name__ == "__main__":
    main()
