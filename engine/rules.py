"""Effective rules: what one node must do to which packets, with every name resolved to addresses and ports.

These are the values that pass from resolution through the reconcilers to the compilers of the data planes.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from engine.addresses import Block


class Direction(StrEnum):
    """Which way packets travel, seen from the node."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Action(StrEnum):
    """What a rule does with a packet, under Antrea's names."""

    ALLOW = "Allow"
    DROP = "Drop"
    REJECT = "Reject"


class Protocol(StrEnum):
    """A transport, under the name iptables-save gives it."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"
    ICMPV6 = "ipv6-icmp"


class Plane(Enum):
    """The data plane that a rule is for: what its policy is applied to."""

    NODES = "nodes"
    PODS = "pods"


PortRange = tuple[int, int]
"""First and last port, both included."""

ANY_PORT: PortRange = (0, 65535)


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """Traffic of one protocol, to and from ranges of ports; ``icmp`` is a type and a code, -1 for any code."""

    protocol: Protocol
    ports: PortRange = ANY_PORT
    source_ports: PortRange = ANY_PORT
    icmp: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """Where a rule stands among all rules of its direction; lower is evaluated first and no two are equal."""

    tier: int
    priority: float
    policy: str
    index: int


@dataclass(frozen=True, slots=True)
class CompletedRule:
    """One rule of one policy for one node.

    ``peers`` None is anywhere; an empty tuple is nobody, and the rule then matches nothing. No ``services`` means
    every protocol.
    """

    policy: str
    name: str
    rank: Rank
    direction: Direction
    action: Action
    peers: tuple[Block, ...] | None = None
    services: tuple[Service, ...] = ()
    plane: Plane = Plane.NODES

    @property
    def id(self) -> str:
        """``policy/rule``, unique on a node because rule names are unique in a policy."""
        return f"{self.policy}/{self.name}"
