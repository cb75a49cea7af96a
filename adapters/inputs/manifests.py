"""Reads Kubernetes manifests: finds the files, parses them, and reports the faults of all files together.

Input: paths of files and folders, and ``-`` for stdin. The text is YAML or JSON, with several documents and ``List``
objects allowed. Output: the valid objects with their source positions, and the faults of the others.

``load`` and ``parse`` raise :class:`Refused` with all faults; ``scan`` returns the faults.
:mod:`engine.state.admission` checks the objects against each other and against the cluster.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from adapters.inputs.yaml_reader import MAX_BYTES, YamlDocument, scan_yaml
from engine.errors import Fault, FieldPath, Refused, SourceLocation, safe_text
from engine.objects import KINDS, NAMESPACED, ClusterNetworkPolicy, ClusterObject
from engine.objects.selectors import is_object_name
from engine.state.admission import AdmissionResult, InvalidObject, SubmitMode, admit
from engine.state.fold import ClusterState
from engine.validation_errors import path_of

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_LISTS = frozenset({"List", *(f"{kind}List" for kind in KINDS)})

_CRDS = frozenset({"Tier", "ClusterGroup", "ClusterNetworkPolicy"})
_GROUPS = {
    **{kind: "crd.antrea.io" if kind in _CRDS else "" for kind in KINDS},
    "EndpointSlice": "discovery.k8s.io",
}
"""Kind -> API group, the part of ``apiVersion`` before the slash. Another group may have another kind of that name."""


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """Part of a document that declares one object."""

    document: YamlDocument
    at: FieldPath

    def place(self, location: FieldPath = ()) -> SourceLocation:
        """Return the position of a field of the object, or of the nearest existing field around it."""
        return self.document.place((*self.at, *location))


@dataclass(frozen=True, slots=True)
class DeclaredObject:
    """Object with the part of the document that declares it."""

    object: ClusterObject
    origin: ManifestPart

    @property
    def place(self) -> SourceLocation:
        """Position where the object begins."""
        return self.origin.place()


@dataclass(frozen=True, slots=True)
class Manifests:
    """Result of reading manifests.

    ``objects`` are valid. ``faults`` are all faults of the other objects; ``faulty`` are these, as far as they can be
    identified.
    """

    objects: tuple[DeclaredObject, ...]
    faults: tuple[Fault, ...]
    faulty: tuple[InvalidObject, ...]
    sources: tuple[str, ...]
    """Names of all texts that were read, in order."""

    def judged(self, state: ClusterState, mode: SubmitMode = SubmitMode.DECLARE) -> AdmissionResult:
        """Return the events that the objects cause in a state, or every fault, in the order of the input."""
        objects = [(item.object, item.origin) for item in self.objects]
        judgement = admit(state, objects, mode, self.faulty)
        faults = tuple(sorted((*self.faults, *judgement.faults), key=self._order))
        return AdmissionResult(() if faults else judgement.bodies, faults, judgement.refusals)

    def _order(self, fault: Fault) -> tuple[int, int, int, int]:
        source = fault.place.source if fault.place else ""
        return (self.sources.index(source) if source in self.sources else 0, *_order_in_text(fault))


def load(paths: Sequence[str], stdin: TextIO | None = None) -> tuple[DeclaredObject, ...]:
    """Return the objects of files, of directories with everything below, and of ``-``, which means ``stdin``.

    The order is that of the paths; within a directory, that of the file names.

    Raises:
        Refused: with every fault of all files.
    """
    found = scan(paths, stdin)
    if found.faults:
        raise Refused(found.faults)
    return found.objects


def scan(paths: Sequence[str], stdin: TextIO | None = None) -> Manifests:
    """Read like :func:`load`, but return the faults, so that the caller can add others."""
    found = _Found()
    for path in paths:
        for source in _sources(path, found):
            text = _text(source, stdin, found)
            if text is not None:
                _read(text, source, found)
    return Manifests(tuple(found.objects), tuple(found.faults), tuple(found.faulty), tuple(found.sources))


def parse(text: str, source: str) -> tuple[DeclaredObject, ...]:
    """Return the objects of one text.

    Raises:
        Refused: with every fault of the text.
    """
    found = _Found()
    _read(text, source, found)
    if found.faults:
        raise Refused(tuple(found.faults))
    return tuple(found.objects)


@dataclass(slots=True)
class _Found:
    objects: list[DeclaredObject] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    faulty: list[InvalidObject] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def refuse(self, source: str, problem: str, expected: str = "") -> None:
        self.sources.append(source)
        self.faults.append(Fault("", problem, expected, SourceLocation(source)))


def _sources(path: str, found: _Found) -> Iterator[str]:
    if path == "-" or not Path(path).is_dir():
        yield path
        return
    files = list(_files(path, found))
    if not files:
        found.refuse(path, "no manifest in this directory", "files that end in .yaml, .yml or .json")
    yield from files


def _files(directory: str, found: _Found) -> Iterator[str]:
    # Skip hidden entries: a mounted ConfigMap has a second copy of each file in a hidden folder.
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
            if _may_block(entry):
                found.refuse(entry.path, "not a regular file", "a file, or a link to one")
            else:
                yield entry.path


def _may_block(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a FIFO, a socket or a device, which nobody means by naming its directory."""
    try:
        return not entry.is_file() and not entry.is_dir() and Path(entry.path).exists()
    except OSError:
        return False  # reading it gives the exact error


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
        # Python raises this for a path with a NUL character.
        found.refuse(safe_text(source), "no such file")
    else:
        if text is not None:
            return text
        found.refuse(source, "too large", f"at most {MAX_BYTES:,} bytes in one file")
    return None


def _of_file(path: str) -> str | None:
    # One byte more than the limit shows that the file is too large, even for a device without end.
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return data.decode("utf-8-sig") if len(data) <= MAX_BYTES else None


def _of_stdin(stdin: TextIO | None) -> str | None:
    if stdin is None:
        raise OSError(errno.EBADF, "there is no standard input")
    text = stdin.read(MAX_BYTES + 1)
    return text if len(text) <= MAX_BYTES else None


def _read(text: str, source: str, found: _Found) -> None:
    found.sources.append(source)
    documents, unsound = scan_yaml(text, source)
    faults = list(unsound)
    for document in documents:
        for location, value in _items(document, faults):
            _object(ManifestPart(document, location), value, found, faults)
    found.faults.extend(sorted(faults, key=_order_in_text))


def _order_in_text(fault: Fault) -> tuple[int, int, int]:
    place = fault.place
    return (place.document, place.line, place.column) if place else (0, 0, 0)


def _items(document: YamlDocument, faults: list[Fault]) -> Iterator[tuple[FieldPath, object]]:
    value = document.value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _LISTS:
        yield (), value
        return
    items = value.get("items")
    if not isinstance(items, list):
        problem = "missing" if items is None else f"found {safe_text(items)}"
        faults.append(document.fault(("items",), problem, "a list of objects"))
        return
    for position, item in enumerate(items):
        yield ("items", position), item


def _object(part: ManifestPart, value: object, found: _Found, faults: list[Fault]) -> None:
    document, at = part.document, part.at
    if not isinstance(value, dict):
        faults.append(document.fault(at, f"found {safe_text(value)}", "a mapping: a Kubernetes object"))
        return
    kind = value.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = f"found {safe_text(kind)}" if "kind" in value else "missing"
        faults.append(document.fault((*at, "kind"), problem, f"one of {', '.join(sorted(KINDS))}"))
        return
    try:
        # Manifests use only the field names of Kubernetes.
        found.objects.append(DeclaredObject(model.model_validate(value, by_alias=True, by_name=False), part))
    except ValidationError as error:
        own = sorted((_clearer(fault) for fault in document.faults(error, at)), key=_order_in_text)
        faults.extend(own)
        spec = value.get("spec") if model is ClusterNetworkPolicy else None
        tier = spec.get("tier") if isinstance(spec, dict) else None
        named = (tier, part.place(("spec", "tier"))) if isinstance(tier, str) else None
        found.faulty.append(InvalidObject(model.__name__, _told(value), _below(own, at), part.place(), named))


def _told(value: dict[str, object]) -> str:
    """Return the key of a faulty object, or an empty string if it is not certain."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or _group(value.get("apiVersion")) != _GROUPS[str(value["kind"])]:
        return ""
    parts = [metadata.get("name")]
    if value["kind"] in NAMESPACED:
        parts.insert(0, metadata.get("namespace") or "default")
    names = [part for part in parts if isinstance(part, str) and is_object_name(part)]
    return "/".join(names) if len(names) == len(parts) else ""


def _group(version: object) -> str | None:
    return version.rpartition("/")[0] if isinstance(version, str) else None


def _below(faults: Iterable[Fault], at: FieldPath) -> tuple[Fault, ...]:
    """Return the faults with paths relative to the object, without its place in a list."""
    prefix = f"{path_of(at)}." if at else ""
    return tuple(Fault(fault.path.removeprefix(prefix), fault.problem, fault.expected, fault.place) for fault in faults)


def _clearer(fault: Fault) -> Fault:
    # The example in Antrea's issue 5671 has this mistake, and users copy it.
    if fault.path.endswith("metadata.spec") and fault.problem == "unknown field":
        return Fault(fault.path, fault.problem, "spec beside metadata, not inside it; check indentation", fault.place)
    return fault
