"""
The inventory of scripts and styles: what a page of ours may load, with hash and reason.

PCI DSS 6.4.3 asks for it on payment pages; it holds every file of both origins. The hashes stand
in each tag as `integrity`, so that a browser refuses a file of which one byte was changed. They
come from this list and never from the file itself: a file that was tampered with would agree
with itself. `make inventory` writes it anew.
"""

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
FILE = HERE / "inventory.json"
STATIC = HERE.parent / "web" / "static"
PATH = "/static/"
SUFFIXES = (".js", ".css")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """
    One file: its name and SHA-384 (as in `integrity`), the templates that load it, and why.
    """

    file: str
    integrity: str
    loaded_by: tuple[str, ...]
    why: str

    @property
    def path(self) -> str:
        """
        Where browsers fetch it.
        """
        return PATH + self.file

    @property
    def is_script(self) -> bool:
        """
        Whether it runs.
        """
        return self.file.endswith(".js")

    @property
    def on_payment_pages(self) -> bool:
        """
        Whether a payment page loads it.
        """
        return any(is_of_payment_pages(each) for each in self.loaded_by)


def is_of_payment_pages(template: str) -> bool:
    """
    Return whether *template* makes pages of the payment pages' origin.
    """
    return template == "pay.html" or template.startswith("pay-")


@cache
def inventory() -> dict[str, Listed]:
    """
    Return every file that a page may load, by its name.
    """
    listed = msgspec.json.decode(FILE.read_bytes(), type=list[Listed])
    return {each.file: each for each in listed}


def of_payment_pages() -> list[Listed]:
    """
    Return what payment pages may load, scripts first.
    """
    found = [each for each in inventory().values() if each.on_payment_pages]
    return sorted(found, key=lambda each: (not each.is_script, each.file))


def integrity_of(content: bytes) -> str:
    """
    Return the hash of *content* as a tag's `integrity` says it.
    """
    return f"sha384-{b64encode(hashlib.sha384(content).digest()).decode()}"


def not_as_listed(folder: Path = STATIC) -> list[str]:
    """
    Return the files in *folder* that are not as the inventory says, in it only, or missing in it.
    """
    lie_there = {each.name: each for each in folder.iterdir() if each.suffix in SUFFIXES}
    return sorted(
        name
        for name in inventory().keys() | lie_there.keys()
        if name not in inventory()
        or name not in lie_there
        or integrity_of(lie_there[name].read_bytes()) != inventory()[name].integrity
    )
