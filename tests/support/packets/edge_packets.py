"""Packets at the edges of a random cluster: just inside and just outside of the values that its rules name.

The values come directly from the documents, without the code that resolves and compiles policies.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from pydantic import BaseModel

from engine.ip_types import Network
from engine.objects import ClusterNetworkPolicy
from engine.rulesets.model import Family
from simulator.packets import ConnState, Packet
from tests.support.policies.random_clusters import CENTRES, INTERFACES, MULTICAST, OWN, World, edges
from tests.support.seeds import seeded

_PORTS = ("port", "end_port", "source_port", "source_end_port")
_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}


@dataclass(frozen=True, slots=True)
class Aim:
    """Values that a document names: networks by family, protocols, ports, ICMP and IGMP types.

    ``arrives`` is the direction, or None for both.
    """

    networks: Mapping[Family, tuple[Network, ...]]
    protocols: tuple[int, ...]
    ports: tuple[int, ...]
    icmp: tuple[int, ...]
    igmp: tuple[int, ...]
    arrives: bool | None = None


def packets_of(world: World, count: int) -> list[Packet]:
    """Return packets for a cluster: most are aimed at one of its rules, the others at all values that it names."""
    dice = seeded(f"{world.seed} packets")
    whole = _aim(*world.objects, world.config, world.host)
    policies = [item.spec for item in world.objects if isinstance(item, ClusterNetworkPolicy)]
    aims = [_at(rule, whole, arrives=True) for spec in policies for rule in spec.ingress]
    aims += [_at(rule, whole, arrives=False) for spec in policies for rule in spec.egress]
    return [_packet(dice, dice.choice(aims) if aims and dice.random() < 0.7 else whole) for _ in range(count)]


def _at(rule: BaseModel, whole: Aim, *, arrives: bool) -> Aim:
    own = _aim(rule)
    networks = {family: own.networks[family] or whole.networks[family] for family in Family}
    return replace(own, networks=networks, arrives=arrives)


def _aim(*documents: BaseModel) -> Aim:
    leaves = [leaf for document in documents for leaf in _leaves(document.model_dump())]
    networks = {net for _, text in leaves if isinstance(text, str) and (net := _network(text)) is not None}
    numbers = [(key, value) for key, value in leaves if isinstance(value, int) and not isinstance(value, bool)]
    return Aim(
        {family: tuple(sorted((n for n in networks if f"IPv{n.version}" == family), key=str)) for family in Family},
        tuple(sorted({_NUMBERS[text] for _, text in leaves if isinstance(text, str) and text in _NUMBERS})),
        tuple(sorted({value for key, value in numbers if key in _PORTS})),
        tuple(sorted({value for key, value in numbers if key == "icmp_type"})),
        tuple(sorted({value for key, value in numbers if key == "igmp_type"})),
    )


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _packet(dice: random.Random, aim: Aim) -> Packet:
    family = dice.choice(tuple(Family))
    far = dice.choice(edges(aim.networks[family], family) or [ip_address(CENTRES[family][0])])
    own = dice.choice(sorted(text for text in map(str, OWN) if (":" in text) == (family is Family.IPV6)))
    arrives = dice.random() < 0.5 if aim.arrives is None else aim.arrives
    interface = dice.choice(("eth0",) * 20 + INTERFACES)
    packet = Packet(
        src=far if arrives else ip_address(own),
        dst=ip_address(own) if arrives else far,
        protocol=dice.choice((47, 50, 89)),
        in_interface=interface if arrives else "",
        out_interface="" if arrives else interface,
        state=dice.choice((ConnState.NEW,) * 40 + tuple(ConnState)),
    )
    kinds = [*([_with_ports] * 3 if aim.ports or not aim.icmp else []), _with_icmp, _with_igmp]
    if dice.random() < 0.1:
        return packet
    return dice.choice([_with_igmp] * 3 + kinds if aim.igmp else [_with_icmp] * 3 + kinds if aim.icmp else kinds)(
        dice, packet, aim
    )


def _with_ports(dice: random.Random, packet: Packet, aim: Aim) -> Packet:
    protocol = dice.choice(aim.protocols or (6, 17, 132)) if dice.random() < 0.9 else dice.choice((6, 17, 132))
    if dice.random() < 0.03:
        return replace(packet, protocol=protocol, fragment=True)
    near = [port + by for port in aim.ports for by in (-1, 0, 0, 1) if 0 < port + by < 65536] or [1]
    flags = frozenset({"SYN"} if protocol == 6 else ())
    sport = dice.choice((dice.choice(near), 40000, 40000))
    return replace(packet, protocol=protocol, sport=sport, dport=dice.choice(near), flags=flags)


def _with_icmp(dice: random.Random, packet: Packet, aim: Aim) -> Packet:
    near = [kind + by for kind in (*aim.icmp, 8, 128, 135) for by in (-1, 0, 0, 1) if 0 <= kind + by < 256]
    protocol = 1 if packet.family is Family.IPV4 else 58
    return replace(packet, protocol=protocol, icmp=(dice.choice(near), dice.choice((0, 0, 1, 4))), icmp_id=7)


def _with_igmp(dice: random.Random, packet: Packet, aim: Aim) -> Packet:
    if packet.family is Family.IPV6:
        return _with_icmp(dice, packet, aim)
    group = dice.choice([ip_address(text) for text in MULTICAST])
    to = packet.dst if dice.random() < 0.2 else group
    return replace(packet, protocol=2, dst=to, igmp=dice.choice((*aim.igmp, *aim.igmp, 0x11, 0x17)))
