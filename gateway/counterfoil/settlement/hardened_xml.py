"""
XML from a stranger, as a small tree, or not at all.

Python's expat with everything switched off that a bank statement does not need: no
document type, so no entities and nothing from outside; UTF-8 only; a limit on bytes,
depth, elements and text. Names come without the namespace if it is the document's own;
of attributes only the currency is kept.
"""

import pyexpat
from collections.abc import Iterator
from typing import NoReturn

import msgspec

from counterfoil.settlement.held import FileHeld

ELEMENTS_MAX = 500_000
DEPTH_MAX = 40
TEXT_CHARACTERS_MAX = 4096

_BETWEEN = " "  # Stands between namespace and name; neither may contain it.
_ENCODINGS = frozenset({"UTF-8", "UTF8", "US-ASCII"})


class Element(msgspec.Struct):
    """
    One element: what it is called, what it holds, and in which line of the file it begins.
    """

    name: str
    line: int
    currency: str = ""
    text: str = ""
    children: list["Element"] = []

    def all(self, name: str) -> Iterator["Element"]:
        """
        Yield the children of this name.
        """
        return (child for child in self.children if child.name == name)

    def maybe(self, *path: str) -> "Element | None":
        """
        Return the only element at *path*, or None if there is none.

        Raises:
            FileHeld: There are several.
        """
        here: Element = self
        for name in path:
            found = list(here.all(name))
            if len(found) > 1:
                raise FileHeld(f"{name} stands twice in {here.name}", record=found[1].line)
            if not found:
                return None
            here = found[0]
        return here

    def one(self, *path: str) -> "Element":
        """
        Return the only element at *path*.

        Raises:
            FileHeld: There is none, or there are several.
        """
        found = self.maybe(*path)
        if found is None:
            raise FileHeld(f"{self.name} has no {'/'.join(path)}", record=self.line)
        return found

    def text_of(self, *path: str) -> str:
        """
        Return the text of the only element at *path*, empty if there is none.
        """
        found = self.maybe(*path)
        return "" if found is None else found.text


def parse(content: bytes, bytes_max: int) -> tuple[str, Element]:
    """
    Return the document's namespace and its root element.

    Raises:
        FileHeld: It is not well formed, not UTF-8, larger than may be, or has a document type.
    """
    _check_bytes(content, bytes_max)
    tree = _Tree()
    try:
        tree.parser.Parse(content, True)
    except pyexpat.ExpatError as fault:
        raise FileHeld("the file is not well-formed XML", record=fault.lineno) from None
    return tree.namespace, tree.root


def _check_bytes(content: bytes, bytes_max: int) -> None:
    """
    Hold what must not reach the parser.

    Expat chooses UTF-16 by itself when it sees NUL bytes, and goes on reading for a while
    after a handler has raised: so this is looked for before.
    """
    if len(content) > bytes_max:
        raise FileHeld("the file is too large", expected=f"up to {bytes_max} bytes")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise FileHeld("the file is not UTF-8") from None
    if b"\0" in content:
        raise FileHeld("the file is not UTF-8")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise FileHeld("the file declares a document type or entities")


class _Tree:
    """
    Builds the tree from the parser's calls.
    """

    def __init__(self) -> None:
        self.namespace = ""
        self.root = Element("", 0)
        self._open: list[Element] = []
        self._count = 0
        self.parser = parser = pyexpat.ParserCreate("UTF-8", _BETWEEN)
        parser.buffer_text = True
        parser.SetParamEntityParsing(pyexpat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.upper() not in _ENCODINGS:
            raise FileHeld("the file declares another encoding than UTF-8", record=1)

    def _refuse(self, *_: object) -> NoReturn:
        raise FileHeld("the file declares a document type or entities")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise FileHeld(
                "the file has too many elements, or too deep ones",
                expected=f"up to {ELEMENTS_MAX}, {DEPTH_MAX} deep",
                record=line,
            )
        namespace, _, local = name.rpartition(_BETWEEN)
        if not self._open:
            self.namespace = namespace
        own = local if namespace == self.namespace else name
        element = Element(own, line, attributes.get("Ccy", ""))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        element.text = element.text.strip()

    def _characters(self, data: str) -> None:
        element = self._open[-1]
        if data.isspace() and not element.text:
            return
        if len(element.text) + len(data) > TEXT_CHARACTERS_MAX:
            raise FileHeld("a text is too long", record=element.line)
        element.text += data
