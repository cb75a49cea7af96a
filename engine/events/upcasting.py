"""Bodies of events as older versions of nodewall wrote them, made into what their types are now.

A schema that changes gets a new version, and an upcaster here from the one before; what is stored is never rewritten.
So an old log is read for good, and what is hashed stays as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Plain = dict[str, object]
Upcasters = Mapping[tuple[str, int], Callable[[Plain], Plain]]
"""By type and version: what makes a body of that version one of the next."""

UPCASTERS: Upcasters = {}
"""None yet, as every type is in its first version."""


@dataclass(eq=False)
class FutureVersion(ValueError):
    """A body is of a version of its type that a newer nodewall wrote."""

    type: str
    version: int
    known: int

    def __str__(self) -> str:
        """Say which, and what to do."""
        return f"{self.type} of version {self.version}, this nodewall knows {self.known}; use a newer nodewall"


def upcast(body: Plain, known: int, upcasters: Upcasters = UPCASTERS) -> Plain:
    """Return a body in the version of its type that is known now, itself where it is of no version.

    Raises:
        FutureVersion: its version is newer.
        KeyError: there is no upcaster from its version.
    """
    kind, version = body.get("type"), body.get("version")
    if not isinstance(kind, str) or type(version) is not int:
        return body
    if version > known:
        raise FutureVersion(kind, version, known)
    for each in range(version, known):
        body = {**upcasters[kind, each](body), "type": kind, "version": each + 1}
    return body
