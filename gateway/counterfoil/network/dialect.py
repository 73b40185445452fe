"""
A dialect: one acquirer's variant of the message, as data.

`dialects/NAME.json`, or a file of the operator's own, is the profile, and names the field
table beside it. It is checked as a whole when it is loaded, so that a field that is matched
or echoed but absent from the table, or a frame that the encoding could break, is an error
at the start and not in the middle of a payment.
"""

import hashlib
import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from counterfoil.network import tlv
from counterfoil.network.codec import Codec
from counterfoil.network.encodings import Encoding, EncodingName, encoding_named
from counterfoil.network.fields import FieldTable, TableError, load_table, with_rows
from counterfoil.network.framing import Framing
from counterfoil.network.mac import MAC_BYTES, MacKey
from counterfoil.network.mac_codec import FIELDS as MAC_FIELDS
from counterfoil.network.mac_codec import MacCodec
from counterfoil.network.profile import Profile

DEFAULT_DIALECT = "gw87"
PROFILE_BYTES_MAX = 100_000
DIGEST_CHARACTERS = 16


class Dialect(msgspec.Struct, frozen=True):
    """
    A dialect ready for use: its profile and what was made of it.

    Attributes:
        tags: The tags of field 48 that are known to it, for masking.
        digest: Names this very content of profile and table, in journals.
        mac_check_value: By which people compare the key of the MAC, if there is one.
    """

    profile: Profile
    table: FieldTable
    codec: Codec | MacCodec
    framing: Framing
    tags: dict[str, tlv.Tag]
    digest: str
    mac_check_value: str | None = None


def load_dialect(
    name: str = DEFAULT_DIALECT,
    *,
    encoding: EncodingName | None = None,
    mac_key: MacKey | None = None,
) -> Dialect:
    """
    Load a dialect: a shipped one by its *name*, or the one in a file, by its path.

    *encoding* replaces the profile's own. Without *mac_key* no message carries a MAC, also
    if the profile wants one: whoever connects must have asked `wants_mac`.

    Raises:
        TableError: There is no such dialect, or it contradicts itself.
    """
    folder, profile = load_profile(name)
    try:
        chosen = encoding_named(encoding or profile.encoding, code_page=profile.code_page)
    except ValueError as error:
        raise TableError(f'Dialect "{name}": {error}') from None
    table = with_rows(load_table(_data(folder, profile.fields, name)), profile.rows)
    framing = profile.framing.framing(chosen.charset)
    for check in (_check_fields, _check_mac, _check_framing):
        if fault := check(profile, table, chosen):
            raise TableError(f'Dialect "{name}" {fault}.')
    codec: Codec | MacCodec = Codec(table, chosen)
    if mac_key is not None:
        codec = _closed_with_mac(name, profile, Codec(table, chosen), mac_key)
    return Dialect(
        profile,
        table,
        codec,
        framing,
        _all_tags(name, profile),
        _digest(profile, table),
        None if mac_key is None else mac_key.check_value,
    )


def load_profile(name: str) -> tuple[Traversable, Profile]:
    """
    Read the profile of the dialect *name*, and say in which folder its other files lie.

    Raises:
        TableError: There is none, or it is not spelled as it must be.
    """
    is_path = name.endswith(".json")
    folder: Traversable = Path(name).parent if is_path else _shipped()
    file_name = Path(name).name if is_path else f"{name}.json"
    raw = _data(folder, file_name, name)
    if len(raw) > PROFILE_BYTES_MAX:
        raise TableError(f'Dialect "{name}" is larger than {PROFILE_BYTES_MAX} bytes.')
    try:
        return folder, msgspec.json.decode(raw, type=Profile)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TableError(f'Dialect "{name}": {error}') from None


def default_table() -> FieldTable:
    """
    Return the field table of the default dialect.
    """
    return load_table((_shipped() / f"{DEFAULT_DIALECT}.fields.json").read_bytes())


def _check_fields(profile: Profile, table: FieldTable, _: Encoding) -> str | None:
    """
    Return which fields the profile uses and its table lacks.
    """
    used = {*profile.match, *profile.match_network_management, *profile.echo}
    missing = sorted(used - table.keys())
    return f"uses fields that its table lacks: {missing}" if missing else None


def _check_mac(profile: Profile, table: FieldTable, _: Encoding) -> str | None:
    """
    Return which field cannot hold the MAC that the profile wants.
    """
    if profile.mac is None:
        return None
    for number in MAC_FIELDS:
        spec = table.get(number)
        if spec is None or (spec.kind, spec.length, spec.fixed) != ("b", MAC_BYTES, True):
            return f"has a MAC, but field {number} is not fixed binary (b) of {MAC_BYTES} bytes"
    return None


def _check_framing(profile: Profile, table: FieldTable, encoding: Encoding) -> str | None:
    """
    Return why ETX could stand inside a frame that ends with it.
    """
    row = profile.framing
    if row.form != "stx_etx":
        return None
    if row.counts_itself or row.trailer:
        return "frames with stx_etx, which has neither a length that counts itself nor a trailer"
    if not encoding.hexadecimal:
        return "frames with stx_etx: only the encoding ascii_hex has no ETX inside a message"
    raw = sorted(n for n, spec in table.items() if spec.kind == "b" and not spec.fixed)
    if raw:
        return f"frames with stx_etx, but variable binary fields go raw; take out {raw} in rows"
    if b"\x03" in profile.framing.framing(encoding.charset).expected_header:
        return "frames with stx_etx and has an ETX in its header"
    return None


def _closed_with_mac(name: str, profile: Profile, codec: Codec, key: MacKey) -> MacCodec:
    """
    Return *codec* with a MAC as the profile wants it.
    """
    if profile.mac is None:
        raise TableError(f'Dialect "{name}" has no MAC: remove the key of its acquirer.')
    assert key.algorithm == profile.mac.algorithm, "a key is read for its dialect's algorithm"
    return MacCodec(codec, key, exempt=profile.mac.exempt)


def _all_tags(name: str, profile: Profile) -> dict[str, tlv.Tag]:
    """
    Return the tags that all dialects share and those of this one.
    """
    tlv.check_tags(profile.tags)
    if doubled := sorted(profile.tags.keys() & tlv.TAGS.keys()):
        raise TableError(f'Dialect "{name}" redefines tags that all dialects share: {doubled}.')
    return tlv.TAGS | profile.tags


def _digest(profile: Profile, table: FieldTable) -> str:
    """
    Return a short digest of what a dialect says.
    """
    content = msgspec.json.encode((profile, table))
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]


def _data(folder: Traversable, file_name: str, name: str) -> bytes:
    """
    Return the file *file_name*, from *folder* or from what is shipped.
    """
    for place in (folder, _shipped()):
        try:
            return (place / file_name).read_bytes()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise TableError(f'Dialect "{name}": {file_name} cannot be read: {error}') from None
    if file_name == f"{name}.json" or file_name == Path(name).name:
        raise TableError(f'There is no dialect "{name}".')
    raise TableError(f'Dialect "{name}": there is no file {file_name}.')


def _shipped() -> Traversable:
    """
    Return the folder of the dialects that are shipped beside this module.
    """
    return importlib.resources.files(__package__) / "dialects"
