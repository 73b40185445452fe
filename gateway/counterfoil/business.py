"""
What is known of a merchant's business, and what each value looks like.

The acquirer's messages (DE 43), receipts and reports carry these values: the command line and the
pages refuse the same ones, in the same words.
"""

import re
import zoneinfo
from datetime import time
from functools import cache
from types import MappingProxyType

from counterfoil.countries import COUNTRIES
from counterfoil.lines import unseen_in

STEP_UP_WHOLE_MAX = 1_000_000  # As the constraint `merchants_step_up_in_range` has it.
ACKNOWLEDGE_SECONDS = range(5, 3601)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322, 3.2.3.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1035, 2.3.1.
EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+\Z"

# What each value looks like, and the words for it.
FORMS = {
    "name": (r".{1,64}", "1 to 64 characters of one line"),
    "city": (r".{1,64}", "1 to 64 characters of one line"),
    "region": (r"[A-Za-z0-9]{0,3}", "up to 3 letters or digits: OR"),
    "country": (r"[A-Z]{2}", "the two letters of a country in ISO 3166: US"),
    "category_code": (r"[0-9]{4}", "the four digits of the MCC: 5999"),
    "email": (rf"(?=.{{6,254}}\Z){EMAIL}", "a bare address, such as owner@shop.example"),
    "terminal_id": (r"[ -~]{8}", "eight printable ASCII characters (DE 41)"),
    "card_acceptor_id": (r"[ -~]{1,15}", "1 to 15 printable ASCII characters (DE 42)"),
}
# Of the countries whose addresses carry them: by the postal services (USPS, Publication 28,
# appendix B, with the forces overseas; Canada Post, Addressing Guidelines).
_STATES = """
AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY
NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI FM MH PW AA AE AP
"""
_PROVINCES = "AB BC MB NB NL NS NT NU ON PE QC SK YT"
REGIONS = MappingProxyType(
    {
        "US": (frozenset(_STATES.split()), "a state: OR"),
        "CA": (frozenset(_PROVINCES.split()), "a province or territory: ON"),
    }
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def fault_of(name: str, text: str) -> str | None:
    """
    Return why *text* cannot be the *name* of a business, in words; None if it can.
    """
    if fits(name, text):
        return None
    return unseen_in(text) or f"Write {FORMS[name][1]}."


def fault_of_region(region: str, country: str) -> str | None:
    """
    Return why *country* has no such region, in words; None if it has, or nobody here knows.
    """
    if not region or country not in REGIONS:
        return None
    known, words = REGIONS[country]
    if region.upper() in known:
        return None
    return f"Write the two letters of {words}."


def fits(name: str, text: str) -> bool:
    """
    Return whether the database, the acquirer's message and a receipt can carry *text* as *name*.
    """
    if name == "country" and text not in COUNTRIES:
        return False
    return text.isprintable() and re.fullmatch(FORMS[name][0], text) is not None


@cache
def timezones() -> frozenset[str]:
    """
    Return the names of the IANA database's zones: read once, it stands in hundreds of files.
    """
    return frozenset(zoneinfo.available_timezones())


def is_timezone(name: str) -> bool:
    """
    Return whether the IANA database has a zone of this name.
    """
    return name in timezones()


def read_cutoff(text: str) -> time | None:
    """
    Return the time of day of `23:00`; None when it is none.
    """
    return time.fromisoformat(text) if _TIME.fullmatch(text) else None
