"""
Read a request's body strictly, with an error that names the field and the rule.

Error texts never repeat a value: what is wrong may be part of a card number.
"""

import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from counterfoil.api.problems import Problem

Body = TypeVar("Body", bound=msgspec.Struct)

_DECODERS: dict[type[msgspec.Struct], "msgspec.json.Decoder[msgspec.Struct]"] = {}
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_QUOTED = re.compile(r"`([a-z0-9_]{1,64})`")
_KEY_MAX = 255


async def read(request: Request, kind: type[Body], bytes_max: int) -> Body:
    """
    Return the request's body as *kind*; an empty body reads as an empty object.

    Raises:
        Problem: Too large, not JSON, or not of that kind.
    """
    content = await _content(request, bytes_max)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and (content or media_type):
        raise Problem("media_type_unsupported", "Send the body as application/json.")
    try:
        return _decoder(kind).decode(content or b"{}")  # type: ignore[return-value]
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem("body_malformed", "The body cannot be read as JSON in UTF-8.") from None
    except RecursionError:
        raise Problem("body_malformed", "The body is nested too deeply.") from None


async def _content(request: Request, bytes_max: int) -> bytes:
    too_large = Problem(
        "body_too_large",
        f"The body may have at most {bytes_max} bytes.",
        headers={"Connection": "close"},
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise too_large
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def idempotency_key(request: Request) -> str:
    """
    Return the request's idempotency key.

    Raises:
        Problem: Missing, longer than 255 characters, or not printable ASCII.
    """
    key = request.headers.get("idempotency-key")
    if not key:
        raise Problem(
            "idempotency_key_missing",
            "Send an Idempotency-Key header: 1 to 255 printable ASCII characters, new for each "
            "payment and the same for its repeats.",
        )
    if len(key) > _KEY_MAX or not all("!" <= each <= "~" for each in key):
        raise Problem(
            "idempotency_key_invalid", "An idempotency key has 1 to 255 printable ASCII characters."
        )
    return key


def _decoder(kind: type[msgspec.Struct]) -> "msgspec.json.Decoder[msgspec.Struct]":
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(kind)
    return _DECODERS[kind]


def _explained(message: str) -> Problem:
    """
    Return msgspec's complaint as a problem of ours, with the field's path and without its value.
    """
    found = _PATH.search(message)
    path = found.group(1) if found else ""
    said = message[: found.start()] if found else message
    if said.startswith("Object contains unknown field"):
        name = _QUOTED.search(said)
        return Problem(
            "field_unknown",
            "This call does not have such a field; see /openapi.json.",
            param=_joined(path, name.group(1) if name else None),
        )
    if said.startswith("Object missing required field"):
        name = _QUOTED.search(said)
        return Problem(
            "field_missing",
            "This field is required.",
            param=_joined(path, name.group(1) if name else None),
        )
    if said.startswith("Expected") and "got" in said:
        return Problem("field_wrong_type", f"{_safe(said)}.", param=path or None)
    if said.startswith("Invalid enum value"):
        return Problem("field_out_of_range", "Not one of the values of this field.", param=path)
    return Problem("field_out_of_range", f"{_safe(said)}.", param=path or None)


def _joined(path: str, name: str | None) -> str | None:
    if name is None:
        return path or None
    return f"{path}.{name}" if path else name


def _safe(said: str) -> str:
    """
    Return msgspec's words: of a value it names type and limits, never the value itself.
    """
    return said.replace("`", "")
