"""
A dialect: one acquirer's variant of the message, as data.

`dialects/NAME.json` is the profile, and names the field table beside it. It is checked as
a whole when it is loaded, so that a field that is matched or echoed but absent from the
table is an error at the start and not in the middle of a payment.
"""

import importlib.resources

import msgspec

from counterfoil.network.codec import Codec
from counterfoil.network.encodings import CODE_PAGE, EncodingName, encoding_named
from counterfoil.network.fields import FieldTable, TableError, load_table
from counterfoil.network.framing import Framing

DEFAULT_DIALECT = "gw87"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A dialect as its file spells it.

    Attributes:
        match: Fields that find the request to an answer, besides the MTI's class.
        match_network_management: The same for 08xx messages.
        echo: Fields that an answer must give back unchanged when the request had them.
    """

    name: str
    fields: str
    match: tuple[int, ...]
    match_network_management: tuple[int, ...]
    echo: tuple[int, ...]
    encoding: EncodingName = "ascii_bin"
    code_page: str = CODE_PAGE
    framing: Framing = Framing()


class Dialect(msgspec.Struct, frozen=True):
    """
    A dialect ready for use: its profile, its field table and its codec.
    """

    profile: Profile
    table: FieldTable
    codec: Codec


def load_dialect(name: str = DEFAULT_DIALECT, *, encoding: EncodingName | None = None) -> Dialect:
    """
    Load the dialect *name* from the package; *encoding* replaces the profile's own.

    Raises:
        TableError: There is no such dialect, or it contradicts itself.
    """
    try:
        profile = msgspec.json.decode(_package_data(f"{name}.json"), type=Profile)
        chosen = encoding_named(encoding or profile.encoding, code_page=profile.code_page)
    except FileNotFoundError:
        raise TableError(f'There is no dialect "{name}".') from None
    except (msgspec.DecodeError, ValueError) as error:
        raise TableError(f'Dialect "{name}": {error}') from None
    table = load_table(_package_data(profile.fields))
    used = {*profile.match, *profile.match_network_management, *profile.echo}
    if missing := sorted(used - table.keys()):
        raise TableError(f'Dialect "{name}" uses fields that its table lacks: {missing}.')
    return Dialect(profile, table, Codec(table, chosen))


def default_table() -> FieldTable:
    """
    Return the field table of the default dialect.
    """
    return load_table(_package_data(f"{DEFAULT_DIALECT}.fields.json"))


def _package_data(file_name: str) -> bytes:
    """
    Return a file that is shipped beside this module.
    """
    return (importlib.resources.files(__package__) / "dialects" / file_name).read_bytes()
