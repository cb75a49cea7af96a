"""Finds existing connections of a node that its policies would no longer admit as new connections.

The compiled rules accept packets of existing connections before any policy rule, so such a connection continues until
its entry leaves the kernel's connection table.

Input: `TrackedFlow` values (entries of that table), the compiled rules, the node's addresses, and a function that finds
the interface to an address. Output: the flows that a policy would drop or reject. This module does not read or change
the kernel's table.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from engine.rulesets.model import Ruleset
from simulator.netfilter import Verdict, Walker
from simulator.packets import Address, Packet, protocol_names

RouteLookup = Callable[[Address], str]
"""Function from a remote address to the interface that leads to it; empty if there is no route."""


@dataclass(frozen=True, slots=True, order=True)
class TrackedFlow:
    """Entry of the connection table: its first packet and the expected reply, which differs after NAT.

    ``sport`` and ``dport`` are None if the protocol has no ports. ``icmp`` is type, code and identifier of a query.
    """

    protocol: int
    src: Address
    dst: Address
    answer_src: Address
    answer_dst: Address
    sport: int | None = None
    dport: int | None = None
    answer_sport: int | None = None
    icmp: tuple[int, int, int] | None = None
    zone: int = 0


def no_longer_admitted(
    flows: Iterable[TrackedFlow], rules: Ruleset, own: Collection[Address], route: RouteLookup
) -> tuple[TrackedFlow, ...]:
    """Return the flows to or from a node's own addresses whose first packet its policies would now drop or reject.

    Forwarded flows and flows within the node are not judged.

    Args:
        flows: Entries of the connection table.
        rules: The rules of nodewall alone, without the host's own rules.
        own: Addresses of the node.
        route: Finds the interface to a remote address.
    """
    walker = Walker(rules)
    return tuple(flow for flow in flows for packet in _first_packets(flow, own, route) if _refused(walker, packet))


def _refused(walker: Walker, packet: Packet) -> bool:
    answer = walker.verdict(packet)
    return (
        answer.verdict is not Verdict.ACCEPT and answer.decided_by is not None and answer.decided_by.policy is not None
    )


def _first_packets(flow: TrackedFlow, own: Collection[Address], route: RouteLookup) -> Iterator[Packet]:
    """Yield a flow's first packet as the filter table sees it: after DNAT, before SNAT."""
    arrives, leaves = flow.answer_src in own, flow.src in own
    if arrives == leaves:
        return
    interface = route(flow.src if arrives else flow.answer_src)
    if not interface:
        return
    has_ports = flow.protocol in protocol_names.PORT_PROTOCOLS
    yield Packet(
        src=flow.src,
        dst=flow.answer_src,
        protocol=flow.protocol,
        sport=flow.sport if has_ports else None,
        dport=flow.answer_sport if has_ports else None,
        flags=frozenset({"SYN"}) if flow.protocol == protocol_names.TCP else frozenset(),
        icmp=flow.icmp[:2] if flow.icmp else None,
        icmp_id=flow.icmp[2] if flow.icmp else None,
        in_interface=interface if arrives else "",
        out_interface="" if arrives else interface,
    )
