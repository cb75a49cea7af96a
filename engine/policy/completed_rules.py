"""Effective rules: what one node must do to which packets, with every name resolved to addresses and ports.

These are the values that pass from resolution through the reconcilers to the compilers of the data planes.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from engine.objects import BASELINE_TIER, RESERVED_TIERS
from engine.policy.prefix_sets import AddressBlock


class Direction(StrEnum):
    """Which way packets travel, seen from the node."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Action(StrEnum):
    """What a rule does with a packet, under Antrea's names."""

    ALLOW = "Allow"
    DROP = "Drop"
    REJECT = "Reject"
    PASS = "Pass"  # noqa: S105 - a verdict, no password


class Protocol(StrEnum):
    """A transport, under the name iptables-save gives it."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"
    ICMPV6 = "ipv6-icmp"
    IGMP = "igmp"


class Plane(Enum):
    """The data plane that a rule is for: what its policy is applied to."""

    NODES = "nodes"
    PODS = "pods"


STATIC_POLICY = "(static)"
"""Stands where a policy's name would in what comes ahead of all policies; no object can bear it."""

STATIC_PRIORITY = -1
"""The tier priority of what comes ahead of all policies."""

BASELINE_PRIORITY = RESERVED_TIERS[BASELINE_TIER]

PortRange = tuple[int, int]
"""First and last port, both included."""

ANY_PORT: PortRange = (0, 65535)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic of one protocol.

    TCP, UDP and SCTP have ranges of ports; ``icmp`` is a type and a code, -1 for any code, None for every type;
    ``igmp`` is a type (-1 for any) and the group address it is sent to (empty for any), None for all of IGMP.
    """

    protocol: Protocol
    ports: PortRange = ANY_PORT
    source_ports: PortRange = ANY_PORT
    icmp: tuple[int, int] | None = None
    igmp: tuple[int, str] | None = None

    @property
    def order(self) -> tuple[str, PortRange, PortRange, tuple[int, int], tuple[int, str]]:
        """What services are sorted by."""
        everything = (-1, -1), (-1, "")
        return (self.protocol, self.ports, self.source_ports, self.icmp or everything[0], self.igmp or everything[1])


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
    every protocol. ``logged`` rules log the first packet of each flow, with ``label`` where there is one.
    """

    policy: str
    name: str
    rank: Rank
    direction: Direction
    action: Action
    peers: tuple[AddressBlock, ...] | None = None
    services: tuple[Traffic, ...] = ()
    plane: Plane = Plane.NODES
    logged: bool = False
    label: str = ""

    @property
    def baseline(self) -> bool:
        """Whether it belongs to the tier in which passed packets are judged."""
        return self.rank.tier == BASELINE_PRIORITY

    @property
    def id(self) -> str:
        """``policy/rule``, unique on a node because rule names are unique in a policy."""
        return f"{self.policy}/{self.name}"
