"""Loads the configuration of nodewall from ``nodewall.yaml`` and environment variables.

Input: the path of the file, the environment variables, and the configuration that the event log declares. Output: a
:class:`LoadedConfiguration`, which holds the values and the origin of each value.

Environment variables take precedence over the file, and the file over the event log. For example,
``NODEWALL_LOGGING__TARGET`` sets ``logging.target``. Values are YAML; lists may also be separated by commas.

Raises :class:`Refused` with all faults, each with its line in the file or its variable.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError

from adapters.inputs.invariants_file import invariants_in, under, unsound
from adapters.inputs.yaml_reader import MAX_BYTES, YamlDocument, read_yaml
from engine.errors import Fault, FieldPath, Refused, SourceLocation, safe_text
from engine.objects.config import DEFAULT_CONFIGURATION, Configuration
from engine.validation_errors import faults_of
from simulator.analysis.invariants import ParsedInvariant

PREFIX = "NODEWALL_"
DEFAULT, LOG = "default", "event log"

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class LoadedConfiguration:
    """Configuration, and the origin of each value by its path, such as ``logging.target``."""

    config: Configuration
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """Path of one value in the configuration; ``is_list`` is True if the value is a list."""

    path: tuple[str, ...]
    is_list: bool

    @property
    def variable(self) -> str:
        """Environment variable that sets the value."""
        return PREFIX + "__".join(_HUMP.sub("_", part).upper() for part in self.path)


def keys(model: type[BaseModel] = Configuration, above: tuple[str, ...] = ()) -> Iterator[ConfigKey]:
    """Yield the key of every value in a configuration, in order."""
    for name, about in model.model_fields.items():
        path = (*above, about.alias or name)
        if isinstance(about.annotation, type) and issubclass(about.annotation, BaseModel):
            yield from keys(about.annotation, path)
        else:
            kinds = (about.annotation, *get_args(about.annotation))
            yield ConfigKey(path, any(get_origin(kind) is tuple for kind in kinds))


def load(
    path: str | None, environment: Mapping[str, str], known: Configuration = DEFAULT_CONFIGURATION
) -> LoadedConfiguration:
    """Load a file, if ``path`` is given, and the environment on top of the ``known`` configuration.

    Raises:
        Refused: with every fault of the file and the environment.
    """
    given = _Given(document_of(path) if path else None, known)
    for key in keys():
        if key.variable in environment:
            given.take(key, environment[key.variable])
    return given.loaded()


@dataclass(slots=True)
class _Given:
    """Values for a configuration; later ones replace earlier ones."""

    document: YamlDocument | None
    known: Configuration
    values: dict[str, object] = field(default_factory=dict)
    variables: dict[tuple[str, ...], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = self.known.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if self.document is not None and self.document.value is not None:
            if isinstance(self.document.value, dict):
                _lay(self.values, self.document.value)
            else:
                self.faults.append(self.document.fault((), f"found {safe_text(self.document.value)}", "a mapping"))

    def take(self, key: ConfigKey, text: str) -> None:
        """Set the value of an environment variable."""
        self.variables[key.path] = key.variable
        if key.is_list and not text.lstrip().startswith(("[", "-")):
            value: object = [part.strip() for part in text.split(",") if part.strip()]
        else:
            try:
                (found,) = read_yaml(text, key.variable) or (None,)
                value = found.value if found else None
            except Refused as error:
                self.faults.extend(error.faults)
                return
        _put(self.values, key.path, value)

    def loaded(self) -> LoadedConfiguration:
        """Validate the values and return the configuration."""
        try:
            config = Configuration.model_validate(self.values, by_alias=True, by_name=False)
        except ValidationError as error:
            self.faults += (self._placed(location, fault) for location, fault in faults_of(error))
            raise Refused(tuple(self.faults)) from None
        found = ((("guard", "invariants", *at), fault) for at, fault in unsound(config.guard.invariants))
        self.faults += (self._placed(location, under(fault, location)) for location, fault in found)
        if self.faults:
            raise Refused(tuple(self.faults))
        return LoadedConfiguration(config, {".".join(key.path): self._origin(key.path) for key in keys()})

    def _placed(self, location: FieldPath, fault: Fault) -> Fault:
        for path, variable in self.variables.items():
            if location[: len(path)] == path:
                return Fault(fault.path, fault.problem, fault.expected, SourceLocation(variable))
        place = self.document.place(location) if self.document is not None else None
        return Fault(fault.path, fault.problem, fault.expected, place)

    def _origin(self, path: tuple[str, ...]) -> str:
        if path in self.variables:
            return f"environment {self.variables[path]}"
        if self.document is not None and _has(self.document.value, path):
            place = self.document.place(path)
            return f"{place.source}:{place.line}"
        known = self.known.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return LOG if _has(known, path) else DEFAULT


def document_of(path: str) -> YamlDocument | None:
    """Return the only document of a YAML file; None if the file is empty.

    Raises:
        Refused: the file cannot be read, is not YAML, or has several documents.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise Refused((Fault("", error.strerror or str(error), "a readable file", SourceLocation(path)),)) from None
    except UnicodeDecodeError as error:
        raise Refused(
            (Fault("", f"not text: {error.reason} at byte {error.start + 1}", "UTF-8", SourceLocation(path)),)
        ) from None
    except ValueError:  # a path with a NUL character
        raise Refused((Fault("", "no such file", "a readable file", SourceLocation(safe_text(path))),)) from None
    documents = read_yaml(text, path)
    if len(documents) > 1:
        raise Refused((Fault("", f"{len(documents)} documents", "one", SourceLocation(path)),))
    return documents[0] if documents else None


def invariants_at(path: str) -> tuple[ParsedInvariant, ...]:
    """Return the invariants that a YAML file lists.

    Raises:
        Refused: the file cannot be read, is empty, or has faults.
    """
    document = document_of(path)
    if document is None:
        raise Refused((Fault("", "no document", "a list of invariants", SourceLocation(path)),))
    return invariants_in(document)


def _lay(below: dict[str, object], above: Mapping[str, object]) -> None:
    """Merge ``above`` into ``below`` key by key; a list replaces a list."""
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            _lay(inner, value)
        else:
            below[key] = value


def _put(values: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for part in reversed(path):
        value = {part: value}
    _lay(values, value if isinstance(value, dict) else {})


def _has(value: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
