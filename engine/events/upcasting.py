"""Converts ("upcasts") event bodies of older schema versions to the current version when they are read.

Input: a decoded body, the current version of its type, and the upcasters: functions by (type, version) that convert a
body to the next version. Output: the body in the current version. Each schema change adds an upcaster. Stored events
are never rewritten, so old logs stay readable and their hashes stay valid. Raises `FutureVersion` for a body that a
newer nodewall wrote.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Plain = dict[str, object]
Upcasters = Mapping[tuple[str, int], Callable[[Plain], Plain]]
"""(type, version) -> function that converts a body of that version to the next."""

UPCASTERS: Upcasters = {}
"""Empty: every type is still in its first version."""


@dataclass(eq=False)
class FutureVersion(ValueError):
    """A newer nodewall wrote the body: its ``version`` is higher than the ``known`` one."""

    type: str
    version: int
    known: int

    def __str__(self) -> str:
        """Return type and versions, and the remedy."""
        return f"{self.type} of version {self.version}, this nodewall knows {self.known}; use a newer nodewall"


def upcast(body: Plain, known: int, upcasters: Upcasters = UPCASTERS) -> Plain:
    """Return a body in the version ``known``; unchanged if it has no type or version.

    Raises:
        FutureVersion: its version is higher than ``known``.
        KeyError: an upcaster is missing.
    """
    kind, version = body.get("type"), body.get("version")
    if not isinstance(kind, str) or type(version) is not int:
        return body
    if version > known:
        raise FutureVersion(kind, version, known)
    for each in range(version, known):
        body = {**upcasters[kind, each](body), "type": kind, "version": each + 1}
    return body
