"""Address translation targets: DNAT, SNAT, MASQUERADE, REDIRECT and NETMAP for a connection's first packet.

Input: a target with its options. Output: a function that rewrites a packet at a hook. `TRANSLATIONS` maps each target
name to a parser of its options, which returns this function. `simulator.netfilter.nat_tuples` chooses the new addresses
and ports.

Raises `ValueError` for text that is not a range of addresses or ports. Source: iptables-extensions(8) and
``nf_nat_setup_info`` of the kernel's nf_nat_core.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from engine.ip_types import Address
from engine.rulesets.model import Family, Hook, Target
from simulator.context import Host, PacketContext
from simulator.netfilter.nat_tuples import Assume, NatBinding, NatRange, PortBounds
from simulator.packets import Packet, protocol_names

NatRangeReader = Callable[[Packet, Hook, Host | None, Assume], NatRange | None]
"""Function from the first packet of a connection to the addresses to choose from; None keeps the address."""

Translation = Callable[[Packet, Hook, PacketContext, Assume], Packet]

DESTINATION_HOOKS = frozenset({Hook.PREROUTING, Hook.OUTPUT})
"""Hooks that rewrite the destination; the other hooks rewrite the source."""

_LOOPBACK: Mapping[Family, Address] = {Family.IPV4: IPv4Address("127.0.0.1"), Family.IPV6: IPv6Address("::1")}


def range_of(text: str, family: Family) -> NatRange:
    """Parse ``ADDRESS[-ADDRESS][:PORT[-PORT]]``, with brackets around an IPv6 address before a port.

    Raises:
        ValueError: the text has another form.
    """
    if family is Family.IPV6 and text.startswith("["):
        addresses, _, ports = text[1:].partition("]")
        addresses, ports = addresses.replace("]-[", "-"), ports.removeprefix(":")
    elif family is Family.IPV6:
        addresses, ports = text, ""
    else:
        addresses, _, ports = text.partition(":")
    return NatRange(_pair(addresses) if addresses else None, ports_of(ports) if ports else None)


def _pair(text: str) -> tuple[Address, Address]:
    low, dash, high = text.partition("-")
    return ip_address(low), ip_address(high if dash else low)


def ports_of(text: str) -> PortBounds:
    """Parse ``PORT`` or ``PORT-PORT``.

    A base after a slash, which shifts the ports, is not modelled.

    Raises:
        ValueError: the text has another form, or a port is larger than 65535.
    """
    low, dash, high = text.partition("-")
    return protocol_names.number(low, 0xFFFF), protocol_names.number(high if dash else low, 0xFFFF)


def bound(packet: Packet, hook: Hook, around: PacketContext, assume: Assume, wanted: NatRange | None = None) -> Packet:
    """Return the first packet of a connection after translation at a hook.

    If ``wanted`` is None, no rule requests a translation. The kernel then still makes sure that no other connection has
    the tuple.
    """
    source = hook not in DESTINATION_HOOKS
    here = packet.src if source else packet.dst
    return NatBinding(wanted or NatRange((here, here)), source, around.connections, assume).bound(packet)


def _always(wanted: NatRange) -> NatRangeReader:
    return lambda _packet, _hook, _host, _assume: wanted


def _dnat(target: Target, family: Family) -> NatRangeReader:
    return _always(_asked(target, range_of(_value(target, "to-destination"), family)))


def _snat(target: Target, family: Family) -> NatRangeReader:
    return _always(_asked(target, range_of(_value(target, "to-source"), family)))


def _asked(target: Target, found: NatRange) -> NatRange:
    persistent = any(option.option == "persistent" for option in target.options)
    return replace(found, drawn=_drawn(target), persistent=persistent)


def _drawn(target: Target) -> bool:
    """Return whether ``--random`` or ``--random-fully`` is set (``NF_NAT_RANGE_PROTO_RANDOM_ALL``)."""
    return any(option.option.startswith("random") for option in target.options)


def _value(target: Target, name: str, default: str | None = None) -> str:
    options = {option.option: option for option in target.options}
    if name not in options and default is not None:
        return default
    return options[name].values[0]


def _masquerade(target: Target, _family: Family) -> NatRangeReader:
    text = _value(target, "to-ports", "")
    ports, drawn = ports_of(text) if text else None, _drawn(target)

    def wanted(packet: Packet, _hook: Hook, host: Host | None, assume: Assume) -> NatRange | None:
        address = host.source_for(packet.dst, packet.out_interface) if host else None
        if address is None:
            assume("MASQUERADE needs the node's address; the source is assumed to stay as it is")
            return None
        return NatRange((address, address), ports, drawn=drawn)

    return wanted


def _redirect(target: Target, family: Family) -> NatRangeReader:
    text = _value(target, "to-ports", "")
    ports, drawn = ports_of(text) if text else None, _drawn(target)

    def wanted(packet: Packet, hook: Hook, host: Host | None, assume: Assume) -> NatRange | None:
        address: Address | None = _LOOPBACK[family] if hook is Hook.OUTPUT else None
        if hook is not Hook.OUTPUT and host is not None:
            address = host.address_of(packet.in_interface, packet.src.version)
        if address is None:
            assume("REDIRECT needs the in interface's address; the destination address is assumed to stay as it is")
            address = packet.dst
        return NatRange((address, address), ports, drawn=drawn)

    return wanted


def _netmap(target: Target, _family: Family) -> NatRangeReader:
    network = ip_network(_value(target, "to"), strict=False)

    def wanted(packet: Packet, hook: Hook, _host: Host | None, _assume: Assume) -> NatRange | None:
        here = packet.dst if hook in DESTINATION_HOOKS else packet.src
        address = network[int(here) & int(network.hostmask)]
        return NatRange((address, address))

    return wanted


def _translation(read: Callable[[Target, Family], NatRangeReader]) -> Callable[[Target, Family], Translation]:
    def prepared(target: Target, family: Family) -> Translation:
        wanted = read(target, family)
        return lambda packet, hook, around, assume: bound(
            packet, hook, around, assume, wanted(packet, hook, around.host, assume)
        )

    return prepared


TRANSLATIONS: Mapping[str, Callable[[Target, Family], Translation]] = {
    "DNAT": _translation(_dnat),
    "SNAT": _translation(_snat),
    "MASQUERADE": _translation(_masquerade),
    "REDIRECT": _translation(_redirect),
    "NETMAP": _translation(_netmap),
}
