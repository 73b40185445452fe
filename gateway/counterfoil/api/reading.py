"""
Read a request's body strictly, with an error that names the field and the rule.

Error texts never repeat a value: what is wrong may be part of a card number.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from counterfoil.api.bodies import PATTERNS, CardBody
from counterfoil.api.exchange import Request
from counterfoil.api.problems import Problem
from counterfoil.cards import (
    ORDER_LENGTHS,
    PAN_DIGITS_IN_TEXT_MIN,
    TEXT_LENGTHS,
    holds_card_number,
)

BODY_SECONDS_MAX = 20.0
MISPLACED = (
    "A card number stands in this field, which is stored and shown: send it in card.number only."
)
DISCARDED_BYTES_MAX = 4_194_304  # Of a body that is too large; a longer one ends the connection.

Body = TypeVar("Body", bound=msgspec.Struct)

_DECODERS: dict[type[msgspec.Struct], "msgspec.json.Decoder[msgspec.Struct]"] = {}
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_QUOTED = re.compile(r"`([^`]{1,64})`")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NAME_DIGITS_MAX = 8  # With more of them it could be a card number.
_KEY = re.compile(r"[!-~]{1,255}")
# Long numbers that a program has made up are common in these, and one in fifty looks like a card's.
_MADE_BY_PROGRAMS = frozenset({"idempotency_key", "return_url", "cancel_url", "url"})


async def read(request: Request, kind: type[Body], bytes_max: int) -> Body:
    """
    Return the request's body as *kind*; an empty body reads as an empty object.

    Raises:
        Problem: Too large, not JSON, or not of that kind.
    """
    content = await _content(request, bytes_max)
    media_type = request.header(b"content-type").partition(";")[0].strip().lower()
    if media_type != "application/json" and (content or media_type):
        raise Problem("media_type_unsupported", "Send the body as application/json.")
    try:
        body = _decoder(kind).decode(content or b"{}")
        if _may_double(content):
            json.loads(content, object_pairs_hook=_each_once)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem("body_malformed", "The body cannot be read as JSON in UTF-8.") from None
    except RecursionError:
        raise Problem("body_malformed", "The body is nested too deeply.") from None
    for param, text in _texts_of(body):
        if holds_card_number(text, ORDER_LENGTHS if param == "order" else TEXT_LENGTHS):
            raise Problem("card_number_misplaced", MISPLACED, param=param)
    return body  # type: ignore[return-value]


def _texts_of(body: msgspec.Struct, path: str = "") -> Iterator[tuple[str, str]]:
    """
    Return what a client may write freely, which is stored and shown: every text of *body* but those
    of its card, and those that a program makes.
    """
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, str):
            if len(value) >= PAN_DIGITS_IN_TEXT_MIN and name not in _MADE_BY_PROGRAMS:
                yield f"{path}{name}", value
        elif isinstance(value, msgspec.Struct) and not isinstance(value, CardBody):
            yield from _texts_of(value, f"{path}{name}.")


def _may_double(content: bytes) -> bool:
    """
    Whether *content*, which is JSON, may name a field twice: a cheap look that is never wrong when
    it says no. Names and texts, and names of different objects, are not told apart.
    """
    if b"\\" in content:
        return True
    strings = content.split(b'"')[1::2]
    return len(set(strings)) < len(strings)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """
    Refuse an object that names a field twice: two readers could see two different payments.
    """
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Problem("field_doubled", "Send each field once.", param=shown_name(name))


async def _content(request: Request, bytes_max: int) -> bytes:
    """
    Return the body, within its limits of size and time.

    What is too large is read to its end and thrown away, so that the client gets to read our
    answer; a body that does not end, or that waits to be asked for, loses its connection.
    """
    declared = _declared(request)
    if declared > bytes_max and (declared > DISCARDED_BYTES_MAX or request.header(b"expect")):
        raise _too_large(bytes_max, close=True)
    content = request.body.at_hand()
    if content is not None:
        if len(content) > bytes_max:
            raise _too_large(bytes_max, close=False)
        return content
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _received(request, bytes_max)
    except TimeoutError:
        raise Problem(
            "body_timeout",
            f"The body did not arrive within {BODY_SECONDS_MAX:g} s.",
            headers={"connection": "close"},
        ) from None


async def _received(request: Request, bytes_max: int) -> bytes:
    parts = []
    size = 0
    more = True
    while more:
        part, more = await request.body.part()
        size += len(part)
        if size > DISCARDED_BYTES_MAX:
            raise _too_large(bytes_max, close=True)
        if size <= bytes_max:
            parts.append(part)
        else:
            parts.clear()
    if size > bytes_max:
        raise _too_large(bytes_max, close=False)
    return b"".join(parts)


def _declared(request: Request) -> int:
    length = request.header(b"content-length")
    return int(length) if length.isdecimal() and length.isascii() else 0


def _too_large(bytes_max: int, *, close: bool) -> Problem:
    return Problem(
        "body_too_large",
        f"The body may have at most {bytes_max} bytes.",
        headers={"connection": "close"} if close else None,
    )


def idempotency_key(request: Request) -> str:
    """
    Return the request's idempotency key.

    Raises:
        Problem: Missing, sent twice, longer than 255 characters, or not printable ASCII.
    """
    keys = request.every_header(b"idempotency-key")
    if not any(keys):
        raise Problem(
            "idempotency_key_missing",
            "Send an Idempotency-Key header: 1 to 255 printable ASCII characters, new for each "
            "payment and the same for its repeats.",
            param="Idempotency-Key",
        )
    key = keys[0]
    if len(keys) > 1 or not _KEY.fullmatch(key):
        raise Problem(
            "idempotency_key_invalid",
            "Send one idempotency key of 1 to 255 printable ASCII characters, without spaces.",
            param="Idempotency-Key",
        )
    return key


def _decoder(kind: type[msgspec.Struct]) -> "msgspec.json.Decoder[msgspec.Struct]":
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(kind)
    return _DECODERS[kind]


def explained(message: str) -> Problem:
    """
    Return msgspec's complaint as a problem of ours, with the field's path and without its value.
    """
    found = _PATH.search(message)
    path = found.group(1) if found else ""
    said = message[: found.start()] if found else message
    if said.startswith("Object contains unknown field"):
        return Problem(
            "field_unknown",
            "This call does not have such a field; see /openapi.json.",
            param=_joined(path, _named(said)),
        )
    if said.startswith("Object missing required field"):
        return Problem(
            "field_missing", "This field is required.", param=_joined(path, _named(said))
        )
    if said.startswith("Expected") and "got" in said:
        return Problem("field_wrong_type", f"{_safe(said)}.", param=path or None)
    if said.startswith("Invalid enum value"):
        return Problem(
            "field_out_of_range", "Not one of the values of this field.", param=path or None
        )
    if "matching regex" in said:
        code, words = _pattern_words(said)
        return Problem(code, words, param=path or None)
    return Problem("field_out_of_range", f"{_safe(said)}.", param=path or None)


def shown_name(name: str) -> str | None:
    """
    Return a name that a client made up, if it can be nothing but a name.
    """
    digits = sum(each.isdigit() for each in name)
    return name if _NAME.fullmatch(name) and digits <= _NAME_DIGITS_MAX else None


def _pattern_words(said: str) -> tuple[str, str]:
    for pattern, words in PATTERNS.items():
        if said.endswith(f"matching regex {pattern!r}"):
            return words
    return "field_out_of_range", "Not of the form that /openapi.json describes."


def _named(said: str) -> str | None:
    quoted = _QUOTED.search(said)
    return shown_name(quoted.group(1)) if quoted else None


def _joined(path: str, name: str | None) -> str | None:
    if name is None:
        return path or None
    return f"{path}.{name}" if path else name


def _safe(said: str) -> str:
    """
    Return msgspec's words: of a value it names type and limits, never the value itself.
    """
    return said.replace("`", "")
