"""
Generate the function that decodes messages of one bitmap.

For a known bitmap the positions of fixed fields are constants, neighbouring fields of one
kind are checked together, and the result is one dict display. The generated function
returns None, or raises KeyError, IndexError or ValueError, for anything it does not like;
`generic` then finds out what is wrong, or accepts what is merely unusual.

Positions count from the first byte after the bitmaps, in bytes. `b` is the message from
there on, `t` the same as text with one character a byte, `h` the same as hex (packed only).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

from counterfoil.network.content import HEX, TRACK, is_signed_amount
from counterfoil.network.encodings import Encoding
from counterfoil.network.fields import FILLERS, FieldSpec
from counterfoil.network.generic import Profile
from counterfoil.network.message import Fields

Decode = Callable[[bytes], Fields | None]

RUN_CHECKS = {"n": "isdecimal", "an": "isalnum"}


def compile_decoder(numbers: Sequence[int], profile: Profile, *, start: int) -> Decode:
    """
    Return a decoder for messages with the fields *numbers* (ascending), which begin after
    *start* bytes of MTI and bitmaps.
    """
    source = _Source(profile.encoding, [(n, profile.spec_of(n)) for n in numbers])
    names: dict[str, Any] = source.names | {
        "START": start,
        "CHARSET": profile.encoding.charset,
        "TRACK": TRACK,
        "HEX": HEX,
        "is_signed_amount": is_signed_amount,
        "from_hex": bytes.fromhex,
    }
    # Only integers from the checked table and names made here reach the source.
    exec(compile(source.text(), "<compiled ISO 8583 decoder>", "exec"), names)  # noqa: S102
    return cast("Decode", names["decode"])


@functools.lru_cache(maxsize=512)
def lengths(digits: int, length_max: int) -> dict[str, int]:
    """
    Return every legal length from 0 to *length_max* by its spelling in *digits* digits.
    """
    return {f"{length:0{digits}d}": length for length in range(length_max + 1)}


class _Source:
    """
    The source of one decoder while it is written, field by field.
    """

    def __init__(self, encoding: Encoding, specs: Sequence[tuple[int, FieldSpec]]) -> None:
        self.encoding = encoding
        self.names: dict[str, object] = {}
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.anchor = ""  # The variable that holds the end of the last variable field.
        self.offset = 0  # How far behind the anchor we are.
        # All of it text: then one check of the whole says that it is printable ASCII.
        self.all_text = not encoding.packed and not any(
            spec.kind == "b" and not (spec.fixed and encoding.hexadecimal) for _, spec in specs
        )
        self._fields(specs)

    def text(self) -> str:
        """Return the whole function."""
        head = ["b = wire[START:]"]
        if self.all_text:
            head += ["t = b.decode(CHARSET)", self._refuse_unless("t.isascii()", "t.isprintable()")]
        else:
            charset = "'latin-1'" if self.encoding.charset == "ascii" else "CHARSET, 'replace'"
            head.append(f"t = b.decode({charset})")
        if self.encoding.packed:
            head.append("h = b.hex()")
        display = ", ".join(f"{number}: {value}" for number, value in self.values.items())
        tail = [self._refuse_unless(f"{self._at()} == len(b)"), f"return {{{display}}}"]
        # Slices made beforehand arrive as defaults: locals are the fastest names.
        slices = [name for name in self.names if name.startswith("s_")]
        parameters = ", ".join(["wire", *(f"{name}={name}" for name in slices)])
        body = "\n    ".join([*head, *self.lines, *tail])
        return f"def decode({parameters}):\n    {body}\n"

    def _fields(self, specs: Sequence[tuple[int, FieldSpec]]) -> None:
        """Write the statements for all fields: variable ones singly, fixed ones in runs."""
        run: list[tuple[int, FieldSpec]] = []
        for number, spec in specs:
            if run and self._view(spec) != self._view(run[-1][1]):
                self._run(run)
                run = []
            if spec.fixed:
                run.append((number, spec))
            else:
                self._variable(number, spec)
        if run:
            self._run(run)

    def _view(self, spec: FieldSpec) -> str:
        """Return which view of the message a run with *spec* is cut from, "" for none."""
        if not spec.fixed:
            return ""
        if spec.kind == "b":
            return "t" if self.encoding.hexadecimal else "b"
        return "h" if spec.kind == "n" and self.encoding.packed else "t"

    def _width(self, spec: FieldSpec) -> int:
        """Return how many bytes a fixed field takes."""
        if spec.kind == "b":
            return spec.length * (2 if self.encoding.hexadecimal else 1)
        return (spec.length + 1) // 2 if self._view(spec) == "h" else spec.length

    def _run(self, run: Sequence[tuple[int, FieldSpec]]) -> None:
        """Cut a run of fixed fields out of one view, then each field out of the run."""
        view = self._view(run[0][1])
        scale = 2 if view == "h" else 1
        name = f"r{run[0][0]}"
        begin = self._at(scale=scale)
        self.offset += sum(self._width(spec) for _, spec in run)
        self.lines.append(f"{name} = {view}[{begin}:{self._at(scale=scale)}]")
        checks: list[str] = []
        same: list[tuple[str, int, int]] = []  # Neighbours of one kind: kind, begin, end.
        at = 0
        for number, spec in run:
            end = at + scale * self._width(spec)
            cut = f"{name}[{self._slice(at, end)}]"
            kind: str = "hex" if spec.kind == "b" and view == "t" else spec.kind
            if kind in ("x", "z", "hex"):
                checks.append(_check(kind, cut))
            elif view == "h" and spec.length % 2:
                lead, trail = FILLERS[spec.pad]
                filler, digit = (at, lead) if lead else (end - 1, trail)
                checks.append(f"{name}[{filler}] == '{digit}'")
                cut = f"{name}[{self._slice(at + len(lead), end - len(trail))}]"
                if trail == "f":  # No digit, so the run cannot be checked as a whole.
                    kind = "filled"
                    checks.append(_check("n", cut))
            if same and same[-1][0] == kind:
                same[-1] = (kind, same[-1][1], end)
            else:
                same.append((kind, at, end))
            self.values[number] = f"from_hex({cut})" if kind == "hex" else cut
            at = end
        for kind, first, last in same:
            if kind in RUN_CHECKS:
                part = name if len(same) == 1 else f"{name}[{self._slice(first, last)}]"
                checks.append(f"{part}.{RUN_CHECKS[kind]}()")
        if view == "t":
            checks += self._printable(name)
        if checks:
            self.lines.append(self._refuse_unless(*checks))

    def _variable(self, number: int, spec: FieldSpec) -> None:
        """Read a length, then cut out as much."""
        width = self.encoding.length_bytes(spec.length_digits)
        digits = 2 * width if self.encoding.packed else width
        table = f"LENGTHS_{digits}_{spec.length}"
        self.names[table] = lengths(digits, spec.length)
        view, scale = ("h", 2) if self.encoding.packed else ("t", 1)
        begin = self._at(scale=scale)
        self.offset += width
        self.lines.append(f"n = {table}[{view}[{begin}:{self._at(scale=scale)}]]")
        start, end, value = self._at(), f"e{number}", f"f{number}"
        packed = spec.kind == "n" and self.encoding.packed
        self.lines.append(f"{end} = {start} + {'(n + 1) // 2' if packed else 'n'}")
        self.anchor, self.offset = end, 0
        self.values[number] = value
        if packed:
            self.lines.append(f"d = h[2 * ({start}):2 * {end}]")
            lead, trail = FILLERS[spec.pad]
            filler, digit = (0, lead) if lead else (-1, trail)
            self.lines.append(self._refuse_unless(f"(not n & 1 or d[{filler}] == '{digit}')"))
            self.lines.append(f"{value} = " + ("d[n & 1:]" if lead else "d[:n]"))
            self.lines.append(self._refuse_unless(f"{value}.isdecimal()"))
        elif spec.kind == "b":
            self.lines.append(f"{value} = b[{start}:{end}]")
        else:
            self.lines.append(f"{value} = t[{start}:{end}]")
            checks = [_check(spec.kind, value), *self._printable(value)]
            self.lines.append(self._refuse_unless(*checks))

    def _printable(self, value: str) -> list[str]:
        """Return the checks that *value* is printable ASCII, if the whole was not checked."""
        return [] if self.all_text else [f"{value}.isascii()", f"{value}.isprintable()"]

    def _at(self, *, scale: int = 1) -> str:
        """Return the expression for where we are."""
        if not self.anchor:
            return str(scale * self.offset)
        anchor = self.anchor if scale == 1 else f"{scale} * {self.anchor}"
        return f"{anchor} + {scale * self.offset}" if self.offset else anchor

    def _slice(self, begin: int, end: int) -> str:
        """Return the name of a slice made beforehand."""
        name = f"s_{begin}_{end}"
        self.names[name] = slice(begin, end)
        return name

    @staticmethod
    def _refuse_unless(*checks: str) -> str:
        """Return the statement that gives up unless all *checks* hold."""
        needed = [check for check in checks if check]
        return f"if not ({' and '.join(needed)}): return None" if needed else "pass"


def _check(kind: str, value: str) -> str:
    """
    Return the check of the content of *value*, or "" if its kind needs none of its own.
    """
    return {
        "n": f"{value}.isdecimal()",
        "an": f"{value}.isalnum()",
        "z": f"not {value}.strip(TRACK)",
        "x": f"is_signed_amount({value})",
        "hex": f"not {value}.strip(HEX)",
    }.get(kind, "")
