"""Effective rules of a node: policy rules with all names resolved to addresses and ports.

Resolution (:mod:`engine.policy.resolve`) produces `CompletedRule` values; the compiler turns them into iptables rules
and ipsets. Names and actions are Antrea's; protocol names are those of iptables-save.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from engine.objects import BASELINE_TIER, RESERVED_TIERS
from engine.policy.prefix_sets import AddressBlock


class Direction(StrEnum):
    """Direction of packets as seen from the node."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Action(StrEnum):
    """Action of a rule, with Antrea's names."""

    ALLOW = "Allow"
    DROP = "Drop"
    REJECT = "Reject"
    PASS = "Pass"  # noqa: S105 - a verdict, no password


class Protocol(StrEnum):
    """Protocol, with the name that iptables-save prints."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"
    ICMPV6 = "ipv6-icmp"
    IGMP = "igmp"


class Plane(Enum):
    """Data plane that enforces a rule, given by what its policy is applied to."""

    NODES = "nodes"
    PODS = "pods"


STATIC_POLICY = "(static)"
"""Policy name of static rules, which come before all policies; no object can have this name."""

STATIC_PRIORITY = -1
"""Tier priority of static rules."""

BASELINE_PRIORITY = RESERVED_TIERS[BASELINE_TIER]

PortRange = tuple[int, int]
"""First and last port, both included."""

ANY_PORT: PortRange = (0, 65535)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Packets of one protocol.

    TCP, UDP and SCTP have port ranges. ``icmp`` is (type, code), with code -1 for any code, or None for every type.
    ``igmp`` is (type, group address), with -1 for any type and "" for any group, or None for all of IGMP.
    """

    protocol: Protocol
    ports: PortRange = ANY_PORT
    source_ports: PortRange = ANY_PORT
    icmp: tuple[int, int] | None = None
    igmp: tuple[int, str] | None = None

    @property
    def order(self) -> tuple[str, PortRange, PortRange, tuple[int, int], tuple[int, str]]:
        """Sort key."""
        everything = (-1, -1), (-1, "")
        return (self.protocol, self.ports, self.source_ports, self.icmp or everything[0], self.igmp or everything[1])


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """Position of a rule among all rules of its direction; lower is evaluated first, and no two are equal."""

    tier: int
    priority: float
    policy: str
    index: int


@dataclass(frozen=True, slots=True)
class CompletedRule:
    """One rule of one policy for one node.

    ``peers`` None is any address; an empty tuple matches nothing. Empty ``services`` is every protocol. ``logged``
    rules log the first packet of each flow, with ``label`` if set.
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
        """Whether the rule belongs to the baseline tier, which also judges passed packets."""
        return self.rank.tier == BASELINE_PRIORITY

    @property
    def id(self) -> str:
        """``policy/rule``; unique on a node, because rule names are unique in a policy."""
        return f"{self.policy}/{self.name}"
