"""Random clusters over the whole policy language; the seed alone determines each.

Addresses lie close to a few centres, and labels are few, so that selectors, blocks and exceptions often overlap.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

from engine.events import ConfigDeclared, HostObserved
from engine.ip_types import Address, Network
from engine.objects import KINDS, RESERVED_TIERS, ClusterObject
from engine.objects.config import Configuration
from engine.rulesets.model import Family
from engine.state.admission import events_for
from engine.state.fold import ClusterState, evolve
from tests.support.seeds import seeded

NODE = "node-1"
"""Node under test."""

ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")
"""Addresses of the Node."""

OWN: frozenset[Address] = frozenset(map(ip_address, ADDRESSES))
RESOLVERS = ("198.51.100.53", "2001:db8:53::53")
INTERFACES = ("lo", "eth0", "eth1", "ens160")
"""Network interfaces of the Node."""

CENTRES = {
    Family.IPV4: ("10.1.2.128", "100.64.0.0", "198.51.100.64", "192.0.2.4"),
    Family.IPV6: ("fd00:1:2::80", "2001:db8::4", "2001:db8:ff:ffff:ffff:ffff:ffff:fff0", "2600::"),
}
"""Addresses near which networks lie, so that they often contain each other."""

LENGTHS = {Family.IPV4: (0, 1, 2, 8, 15, 16, 24, 25, 28, 30, 31, 32), Family.IPV6: (0, 1, 3, 32, 64, 120, 127, 128)}
MULTICAST = ("224.0.0.1", "224.0.0.251", "239.1.2.3")
IGMP_TYPES = (0x11, 0x12, 0x16, 0x22)
ICMP_TYPES = ((0, 0), (3, 1), (3, 4), (8, 0), (11, 0), (13, 0), (128, 0), (129, 0), (133, 0), (135, 0), (136, 0))
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
SPACES, APPS, ACCOUNTS, GROUPS = ("shop", "bank", "lost"), ("web", "db"), ("default", "robot"), "abcde"
SERVICES = ("front", "back")

Json = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """Random cluster, with the configuration and host facts of the Node under test."""

    seed: str
    objects: tuple[ClusterObject, ...]
    config: Configuration
    host: HostObserved

    @property
    def state(self) -> ClusterState:
        """State with all objects; admission accepts them."""
        state = ClusterState()
        bodies = events_for(state, [(item, None) for item in self.objects])
        for body in (*bodies, ConfigDeclared(config=self.config), self.host):
            state = evolve(state, body)
        return state


def drawn(seed: str) -> World:
    """Return the cluster of a seed."""
    dice = seeded(seed)
    draw = _Draw(dice)
    parts = (
        draw.nodes(),
        draw.tiers(),
        draw.namespaces(),
        draw.pods(),
        draw.services(),
        draw.groups(),
        draw.policies(),
    )
    objects = tuple(_made(item) for part in parts for item in part)
    host = HostObserved(node=NODE, interfaces=INTERFACES, resolvers=RESOLVERS)
    return World(seed, objects, Configuration.model_validate(draw.config()), host)


def shrunk(world: World, fails: Callable[[World], bool]) -> World:
    """Remove objects while the cluster still fails, so that the message is readable."""
    objects = list(world.objects)
    for item in world.objects:
        rest = tuple(other for other in objects if other is not item)
        smaller = World(world.seed, rest, world.config, world.host)
        if _sound(smaller) and fails(smaller):
            objects = list(rest)
    return World(world.seed, tuple(objects), world.config, world.host)


def _sound(world: World) -> bool:
    try:
        return NODE in world.state.nodes
    except Exception:  # noqa: BLE001 - a refused cluster is no valid smaller one
        return False


def _made(document: Json) -> ClusterObject:
    return KINDS[str(document["kind"])].model_validate(document)


def _object(kind: str, name: str, version: str = "v1", namespace: str = "", **rest: object) -> Json:
    labels = rest.pop("labels", {})
    metadata = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


CRD = "crd.antrea.io/v1beta1"


@dataclass(slots=True)
class _Draw:
    """Draws the parts of a cluster, as documents."""

    dice: random.Random

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def one(self, *of: Mapping[str, object]) -> Json:
        return dict(self.dice.choice(of))

    def some(self, of: Sequence[T], at_most: int) -> list[T]:
        return [self.dice.choice(of) for _ in range(self.dice.randrange(at_most + 1))]

    def nodes(self) -> list[Json]:
        leader = {CONTROL_PLANE: ""} if self.chance(0.5) else {}
        ours = _node(NODE, ADDRESSES, {"zone": "a", "app": "web", **leader})
        others = range(2, 2 + self.dice.randrange(4))
        return [ours, *(_node(f"node-{n}", self._addresses(), self._node_labels()) for n in others)]

    def _node_labels(self) -> Json:
        return {"zone": self.dice.choice("ab"), **({CONTROL_PLANE: ""} if self.chance(0.3) else {})}

    def _addresses(self) -> list[str]:
        found = [self.address(family) for family in Family if self.chance(0.8)]
        return [str(address) for address in found if address not in OWN and routable(address)]

    def address(self, family: Family) -> Address:
        return shifted(ip_address(self.dice.choice(CENTRES[family])), self.dice.randrange(-9, 10))

    def tiers(self) -> list[Json]:
        return [_object("Tier", "own", CRD, spec={"priority": self.dice.choice((10, 120, 249))})]

    def namespaces(self) -> list[Json]:
        return [_object("Namespace", name, labels={"team": self.dice.choice("rb")}) for name in SPACES[:2]]

    def pods(self) -> list[Json]:
        return [self._pod(number) for number in range(self.dice.randrange(9))]

    def _pod(self, number: int) -> Json:
        phase = self.dice.choice(("Running",) * 5 + ("Pending", "Succeeded", "Failed"))
        return _object(
            "Pod",
            f"pod-{number}",
            namespace=self.dice.choice(SPACES),
            labels={"app": self.dice.choice(APPS)},
            spec={"serviceAccountName": self.dice.choice(ACCOUNTS), "hostNetwork": self.chance(0.15)},
            status={"phase": phase, "podIPs": [{"ip": text} for text in self._addresses()]},
        )

    def services(self) -> list[Json]:
        found: list[Json] = []
        for name in self.some(SERVICES, 2):
            if name in {str(item["metadata"]["name"]) for item in found}:  # type: ignore[index] # made just above
                continue
            selector = {"app": self.dice.choice(APPS)} if self.chance(0.5) else {}
            found.append(_object("Service", name, namespace="shop", spec={"selector": selector}))
        slices = [self._slice(number) for number in range(self.dice.randrange(3))]
        return [*found, *slices]

    def _slice(self, number: int) -> Json:
        family = self.dice.choice(tuple(Family))
        return _object(
            "EndpointSlice",
            f"slice-{number}",
            "discovery.k8s.io/v1",
            "shop",
            labels={"kubernetes.io/service-name": self.dice.choice(SERVICES)},
            addressType=family.value,
            endpoints=[{"addresses": [str(self.address(family))]} for _ in range(self.dice.randrange(3))],
        )

    def groups(self) -> list[Json]:
        """Draw some of the groups; some are children of ``e``, and children may be missing."""
        names = [name for name in GROUPS[:-1] if self.chance(0.7)]
        found = [_object("ClusterGroup", name, CRD, spec=self._source()) for name in names]
        parent = {"childGroups": sorted({*self.some(GROUPS[:-1], 2), self.dice.choice(GROUPS[:-1])})}
        return [*found, *([_object("ClusterGroup", GROUPS[-1], CRD, spec=parent)] if self.chance(0.8) else [])]

    def _source(self) -> Json:
        sources: tuple[Callable[[], Json], ...] = (
            lambda: {"ipBlocks": [self.block() for _ in range(self.dice.randrange(1, 4))]},
            lambda: {"nodeSelector": self.node_selector()},
            self.pod_selectors,
            lambda: {"serviceReference": {"name": self.dice.choice(SERVICES), "namespace": "shop"}},
        )
        return self.dice.choice(sources)()

    def node_selector(self) -> Json:
        zone = {"matchLabels": {"zone": self.dice.choice("ab")}}
        expressions: tuple[Json, ...] = (
            {"key": CONTROL_PLANE, "operator": self.dice.choice(("Exists", "DoesNotExist"))},
            {"key": "zone", "operator": self.dice.choice(("In", "NotIn")), "values": ["b"]},
        )
        return self.one({}, zone, {"matchExpressions": self.some(expressions, 2)})

    def pod_selectors(self) -> Json:
        pods = self.one({}, {"matchLabels": {"app": self.dice.choice(APPS)}})
        name = {"matchLabels": {"kubernetes.io/metadata.name": self.dice.choice(SPACES)}}
        spaces = self.one({}, name, {"matchLabels": {"team": self.dice.choice("rb")}})
        return self.one(
            {"podSelector": pods}, {"namespaceSelector": spaces}, {"podSelector": pods, "namespaceSelector": spaces}
        )

    def policies(self) -> list[Json]:
        return [
            _object("ClusterNetworkPolicy", f"p{n}", CRD, spec=self._policy()) for n in range(self.dice.randrange(1, 8))
        ]

    def _policy(self) -> Json:
        tier = self.dice.choice((*RESERVED_TIERS, "own"))
        whole = self.chance(0.75)
        sides = {
            side: [self._rule(far, tier, whole=whole) for _ in range(self.dice.randrange(4))]
            for side, far in (("ingress", "from"), ("egress", "to"))
        }
        priority = self.dice.choice((1.0, 5.0, 5.5))
        applied = {"appliedTo": self._applied()} if whole or not any(sides.values()) else {}
        return {"priority": priority, "tier": tier, **applied, **sides}

    def _applied(self) -> list[Json]:
        ours: Json = {"nodeSelector": self.dice.choice(({}, {"matchLabels": {"zone": "a"}}, self.node_selector()))}
        entries: tuple[Json, ...] = (ours, ours, ours, {"group": self.dice.choice(GROUPS)}, self.pod_selectors())
        return [self.dice.choice(entries) for _ in range(self.dice.choice((1, 1, 2)))]

    def _rule(self, far: str, tier: str, *, whole: bool) -> Json:
        """Draw a rule; rules without peers and ports are rare, because they hide all later rules."""
        actions = ("Allow", "Drop", "Reject") if tier == "baseline" else ("Allow", "Drop", "Reject", "Pass")
        rule: Json = {"action": self.dice.choice(actions), **({} if whole else {"appliedTo": self._applied()})}
        if self.chance(0.15):
            rule |= {"action": self.dice.choice(("Allow", "Drop")), "protocols": [{"igmp": self._igmp()}]}
        else:
            rule |= self._traffic()
        if self.chance(0.75):
            rule[far] = [self.peer() for _ in range(self.dice.randrange(1, 4))]
        if self.chance(0.3):
            rule |= {"enableLogging": True, **({"logLabel": "a-label"} if self.chance(0.5) else {})}
        return rule

    def _traffic(self) -> Json:
        many = self.chance(0.15)
        ports = [self._port() for _ in range(self.dice.randrange(8, 25) if many else self.dice.randrange(4))]
        protocols = [{"icmp": self._icmp()} for _ in range(self.dice.choice((0, 0, 0, 1, 2)))]
        return {**({"ports": ports} if ports else {}), **({"protocols": protocols} if protocols else {})}

    def _icmp(self) -> Json:
        kind, code = self.dice.choice(ICMP_TYPES)
        return self.one({}, {"icmpType": kind}, {"icmpType": kind, "icmpCode": code})

    def _igmp(self) -> Json:
        kind: Json = {"igmpType": self.dice.choice(IGMP_TYPES)}
        group: Json = {"groupAddress": self.dice.choice(MULTICAST)}
        return self.one({}, kind, group, {**kind, **group})

    def peer(self) -> Json:
        """Draw a peer of any kind, often a block."""
        others: tuple[Json, ...] = (
            {"nodeSelector": self.node_selector()},
            self.pod_selectors(),
            {"group": self.dice.choice(GROUPS)},
            {"serviceAccount": {"name": self.dice.choice(ACCOUNTS), "namespace": self.dice.choice(SPACES)}},
        )
        return {"ipBlock": self.block()} if self.chance(0.5) else self.dice.choice(others)

    def block(self) -> Json:
        """Draw a block with exceptions, which may overlap."""
        family = self.dice.choice(tuple(Family))
        outer = self.network(family)
        inside = {str(net) for _ in range(self.dice.randrange(5)) if within(net := self.network(family), outer)}
        return {"cidr": str(outer), **({"except": sorted(inside)} if inside else {})}

    def network(self, family: Family) -> Network:
        """Draw a network near one of the centres."""
        centre = shifted(ip_address(self.dice.choice(CENTRES[family])), self.dice.randrange(-40, 40))
        return ip_network((centre, self.dice.choice(LENGTHS[family])), strict=False)

    def _port(self) -> Json:
        entry: Json = {"protocol": self.dice.choice(("TCP", "TCP", "UDP", "SCTP"))}
        entry |= self._range("port", "endPort") if self.chance(0.9) else {}
        return entry | (self._range("sourcePort", "sourceEndPort") if self.chance(0.15) else {})

    def _range(self, first: str, last: str) -> Json:
        """Draw a port or a range of ports, often near others."""
        common = (1, 22, 443, 6443, 10250, 65535, self.dice.randrange(1, 65536), self.dice.randrange(80, 120))
        low = self.dice.choice(common)
        high = min(low + self.dice.choice((0, 1, 7, 3000)), 65535)
        return {first: low, last: high} if self.chance(0.4) else {first: low}

    def config(self) -> Json:
        """Draw a configuration, in which most keys are often missing."""
        parts: Mapping[str, tuple[float, object]] = {
            "interfaces": (0.15, self.dice.choice((["eth*"], ["eth0"], ["en?160", "eth1"], ["wlan?"], ["e*", "eth0"]))),
            "families": (0.1, [self.dice.choice(tuple(Family)).value]),
            "allowAction": (0.1, "Return"),
            "jumpPosition": (0.1, "Last"),
            "logging": (0.2, {"target": "kernel"}),
            "featureGates": (0.02, {"NodeNetworkPolicy": False}),
            "privilegedRules": (0.3, self._privileged()),
        }
        return {name: value for name, (likely, value) in parts.items() if self.chance(likely)}

    def _privileged(self) -> Json:
        side, far = self.dice.choice((("Ingress", "from"), ("Egress", "to")))
        rule = {**self._rule(far, "baseline", whole=self.chance(0.7)), "direction": side}
        return {"mode": self.dice.choice(("Extend", "Replace")), "rules": [rule]}


def _node(name: str, addresses: Sequence[str], labels: Json) -> Json:
    kinds = ("InternalIP", "InternalIP", "ExternalIP", "InternalIP")
    found = [{"type": kind, "address": text} for kind, text in zip(kinds, addresses, strict=False)]
    return _object("Node", name, labels=labels, status={"addresses": [{"type": "Hostname", "address": name}, *found]})


def within(inner: Network, outer: Network) -> bool:
    """Return True if ``inner`` is a smaller network inside ``outer``, of the same family."""
    return inner.prefixlen > outer.prefixlen and inner[0] in outer


def shifted(address: Address, by: int) -> Address:
    """Return the address plus ``by``, limited to the first and last address of the family."""
    return type(address)(min(max(int(address) + by, 0), 2**address.max_prefixlen - 1))


def routable(address: Address) -> bool:
    """Return True if packets from and to an address reach the rules; routing drops the others before."""
    if isinstance(address, IPv6Address):
        return not (address.is_multicast or address.is_link_local or int(address) >> 64 == 0)
    return not (address.is_loopback or address.is_multicast or int(address) >> 24 == 0 or address == _BROADCAST)


_BROADCAST = IPv4Address("255.255.255.255")


def edges(networks: Sequence[Network], family: Family) -> list[Address]:
    """Return the routable addresses of a family at the edges of networks, inside and outside."""
    version = 4 if family is Family.IPV4 else 6
    found = (
        address
        for network in networks
        if network.version == version
        for end, by in ((network[0], -1), (network[-1], 1))
        for address in (end, shifted(end, by))
    )
    return [address for address in found if routable(address)]
