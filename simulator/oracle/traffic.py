"""Evaluation of a rule's ports and protocols for one packet, with reasons.

Input: a `Packet` and a `PolicyRule`. Output: a `ReasonedResult` (true or false, and the reason in words). The code
shares nothing with the compiler, so that tests can compare both. Source: ``docs/reference/semantics.md``.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from engine.objects import ICMPProtocol, IGMPProtocol, PolicyPort, PolicyRule, RuleProtocol
from engine.objects.config import ICMPv6Protocol, PrivilegedProtocol
from simulator.oracle.labels import ReasonedResult
from simulator.packets import Packet

_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_ICMP, _IGMP, _ICMPV6 = 1, 2, 58


def covers_traffic(packet: Packet, rule: PolicyRule) -> ReasonedResult:
    """Return whether a rule's ports and protocols cover the packet; a rule without any covers all traffic."""
    if not rule.ports and not rule.protocols:
        return ReasonedResult(holds=True, why="no ports or protocols: all traffic")
    reasons = []
    for found in _findings(packet, rule):
        if found:
            return found
        reasons.append(found.why)
    return ReasonedResult(holds=False, why="; ".join(reasons))


def _findings(packet: Packet, rule: PolicyRule) -> Iterator[ReasonedResult]:
    for number, port in enumerate(rule.ports):
        yield _port(packet, port, f"ports[{number}]")
    for number, protocol in enumerate(rule.protocols):
        yield _protocol(packet, protocol, f"protocols[{number}]")


def _port(packet: Packet, port: PolicyPort, where: str) -> ReasonedResult:
    if packet.protocol != _NUMBERS[port.protocol]:
        return ReasonedResult(holds=False, why=f"{where}: not {port.protocol}")
    for name, value, first, last in (
        ("port", packet.dport, port.port, port.end_port),
        ("source port", packet.sport, port.source_port, port.source_end_port),
    ):
        if first is None:
            continue
        end = first if last is None else last
        if packet.fragment or value is None or not first <= value <= end:
            wanted = str(first) if end == first else f"{first}-{end}"
            return ReasonedResult(holds=False, why=f"{where}: {name} {value}, not {wanted}")
    return ReasonedResult(holds=True, why=f"{where}: {port.protocol} of these ports")


def _protocol(packet: Packet, entry: RuleProtocol, where: str) -> ReasonedResult:
    if entry.igmp is not None:
        return _igmp(packet, entry.igmp, where)
    if isinstance(entry, PrivilegedProtocol) and entry.icmpv6 is not None:
        return _typed(packet, _ICMPV6, entry.icmpv6, where)
    if entry.icmp is None:
        return ReasonedResult(holds=False, why=f"{where}: nothing")
    kind = entry.icmp.icmp_type
    if kind is None:
        found = packet.protocol == (_ICMP if packet.src.version == 4 else _ICMPV6)
        return ReasonedResult(found, f"{where}: {'' if found else 'not '}ICMP")
    return _typed(packet, _ICMP if kind < 128 else _ICMPV6, entry.icmp, where)


def _typed(packet: Packet, protocol: int, wanted: ICMPProtocol | ICMPv6Protocol, where: str) -> ReasonedResult:
    family = 4 if protocol == _ICMP else 6
    if packet.protocol != protocol or packet.src.version != family:
        return ReasonedResult(holds=False, why=f"{where}: not ICMP{'' if family == 4 else 'v6'}")
    if packet.icmp is None:
        return ReasonedResult(holds=False, why=f"{where}: no ICMP type in sight")
    kind, code = packet.icmp
    held = kind == wanted.icmp_type and wanted.icmp_code in {None, code}
    return ReasonedResult(held, f"{where}: type {kind} code {code}{'' if held else ' is another'}")


def _igmp(packet: Packet, wanted: IGMPProtocol, where: str) -> ReasonedResult:
    if packet.protocol != _IGMP or packet.src.version != 4:
        return ReasonedResult(holds=False, why=f"{where}: not IGMP")
    if wanted.igmp_type is not None and packet.igmp != wanted.igmp_type:
        return ReasonedResult(holds=False, why=f"{where}: another type of IGMP")
    if wanted.group_address is not None and packet.dst != ip_address(wanted.group_address):
        return ReasonedResult(holds=False, why=f"{where}: to another group, {packet.dst}")
    return ReasonedResult(holds=True, why=f"{where}: IGMP")
