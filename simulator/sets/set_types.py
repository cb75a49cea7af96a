"""Set types of ipset, such as ``hash:ip,port``: their storage method and the parts of their members.

`KINDS` maps each type name to a `SetType`. Source: ipset(8).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class SetDimension(StrEnum):
    """Content of one dimension of a set, named as in type names."""

    IP = "ip"
    NET = "net"
    PORT = "port"
    MAC = "mac"
    MARK = "mark"
    IFACE = "iface"
    SET = "set"


@dataclass(frozen=True)
class SetType:
    """Set type: its storage (``hash``, ``bitmap``, ``list``) and its dimensions."""

    storage: str
    parts: tuple[SetDimension, ...]

    @cached_property
    def nets(self) -> tuple[int, ...]:
        """Indexes of the dimensions that hold networks."""
        return tuple(at for at, part in enumerate(self.parts) if part is SetDimension.NET)

    @cached_property
    def exceptions(self) -> bool:
        """Whether members may be exceptions; ``--return-nomatch`` has no effect on other types."""
        return bool(self.nets)

    @cached_property
    def bitmap(self) -> bool:
        """Whether the set covers a fixed range."""
        return self.storage == "bitmap"

    @cached_property
    def compares_last(self) -> bool:
        """Whether the last dimension is compared after the look-up and is not part of the key."""
        return self.parts[-1] is SetDimension.IFACE or (self.bitmap and self.parts[-1] is SetDimension.MAC)

    @cached_property
    def of_both_families(self) -> bool:
        """Whether a set of this type holds packets of either family."""
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
"""Set types by name."""
