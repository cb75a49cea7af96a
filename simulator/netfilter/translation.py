"""Address translation: what DNAT, SNAT, MASQUERADE, REDIRECT and NETMAP make of a connection's first packet.

Source: iptables-extensions(8); ``nf_nat_setup_info`` and ``get_unique_tuple`` of the kernel's nf_nat_core. A port of
the range that is wanted stays; else a destination gets the first of the range, a source any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from engine.addresses import Address
from engine.ruleset import Family, Hook, Target
from simulator.packets import Packet, names, rewritten
from simulator.surroundings import Host

Assume = Callable[[str], None]
Translate = Callable[[Packet, Hook, Host | None, Assume], Packet]

DESTINATION_HOOKS = frozenset({Hook.PREROUTING, Hook.OUTPUT})
"""Where the destination is rewritten; at the others it is the source."""

_LOOPBACK: Mapping[Family, Address] = {Family.IPV4: IPv4Address("127.0.0.1"), Family.IPV6: IPv6Address("::1")}

Ports = tuple[int, int]

_AT_RANDOM = "the kernel draws the port at random; taken as"  # or the identifier of an ICMP query


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses and ports to choose from; None leaves them as they are."""

    addresses: tuple[Address, Address] | None
    ports: Ports | None = None


def range_of(text: str, family: Family) -> Range:
    """Read ``ADDRESS[-ADDRESS][:PORT[-PORT]]``, with brackets round IPv6 addresses that a port follows.

    Raises:
        ValueError: it is no such thing.
    """
    if family is Family.IPV6 and text.startswith("["):
        addresses, _, ports = text[1:].partition("]")
        addresses, ports = addresses.replace("]-[", "-"), ports.removeprefix(":")
    elif family is Family.IPV6:
        addresses, ports = text, ""
    else:
        addresses, _, ports = text.partition(":")
    return Range(_pair(addresses) if addresses else None, ports_of(ports) if ports else None)


def _pair(text: str) -> tuple[Address, Address]:
    low, dash, high = text.partition("-")
    return ip_address(low), ip_address(high if dash else low)


def ports_of(text: str) -> Ports:
    """Read ``PORT`` or ``PORT-PORT``; a base after a slash shifts them, which is not modelled.

    Raises:
        ValueError: it is neither.
    """
    low, dash, high = text.partition("-")
    return names.number(low, 0xFFFF), names.number(high if dash else low, 0xFFFF)


def _chosen(found: tuple[Address, Address] | None, assume: Assume) -> Address | None:
    if found and found[0] != found[1]:
        assume(f"the kernel picks one of {found[0]}-{found[1]}; taken as the first")
    return found[0] if found else None


def destination(wanted: Range, *, drawn: bool = False) -> Translate:
    """Return what rewrites the destination; its port is ``drawn`` at random only from a range that is given."""

    def translate(packet: Packet, _hook: Hook, _host: Host | None, assume: Assume) -> Packet:
        port = _kept(packet.dport, wanted.ports)
        if drawn and port is not None and wanted.ports and wanted.ports[0] != wanted.ports[1]:
            assume(f"{_AT_RANDOM} {port}")
        return rewritten(packet, dst=_chosen(wanted.addresses, assume), dport=port)

    return translate


def _kept(port: int | None, ports: Ports | None) -> int | None:
    if port is None or ports is None or ports[0] <= port <= ports[1]:
        return port
    return ports[0]


def source(wanted: Range, *, drawn: bool = False) -> Translate:
    """Return what rewrites the source; a port that is ``drawn`` at random may be any of the range, or any at all."""

    def translate(packet: Packet, _hook: Hook, _host: Host | None, assume: Assume) -> Packet:
        port = _kept(packet.sport, wanted.ports)
        number = packet.icmp_id if port is None else port
        if drawn and number is not None and not (wanted.ports and wanted.ports[0] == wanted.ports[1]):
            assume(f"{_AT_RANDOM} {number}")
        elif wanted.ports and wanted.ports[0] != wanted.ports[1] and port != packet.sport:
            assume(f"the kernel picks one of the ports {wanted.ports[0]}-{wanted.ports[1]}; taken as the first")
        return rewritten(packet, src=_chosen(wanted.addresses, assume), sport=port)

    return translate


def _dnat(target: Target, family: Family) -> Translate:
    return destination(range_of(_value(target, "to-destination"), family), drawn=_drawn(target))


def _snat(target: Target, family: Family) -> Translate:
    return source(range_of(_value(target, "to-source"), family), drawn=_drawn(target))


def _value(target: Target, name: str, default: str | None = None) -> str:
    options = {option.option: option for option in target.options}
    if name not in options and default is not None:
        return default
    return options[name].values[0]


def _drawn(target: Target) -> bool:
    """Whether ``--random`` or ``--random-fully`` is set (``NF_NAT_RANGE_PROTO_RANDOM_ALL``)."""
    return any(option.option.startswith("random") for option in target.options)


def _masquerade(target: Target, _family: Family) -> Translate:
    text = _value(target, "to-ports", "")
    ports, drawn = ports_of(text) if text else None, _drawn(target)

    def translate(packet: Packet, hook: Hook, host: Host | None, assume: Assume) -> Packet:
        address = host.source_for(packet.dst, packet.out_interface) if host else None
        if address is None:
            assume("MASQUERADE needs the node's address; the source is assumed to stay as it is")
            return packet
        return source(Range((address, address), ports), drawn=drawn)(packet, hook, host, assume)

    return translate


def _redirect(target: Target, family: Family) -> Translate:
    text = _value(target, "to-ports", "")
    ports, drawn = ports_of(text) if text else None, _drawn(target)

    def translate(packet: Packet, hook: Hook, host: Host | None, assume: Assume) -> Packet:
        address: Address | None = _LOOPBACK[family] if hook is Hook.OUTPUT else None
        if hook is not Hook.OUTPUT and host is not None:
            address = host.address_of(packet.in_interface, packet.src.version)
        if address is None:
            assume("REDIRECT needs the in interface's address; the destination address is assumed to stay as it is")
        found = (address, address) if address else None
        return destination(Range(found, ports), drawn=drawn)(packet, hook, host, assume)

    return translate


def _netmap(target: Target, _family: Family) -> Translate:
    network = ip_network(_value(target, "to"), strict=False)

    def translate(packet: Packet, hook: Hook, _host: Host | None, _assume: Assume) -> Packet:
        here = packet.dst if hook in DESTINATION_HOOKS else packet.src
        address = network[int(here) & int(network.hostmask)]
        return rewritten(packet, dst=address) if hook in DESTINATION_HOOKS else rewritten(packet, src=address)

    return translate


TRANSLATIONS: Mapping[str, Callable[[Target, Family], Translate]] = {
    "DNAT": _dnat,
    "SNAT": _snat,
    "MASQUERADE": _masquerade,
    "REDIRECT": _redirect,
    "NETMAP": _netmap,
}
