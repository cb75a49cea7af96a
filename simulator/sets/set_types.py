"""The types of sets there are, and what the dimensions of each hold (ipset(8))."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class SetDimension(StrEnum):
    """What one dimension of a set holds, under the word that type names have for it."""

    IP = "ip"
    NET = "net"
    PORT = "port"
    MAC = "mac"
    MARK = "mark"
    IFACE = "iface"
    SET = "set"


@dataclass(frozen=True)
class SetType:
    """A type of sets: how it stores its members, and what each of their dimensions holds."""

    storage: str
    parts: tuple[SetDimension, ...]

    @cached_property
    def nets(self) -> tuple[int, ...]:
        """Which dimensions hold networks."""
        return tuple(at for at, part in enumerate(self.parts) if part is SetDimension.NET)

    @cached_property
    def exceptions(self) -> bool:
        """Whether its members may be exceptions; ``--return-nomatch`` does nothing to the others."""
        return bool(self.nets)

    @cached_property
    def bitmap(self) -> bool:
        """Whether it holds a fixed range."""
        return self.storage == "bitmap"

    @cached_property
    def tailed(self) -> bool:
        """Whether the last dimension is compared once a member is found by the others, not searched by."""
        return self.parts[-1] is SetDimension.IFACE or (self.bitmap and self.parts[-1] is SetDimension.MAC)

    @cached_property
    def of_both_families(self) -> bool:
        """Whether a set of it holds packets of either family."""
        return self.parts in {(SetDimension.SET,), (SetDimension.MAC,)} or (
            self.bitmap and self.parts == (SetDimension.PORT,)
        )


_NAMES = (
    "bitmap:ip bitmap:ip,mac bitmap:port hash:ip hash:mac hash:ip,mac hash:net hash:net,net hash:ip,port hash:net,port "
    "hash:ip,port,ip hash:ip,port,net hash:net,port,net hash:ip,mark hash:net,iface list:set"
).split()


def _kind(name: str) -> SetType:
    storage, _, parts = name.partition(":")
    return SetType(storage, tuple(SetDimension(part) for part in parts.split(",")))


KINDS: Mapping[str, SetType] = {name: _kind(name) for name in _NAMES}
"""Every type, by its name."""
