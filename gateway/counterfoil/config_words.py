"""
A wrong setting in words: its name as the file has it, what was expected, the nearest known name.

msgspec says where in the structure a value is wrong (`$.acquirer[0].name`) and by which rule;
whoever writes the file needs `[[acquirer]] number 1, name` and what may stand there.
"""

import re
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

_PLACE = re.compile(r" - at `\$(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_BACKQUOTED = re.compile(r"`(.*)`", re.DOTALL)

# The patterns of settings, in words; a test finds a pattern that has none.
FORMS = {
    r"^[a-z0-9-]{1,32}$": "1 to 32 small letters, digits and hyphens, such as first-bank",
    r"^[0-9]{1,11}$": "1 to 11 digits between quotes",
    r"^[0-9]{1,8}(-[0-9]{1,8})?$": "the first digits of cards, such as 41 or 400000-419999",
    r"^[A-Z]{3}$": "three capital letters of ISO 4217, such as USD",
    r"^[0-9a-f]{64}$": "a public key: 64 hex digits, as `counterfoil keys public` prints them",
    r"^https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?$": "https:// and a name, such as "
    "https://pay.example.com",
    r"^mer_[0-9a-f]{32}$": "a merchant id: mer_ and 32 hex digits",
}


def in_words(complaint: str, root: type[msgspec.Struct]) -> str:
    """
    Return msgspec's *complaint* about a file as a sentence for whoever writes it.
    """
    found = _PLACE.search(complaint)
    said = complaint[: found.start()] if found else complaint
    steps = [one or other for one, other in _STEP.findall(found[1] if found else "")]
    name = quoted[1] if (quoted := _BACKQUOTED.search(said)) else ""
    if said.startswith("Object contains unknown field"):
        return _unknown(name, steps, root)
    if said.startswith("Object missing required field"):
        return f"{place([*steps, name])} is missing: expected {_expected([*steps, name], root)}"
    wrong = said.removeprefix("Invalid enum value ") if said.startswith("Invalid enum") else ""
    is_not = f"cannot be {wrong}" if wrong else "is wrong"
    return f"{place(steps)} {is_not}: expected {_expected(steps, root)}"


def place(steps: list[str]) -> str:
    """
    Return where a setting stands, as the file has it: `mode`, `[api] port`.
    """
    if len(steps) > 1 and steps[1].isdigit():
        first, rest = f"[[{steps[0]}]] number {int(steps[1]) + 1}", steps[2:]
    elif len(steps) > 1:
        first, rest = f"[{steps[0]}] {steps[1]}", steps[2:]
    else:
        first, rest = "".join(steps), []
    return ", ".join([first, *(f"value {int(x) + 1}" if x.isdigit() else x for x in rest)])


def _unknown(name: str, steps: list[str], root: type[msgspec.Struct]) -> str:
    kind = _kind_at(steps, root)
    known = [each.name for each in kind.fields] if isinstance(kind, inspect.StructType) else []
    near = get_close_matches(name, known, n=1)
    instead = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
    return f"{place([*steps, name])} is no setting: {instead}"


def _kind_at(steps: list[str], root: type[msgspec.Struct]) -> inspect.Type:
    kind = inspect.type_info(root)
    for step in steps:
        if isinstance(kind, inspect.VarTupleType):
            kind = kind.item_type
        elif isinstance(kind, inspect.StructType):
            kind = next(each.type for each in kind.fields if each.name == step)
    return kind


def _expected(steps: list[str], root: type[msgspec.Struct]) -> str:
    name = steps[0] if steps else ""
    match _kind_at(steps, root):
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(str(each) for each in values)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() as kind:
            return f"a whole number {_range(kind)}"
        case inspect.FloatType() as kind:
            return f"a number {_range(kind)}"
        case inspect.StructType():
            return f"a section: write [{name}] and its settings below"
        case inspect.VarTupleType(item_type=inspect.StructType()):
            return f"tables: write [[{name}]] for each, and its settings below"
        case inspect.VarTupleType() as kind:
            return f"a list{_length(kind.min_length, kind.max_length, 'values')}: [...]"
        case inspect.StrType(pattern=str(pattern)):
            return FORMS.get(pattern, f"text of the form {pattern}")
        case inspect.StrType() as kind:
            return f"text between quotes{_length(kind.min_length, kind.max_length, 'characters')}"
    return "text between quotes"


def _range(kind: Any) -> str:
    low = f"above {kind.gt:g}" if kind.gt is not None else f"from {kind.ge}"
    return f"{low} to {kind.le}"


def _length(low: int | None, high: int | None, what: str) -> str:
    return f" of {low or 0} to {high} {what}" if high is not None else ""
