"""Reads YAML and JSON as plain values with source positions; the only YAML reader of nodewall.

Input: the text, and the name of its source for error messages. Output: a :class:`YamlDocument` per document, with
values of JSON types and the line and column of each part. Dates, and times such as 12:30, stay strings, as in
Kubernetes.

Size, depth and aliases are limited, so that hostile input cannot exhaust memory. Raises :class:`Refused`, with line and
column, for text that is not YAML, repeats a key or exceeds a limit.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml
from pydantic import ValidationError

from engine.bounded_json import MAX_OBJECT_DEPTH, parse_json
from engine.errors import Fault, FieldPath, Refused, SourceLocation, safe_text
from engine.validation_errors import faults_of, path_of, with_location

MAX_BYTES = 10_000_000
MAX_DEPTH = MAX_OBJECT_DEPTH
MAX_ALIASES = 100
MAX_EXPANSION = 100_000
"""Largest number of nodes that all aliases of a document stand for."""

MAX_NODES = 600_000
"""Largest number of values in all documents of a text."""
MAX_DOCUMENTS = 10_000
MAX_DIRECTIVES = 100
MAX_FAULTS = 100
"""Number of faults after which reading stops."""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_WORD = frozenset("~nNyYtTfFoO.+-0123456789")
"""First characters of every plain scalar that is not a string."""
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"(?P<true>yes|Yes|YES|true|True|TRUE|on|On|ON)|no|No|NO|false|False|FALSE|off|Off|OFF")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]*[01]|0x[0-9a-fA-F_]*[0-9a-fA-F]|0o?[0-7_]*[0-7])")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 64
_PAIR = re.compile(r"((?<!\\)(?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")


@dataclass(slots=True)
class _Node:
    """Value with its position, or that of its key; ``size`` and ``height`` count the contents of aliases too."""

    line: int
    column: int
    value: object = None
    children: "dict[int | str, _Node]" = field(default_factory=dict)
    size: int = 1
    height: int = 1
    closed: bool = False


@dataclass(slots=True)
class _Open:
    """Collection that is not closed yet; ``key`` is the key whose value comes next."""

    node: _Node
    key: str | None = None
    key_node: _Node | None = None
    merged: "list[_Node]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document: its plain value, and the position of each part."""

    source: str
    number: int
    value: object
    _root: _Node = field(repr=False, compare=False)

    def place(self, location: FieldPath = ()) -> SourceLocation:
        """Return the position of a field, or of the nearest existing field around it."""
        node = self._root
        for part in location:
            if part not in node.children:
                break
            node = node.children[part]
        return SourceLocation(self.source, self.number, node.line, node.column)

    def fault(self, location: FieldPath, problem: str, expected: str = "") -> Fault:
        """Return a fault of a field."""
        return Fault(path_of(location), problem, expected, self.place(location))

    def faults(self, error: ValidationError, at: FieldPath = ()) -> tuple[Fault, ...]:
        """Convert pydantic's errors about the part of the document at ``at`` into faults."""
        found = []
        for location, fault in faults_of(error):
            whole = (*at, *location)
            found.append(with_location(Fault(path_of(whole), fault.problem, fault.expected), self.place(whole)))
        return tuple(found)


def read_yaml(text: str, source: str) -> tuple[YamlDocument, ...]:
    """Return the documents of a text, without empty ones; the document numbers count empty ones too.

    Raises:
        Refused: the text is not YAML, repeats a key, or exceeds a limit. It has every such fault up to the first one
            that prevents further reading.
    """
    documents, faults = scan_yaml(text, source)
    if faults:
        raise Refused(faults)
    return documents


def scan_yaml(text: str, source: str) -> tuple[tuple[YamlDocument, ...], tuple[Fault, ...]]:
    """Return the valid documents of a text, and the faults of the others."""
    fault = _unreadable(text, source)
    if fault:
        return (), (fault,)
    reader = _Reader(source)
    try:
        reader.read(yaml.parse(_without_pairs(text), Loader=_LOADER))
    except _StopReadingError as stop:
        reader.faults.append(stop.fault)
    except yaml.MarkedYAMLError as error:
        reader.faults.append(_not_yaml(error, source, reader.number))
    except (yaml.YAMLError, ValueError) as error:
        # PyYAML's Python parser raises ValueError for a character number that is out of range.
        problem = f"not YAML: {' '.join(str(error).split())}"
        reader.faults.append(Fault("", problem, place=SourceLocation(source, reader.number)))
    return tuple(reader.documents), tuple(reader.faults)


def _without_pairs(text: str) -> str:
    """Replace each pair of surrogate escapes in JSON text by its character, because YAML has no such pairs."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    return _PAIR.sub(lambda pair: pair.group(1) + str(parse_json(f'"{pair.group(2)}"')), text)


def _unreadable(text: str, source: str) -> Fault | None:
    if len(text) > MAX_BYTES:
        return Fault("", "too large", f"at most {MAX_BYTES:,} characters in one file", SourceLocation(source))
    if text.count("\n%") > MAX_DIRECTIVES:
        # libyaml compares each directive with all before it, ahead of the first event that could be counted.
        return Fault(
            "", "too many directives", f"at most {MAX_DIRECTIVES} lines that begin with %", SourceLocation(source)
        )
    bad = _UNPRINTABLE.search(text)
    if not bad:
        return None
    line = text.count("\n", 0, bad.start()) + 1
    column = bad.start() - text.rfind("\n", 0, bad.start())
    problem = f"not text: found the character U+{ord(bad.group()):04X}"
    return Fault("", problem, "YAML or JSON", SourceLocation(source, line=line, column=column))


def _not_yaml(error: yaml.MarkedYAMLError, source: str, number: int) -> Fault:
    mark = error.problem_mark or error.context_mark
    words = ", ".join(part for part in (error.context, error.problem) if part)
    place = SourceLocation(source, number, mark.line + 1, mark.column + 1) if mark else SourceLocation(source, number)
    return Fault("", f"not YAML: {words}", place=place)


class _StopReadingError(Exception):
    """A limit is exceeded, so the rest of the text is not read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Reader:
    """Builds documents from parser events, without recursion."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.number = 0
        self._total = 0
        self.documents: list[YamlDocument] = []
        self.faults: list[Fault] = []
        self._start()

    def _start(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, _Node] = {}
        self._aliases = 0
        self._count = 0
        self._sound = True
        self._root: _Node | None = None

    def read(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            match event:
                case yaml.ScalarEvent() | yaml.CollectionStartEvent():
                    self._node(event)
                case yaml.CollectionEndEvent():
                    self._close()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent():
                    self._start()
                    self.number += 1
                    if self.number > MAX_DOCUMENTS:
                        here = _at(event)
                        expected = f"at most {MAX_DOCUMENTS:,} in one file"
                        raise _StopReadingError(self._fault(here, "too many documents", expected))
                case yaml.DocumentEndEvent():
                    self._finish()
                case _:
                    pass  # the start and the end of the stream

    def _finish(self) -> None:
        root = self._root
        if root is not None and self._sound and root.value is not None:
            self.documents.append(YamlDocument(self.source, self.number, root.value, root))

    def _fault(self, node: _Node, problem: str, expected: str) -> Fault:
        path = path_of(tuple(part for part in self._location() if part != ""))
        return Fault(path, problem, expected, SourceLocation(self.source, self.number, node.line, node.column))

    def _unsound(self, node: _Node, problem: str, expected: str) -> None:
        self._sound = False
        if len(self.faults) >= MAX_FAULTS:
            raise _StopReadingError(self._fault(node, "the rest was not read", "the faults before it mended"))
        self.faults.append(self._fault(node, problem, expected))

    def _location(self) -> Iterator[int | str]:
        for opened in self._open:
            if isinstance(opened.node.value, list):
                yield len(opened.node.value)
            elif opened.key is not None:
                yield opened.key

    def _node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        node = _at(event)
        self._count += 1
        self._total += 1
        if self._total > MAX_NODES:
            expected = f"at most {MAX_NODES:,} in one file; split it"
            raise _StopReadingError(self._fault(node, "too many values", expected))
        if event.anchor:
            self._anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            node.value, node.closed = self._scalar(event, node), True
            self._place(node, plain=bool(event.implicit[0]))
            return
        kind = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        node.value = {} if kind == "map" else []
        if event.tag not in {None, "!", _TAG + kind}:
            self._unsound(node, f"found the tag {safe_text(event.tag)}", "plain YAML")
        if len(self._open) >= MAX_DEPTH:
            raise _StopReadingError(self._fault(node, "nested too deep", f"at most {MAX_DEPTH} levels"))
        self._open.append(_Open(node))

    def _scalar(self, event: yaml.ScalarEvent, node: _Node) -> object:
        if event.tag in {"!", f"{_TAG}str"} or (event.implicit[1] and not event.implicit[0]):
            return event.value
        if event.implicit[0]:
            return _resolved(event.value)
        value = _resolved(event.value)
        tag = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value))
        if event.tag == f"{_TAG}{tag}":
            return value
        if event.tag == f"{_TAG}float" and tag == "int":
            return float(event.value.replace("_", ""))
        self._unsound(node, f"found the tag {safe_text(event.tag)} on {safe_text(event.value)}", "plain YAML")
        return event.value

    def _alias(self, event: yaml.AliasEvent) -> None:
        here = _at(event)
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _StopReadingError(self._fault(here, "too many aliases", f"at most {MAX_ALIASES} in one document"))
        target = self._anchors.get(event.anchor or "")
        if target is None or not target.closed:
            problem = f"the alias *{event.anchor} " + ("names no anchor" if target is None else "contains itself")
            raise _StopReadingError(self._fault(here, problem, "an alias of something complete that stands before it"))
        here = _Node(here.line, here.column, target.value, target.children, target.size, target.height, closed=True)
        if len(self._open) + here.height > MAX_DEPTH + 1:
            raise _StopReadingError(self._fault(here, "nested too deep", f"at most {MAX_DEPTH} levels"))
        if self._weight() + here.size > self._count + MAX_EXPANSION:
            expected = f"aliases that stand for at most {MAX_EXPANSION:,} nodes"
            raise _StopReadingError(self._fault(here, "the aliases expand too far", expected))
        self._place(here, plain=False)

    def _weight(self) -> int:
        return sum(opened.node.size for opened in self._open)

    def _place(self, node: _Node, *, plain: bool) -> None:
        """Add a complete node to the innermost open collection, or make it the root."""
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.node.size += node.size
        parent.node.height = max(parent.node.height, node.height + 1)
        if isinstance(parent.node.value, list):
            parent.node.children[len(parent.node.value)] = node
            parent.node.value.append(node.value)
        elif parent.key is None:
            self._key(parent, node, plain=plain)
        else:
            self._value(parent, node)

    def _key(self, parent: _Open, node: _Node, *, plain: bool) -> None:
        if not isinstance(node.value, str):
            self._unsound(node, f"found the key {_brief(node.value)}", "a string; quote it if it is meant as one")
        parent.key = node.value if isinstance(node.value, str) else ""
        parent.key_node = node
        if parent.key == "<<" and plain:
            return
        if parent.key in parent.node.children and parent.key:
            first = parent.node.children[parent.key]
            self._unsound(node, f"the key stands twice, first in line {first.line}", "each key once")
        # Added at once, so that a repeated key is found even before the first one has its value.
        parent.node.children[parent.key] = node

    def _value(self, parent: _Open, node: _Node) -> None:
        key, key_node = parent.key, parent.key_node
        if key is None or key_node is None:  # pragma: no cover - the caller has checked this
            return
        if key == "<<" and key not in parent.node.children:
            self._merge(parent, node)
        else:
            # The position of an entry is that of its key.
            parent.node.children[key] = _Node(key_node.line, key_node.column, node.value, node.children)
        parent.key = parent.key_node = None

    def _merge(self, parent: _Open, node: _Node) -> None:
        sources = [node] if isinstance(node.value, dict) else list(node.children.values())
        if not sources or not all(isinstance(source.value, dict) for source in sources):
            self._unsound(node, f"found {_brief(node.value)} to merge", "a mapping or a list of mappings")
            return
        parent.merged.extend(sources)

    def _close(self) -> None:
        opened = self._open.pop()
        node = opened.node
        if isinstance(node.value, dict):
            for source in opened.merged:
                for name, child in source.children.items():
                    node.children.setdefault(name, child)
            node.value = {name: child.value for name, child in node.children.items()}
        node.closed = True
        self._place(node, plain=False)


def _at(event: yaml.Event) -> _Node:
    mark = event.start_mark
    return _Node(mark.line + 1, mark.column + 1) if mark else _Node(0, 0)


def _resolved(text: str) -> object:
    """Return the value of a plain scalar: YAML 1.1 without dates and sexagesimal numbers."""
    if text and text[0] not in _NO_WORD:  # most scalars are words and need no further checks
        return text
    if text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _LONGEST_NUMBER:
        return int(text)
    if _NULL.fullmatch(text):
        return None
    if found := _BOOL.fullmatch(text):
        return found.group("true") is not None
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    if found := _INFINITE.fullmatch(text):
        return float(f"{found.group(1)}inf") if found.group(1) is not None else float("nan")
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("-+")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567"
    value = int(digits, 8) if octal else int(digits, 0)
    return -value if text.startswith("-") else value


def _brief(value: object) -> str:
    kinds: Sequence[tuple[type, str]] = ((dict, "a mapping"), (list, "a list"))
    return next((words for kind, words in kinds if isinstance(value, kind)), safe_text(value))
