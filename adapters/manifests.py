"""Kubernetes manifests as objects: finds the files, reads them, and gathers every fault of all of them.

YAML and JSON, several documents in a file, lists of objects. It knows nothing of a cluster: what several objects say
together is judged by :mod:`engine.intake`.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from adapters.yamltext import MAX_BYTES, Document, Location, scan_yaml
from engine.errors import Fault, Place, Refused, shown
from engine.objects import KINDS, ClusterNetworkPolicy, ClusterObject

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_LISTS = frozenset({"List", *(f"{kind}List" for kind in KINDS)})


@dataclass(frozen=True, slots=True)
class Declared:
    """An object and where it was declared."""

    object: ClusterObject
    place: Place


@dataclass(frozen=True, slots=True)
class Manifests:
    """What was read: the sound objects, the faults of all others, and the tiers that faulty policies name."""

    objects: tuple[Declared, ...]
    faults: tuple[Fault, ...]
    tiers_named: tuple[tuple[str, Place], ...]


def load(paths: Sequence[str], stdin: TextIO | None = None) -> tuple[Declared, ...]:
    """Return the objects of files, of directories with all below them, and of ``-``, which is ``stdin``.

    They come in the order of the paths; within a directory, of the file names.

    Raises:
        Refused: for every fault in any of them.
    """
    found = scan(paths, stdin)
    if found.faults:
        raise Refused(found.faults)
    return found.objects


def scan(paths: Sequence[str], stdin: TextIO | None = None) -> Manifests:
    """Return what :func:`load` does, with the faults beside it, for who has more faults to find."""
    found = _Found()
    for path in paths:
        for source in _sources(path, found):
            text = _text(source, stdin, found)
            if text is not None:
                _read(text, source, found)
    return Manifests(tuple(found.objects), tuple(found.faults), tuple(found.tiers_named))


def parse(text: str, source: str) -> tuple[Declared, ...]:
    """Return the objects of one text.

    Raises:
        Refused: for every fault in it.
    """
    found = _Found()
    _read(text, source, found)
    if found.faults:
        raise Refused(tuple(found.faults))
    return tuple(found.objects)


@dataclass(slots=True)
class _Found:
    objects: list[Declared] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tiers_named: list[tuple[str, Place]] = field(default_factory=list)

    def refuse(self, source: str, problem: str, expected: str = "") -> None:
        self.faults.append(Fault("", problem, expected, Place(source)))


def _sources(path: str, found: _Found) -> Iterator[str]:
    if path == "-" or not Path(path).is_dir():
        yield path
        return
    files = list(_files(path, found))
    if not files:
        found.refuse(path, "no manifest in this directory", "files that end in .yaml, .yml or .json")
    yield from files


def _files(directory: str, found: _Found) -> Iterator[str]:
    # Hidden ones are skipped: a mounted ConfigMap keeps each file a second time in a hidden folder.
    try:
        with os.scandir(directory) as scan:
            entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        found.refuse(directory, error.strerror or str(error))
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, found)
        elif Path(entry.name).suffix in SUFFIXES:
            yield entry.path


def _text(source: str, stdin: TextIO | None, found: _Found) -> str | None:
    try:
        text = _of_stdin(stdin) if source == "-" else _of_file(source)
    except FileNotFoundError:
        found.refuse(source, "no such file")
    except UnicodeDecodeError as error:
        found.refuse(source, f"not text: {error.reason} at byte {error.start + 1}", "UTF-8")
    except OSError as error:
        found.refuse(source, error.strerror or str(error))
    except ValueError:
        # What Python says of a path with a NUL in it.
        found.refuse(shown(source), "no such file")
    else:
        if text is not None:
            return text
        found.refuse(source, "too large", f"at most {MAX_BYTES:,} bytes in one file")
    return None


def _of_file(path: str) -> str | None:
    # One byte more than is allowed shows that it is too large, and a device that never ends does no harm.
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return data.decode("utf-8-sig") if len(data) <= MAX_BYTES else None


def _of_stdin(stdin: TextIO | None) -> str | None:
    if stdin is None:
        raise OSError(errno.EBADF, "there is no standard input")
    text = stdin.read(MAX_BYTES + 1)
    return text if len(text) <= MAX_BYTES else None


def _read(text: str, source: str, found: _Found) -> None:
    documents, faults = scan_yaml(text, source)
    # In the order of the text: by the number of the document they stand in.
    by_document: list[tuple[int, list[Fault]]] = [(f.place.document if f.place else 0, [f]) for f in faults]
    for document in documents:
        its_faults: list[Fault] = []
        for location, value in _items(document, its_faults):
            _object(document, location, value, found, its_faults)
        by_document.append((document.number, its_faults))
    for _, some in sorted(by_document, key=lambda entry: entry[0]):
        found.faults.extend(some)


def _items(document: Document, faults: list[Fault]) -> Iterator[tuple[Location, object]]:
    value = document.value
    if not isinstance(value, dict) or value.get("kind") not in _LISTS:
        yield (), value
        return
    items = value.get("items")
    if not isinstance(items, list):
        problem = "missing" if items is None else f"found {shown(items)}"
        faults.append(document.fault(("items",), problem, "a list of objects"))
        return
    for position, item in enumerate(items):
        yield ("items", position), item


def _object(document: Document, at: Location, value: object, found: _Found, faults: list[Fault]) -> None:
    if not isinstance(value, dict):
        faults.append(document.fault(at, f"found {shown(value)}", "a mapping: a Kubernetes object"))
        return
    kind = value.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = f"found {shown(kind)}" if "kind" in value else "missing"
        faults.append(document.fault((*at, "kind"), problem, f"one of {', '.join(sorted(KINDS))}"))
        return
    try:
        found.objects.append(Declared(model.model_validate(value), document.place(at)))
    except ValidationError as error:
        faults.extend(_clearer(fault) for fault in document.faults(error, at))
        spec = value.get("spec") if model is ClusterNetworkPolicy else None
        tier = spec.get("tier") if isinstance(spec, dict) else None
        if isinstance(tier, str):
            found.tiers_named.append((tier, document.place((*at, "spec", "tier"))))


def _clearer(fault: Fault) -> Fault:
    # The example in Antrea's issue 5671 has this slip, and it is copied.
    if fault.path.endswith("metadata.spec") and fault.problem == "unknown field":
        return Fault(fault.path, fault.problem, "spec beside metadata, not inside it; check indentation", fault.place)
    return fault
