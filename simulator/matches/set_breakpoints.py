"""Breakpoints of ipsets for the batch engine: the field values at which membership in a set may change.

Input: the name of a set, and a `BreakpointContext` with all sets. Output: the ranges of addresses, ports and ICMP types
that its members name; for a ``list:set``, also those of its member sets. Between two ends of ranges, membership by that
field is constant.

Raises `KeyError` for an unknown set. Raises `ValueError` for a member that is not understood, and for the option
``bitmask``.
"""

import re
from collections.abc import Iterator

from engine.rulesets.model import Family, IpSet
from simulator.matches.basic import BITS, network_span
from simulator.matches.breakpoints import BreakpointContext, Span, ValueKind
from simulator.matches.transport import icmp_spans
from simulator.packets import protocol_names

_NAMED_PROTOCOL = re.compile(r"([a-z][a-z0-9-]*|\d+):(?=[^:]*$)", re.IGNORECASE)
_WITHOUT_RANGES = re.compile("iface|mac|mark")


def set_spans(name: str, context: BreakpointContext) -> Iterator[Span]:
    """Yield the ranges that the members of a set name, also through ``list:set``.

    Raises:
        KeyError: the context has no such set.
        ValueError: a member is not understood, or a mask may have holes.
    """
    ipset = context.sets[name]
    options = dict(ipset.options)
    if "bitmask" in options:
        raise ValueError(name)
    family = ipset.family or Family.IPV4
    most = int(options.get("netmask", BITS[family]))
    yield ValueKind.ADDRESS, 0, 1 << BITS[family] - most  # address 0, which some set types never match
    for member in ipset.members:
        if ipset.type == "list:set":
            yield from set_spans(member[0], context)
            continue
        for part in member[0].split(","):
            yield from _element(part, context, ipset, most)


def _element(text: str, context: BreakpointContext, ipset: IpSet, most: int) -> Iterator[Span]:
    """Yield the ranges of one part of a member: a network, a range, a port or an ICMP type; other parts have none."""
    for read in (_network_part, _port_part, _icmp_part):
        try:
            found = tuple(read(text, context, ipset.family or Family.IPV4, most))
        except ValueError:
            continue
        yield from found
        return
    if not _WITHOUT_RANGES.search(ipset.type):
        raise ValueError(text)


def _network_part(text: str, context: BreakpointContext, family: Family, most: int) -> Iterator[Span]:
    low, dash, high = text.partition("-")
    spans = [network_span(low, family), network_span(high, family)] if dash else [network_span(text, family)]
    if family is context.family:
        size = 1 << BITS[family] - most
        yield ValueKind.ADDRESS, spans[0][1] // size * size, -(-spans[-1][2] // size) * size


def _port_part(text: str, _context: BreakpointContext, _family: Family, _most: int) -> Iterator[Span]:
    plain = _NAMED_PROTOCOL.sub("", text)
    low, dash, high = plain.partition("-")
    first = protocol_names.number(low, 0xFFFF)
    yield ValueKind.NUMBER, first, (protocol_names.number(high, 0xFFFF) if dash else first) + 1


def _icmp_part(text: str, context: BreakpointContext, _family: Family, _most: int) -> Iterator[Span]:
    yield from icmp_spans(_NAMED_PROTOCOL.sub("", text), context)
