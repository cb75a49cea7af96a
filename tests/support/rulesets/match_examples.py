"""Examples of every match and target in the registries, for tests that compare their evaluations."""

from collections.abc import Callable, Mapping

from engine.rulesets.model import Family, Match, Target
from simulator.batch.columns import NOT_GIVEN
from simulator.matches import OPTIONS, OptionGroup
from simulator.matches.formula import STATES, And, Formula, FreeCondition, MaskedBits, NameCondition, Not, Or, Within
from simulator.netfilter.targets import TARGETS
from simulator.packet_sets.space import called
from simulator.packets import TCP_FLAGS, Packet
from tests.support.packets.packet_builders import match

Truth = bool | None

_WORDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "source": (("10.0.0.0/29",), ("10.0.0.0/255.0.0.1",), ("fd00::/125",)),
    "destination": (("10.0.0.8",), ("fd00::8",)),
    "in-interface": (("eth0",), ("e+",)),
    "out-interface": (("eth1",), ("+",)),
    "protocol": (("tcp",), ("0",)),
    **dict.fromkeys(("sport", "dport", "source-port", "destination-port"), (("22:80",), ("1024",))),
    **dict.fromkeys(("sports", "dports", "ports", "source-ports", "destination-ports"), (("22:23,80",),)),
    "tcp-flags": (("SYN,ACK,FIN", "SYN"), ("ALL", "NONE")),
    "tcp-option": (("3",),),
    "icmp-type": (("8",), ("3/1",), ("any",)),
    "icmpv6-type": (("128",), ("128/1",)),
    "mss": (("500:1400",),),
    "chunk-types": (("any", "DATA,INIT"),),
    "dccp-types": (("REQUEST,RESPONSE",),),
    "espspi": (("1:100",),),
    **dict.fromkeys(
        ("ahspi", "ahlen", "fragid", "hbh-len", "dst-len", "rt-type", "rt-segsleft", "rt-len"), (("0:8",),)
    ),
    **dict.fromkeys(("hbh-opts", "dst-opts"), (("1:4,0",),)),
    "rt-0-addrs": (("fd00::1",),),
    "mh-type": (("bu:ba",),),
    "mark": (("0x1",), ("0x0/0x4",)),
    "length": (("40:60",), ("39",)),
    **dict.fromkeys(("ttl-eq", "ttl-lt", "ttl-gt", "hl-eq", "hl-lt", "hl-gt"), (("9",), ("64",))),
    "tos": (("0x10",), ("0x10/0x3f",)),
    "dscp": (("0x04",),),
    "dscp-class": (("AF11",), ("BE",)),
    "ecn-ip-ect": (("0",),),
    "mac-source": (("02:00:00:00:00:01",),),
    **dict.fromkeys(("src-range", "dst-range"), (("10.0.0.1-10.0.0.8",), ("fd00::1-fd00::8",))),
    **dict.fromkeys(("physdev-in", "physdev-out"), (("eth0",),)),
    "pkt-type": (("multicast",), ("unicast",)),
    **dict.fromkeys(("uid-owner", "gid-owner"), (("0-9",),)),
    "u32": (("6&0xFF=6",),),
    "helper": (("ftp",),),
    "comment": (("text",),),
}
"""Values by option; an option that is missing here takes no value."""

_TOGETHER: Mapping[str, tuple[OptionGroup, ...]] = {
    "conntrack": (
        (match("conntrack", "ctstate", "NEW,ESTABLISHED"),),
        (match("conntrack", "ctstate", "INVALID", negated=True), match("conntrack", "ctproto", "6")),
        (match("conntrack", "ctstate", "NEW,DNAT"),),
        *((match("conntrack", f"ct{way}{end}", "10.0.0.8/29"),) for way in ("orig", "repl") for end in ("src", "dst")),
        *((match("conntrack", f"ct{way}{end}port", "22:80"),) for way in ("orig", "repl") for end in ("src", "dst")),
        (match("conntrack", "ctdir", "ORIGINAL"), match("conntrack", "ctstatus", "ASSURED")),
    ),
    "state": ((match("state", "state", "RELATED,UNTRACKED"),),),
    "string": ((match("string", "string", "x"), match("string", "algo", "bm"), match("string", "from", "4")),),
    "ipv6header": ((match("ipv6header", "header", "hop,frag"), match("ipv6header", "soft")),),
    "limit": ((match("limit", "limit", "1/s"), match("limit", "limit-burst", "1")),),
    "hashlimit": ((match("hashlimit", "hashlimit-upto", "1/s"), match("hashlimit", "hashlimit-name", "h")),),
    "quota": ((match("quota", "quota", "100"),),),
    "statistic": ((match("statistic", "mode", "nth"), match("statistic", "every", "2")),),
    "recent": ((match("recent", "update"), match("recent", "seconds", "60")), (match("recent", "set"),)),
    "time": ((match("time", "timestart", "01:00:00"), match("time", "weekdays", "Mon")),),
    "addrtype": (
        (match("addrtype", "dst-type", "LOCAL"),),
        (match("addrtype", "src-type", "MULTICAST,UNICAST"), match("addrtype", "limit-iface-in")),
    ),
    "policy": ((match("policy", "pol", "none"),),),
    "rpfilter": ((match("rpfilter", "loose"),), (match("rpfilter", "validmark"), match("rpfilter", "invert"))),
    "socket": ((match("socket", "transparent"),),),
    "set": (
        *((match("set", "match-set", name, "src"),) for name in ("nets", "hosts", "wide", "counted", "both")),
        (match("set", "match-set", "pairs", "dst,src", negated=True),),
        (match("set", "match-set", "nets", "dst"), match("set", "return-nomatch")),
        (match("set", "match-set", "counted", "src"), match("set", "packets-gt", "1")),
    ),
}
"""Groups of options that are evaluated together, by module; the sets are those of `field_edges`."""


def _alone() -> Mapping[str, tuple[OptionGroup, ...]]:
    found: dict[str, tuple[OptionGroup, ...]] = {}
    for module, option in OPTIONS:
        groups = tuple(
            (Match(module, option, values, negated),)
            for values in _WORDS.get(option, ((),))
            for negated in ((False, True) if option else (False,))
        )
        found[module] = (*found.get(module, ()), *groups)
    return found


EXAMPLES: Mapping[str, tuple[OptionGroup, ...]] = {**_alone(), **_TOGETHER}
"""Groups of options by module: every entry of `OPTIONS` and `GROUPS`."""

_TARGET_WORDS: Mapping[str, tuple[tuple[tuple[str, ...], ...], ...]] = {
    "REJECT": ((("reject-with", "tcp-reset"),), ()),
    "MARK": (
        *(((f"{verb}-mark", value),) for verb in ("set", "and", "or", "xor") for value in ("0x1", "0x6")),
        (("set-xmark", "0x5/0x3"),),
        (("set-mark", "0x2/0x6"),),
    ),
    "CONNMARK": ((("save-mark",),), (("restore-mark",),), (("set-xmark", "0x1/0x3"),)),
    "CT": ((("notrack",),), (("zone", "1"),), (("helper", "ftp"),)),
    "TTL": tuple(((f"ttl-{verb}", value),) for verb in ("set", "inc", "dec") for value in ("1", "9", "200")),
    "HL": tuple(((f"hl-{verb}", value),) for verb in ("set", "inc", "dec") for value in ("1", "9", "200")),
    "TOS": ((("set-tos", "0x10/0x3f"),), (("and-tos", "0x10"),), (("or-tos", "0x3"),), (("xor-tos", "0x11"),)),
    "DSCP": ((("set-dscp", "4"),), (("set-dscp-class", "AF11"),)),
    "DNAT": ((("to-destination", "10.0.0.9:80"),), (("to-destination", "10.0.0.8-10.0.0.9"),)),
    "SNAT": ((("to-source", "10.0.0.9"),),),
    "NETMAP": ((("to", "10.0.0.0/24"),),),
    "REDIRECT": ((("to-ports", "80"),),),
    "SET": ((("add-set", "hosts", "src"),), (("map-set", "hosts", "src"), ("map-mark",))),
}

TARGET_EXAMPLES: tuple[Target, ...] = tuple(
    Target(name, tuple(Match("", option, tuple(values)) for option, *values in options))
    for name in sorted(TARGETS)
    for options in _TARGET_WORDS.get(name, ((),))
)
"""Targets with options, for every entry of `TARGETS`."""


# Conditions evaluated on one packet

NUMBERS: Mapping[str, Callable[[Packet], int | None]] = {
    "src": lambda packet: int(packet.src),
    "dst": lambda packet: int(packet.dst),
    "state": lambda packet: STATES.index(packet.state),
    "protocol": lambda packet: packet.protocol,
    "fragment": lambda packet: int(packet.fragment),
    "sport": lambda packet: packet.sport,
    "dport": lambda packet: packet.dport,
    "icmp": lambda packet: None if packet.icmp is None else packet.icmp[0] << 8 | packet.icmp[1],
    "flags": lambda packet: sum(1 << TCP_FLAGS.index(flag) for flag in packet.flags),
    "mark": lambda packet: packet.mark,
    "tos": lambda packet: packet.tos,
    "ttl": lambda packet: packet.ttl,
    "length": lambda packet: packet.length,
}


def truth_of(formula: Formula, packet: Packet) -> Truth:
    """Evaluate a condition on a packet; None if the result depends on a free match or on a field without value."""
    match formula:
        case And(parts):
            return _all([truth_of(part, packet) for part in parts])
        case Or(parts):
            return _not(_all([_not(truth_of(part, packet)) for part in parts]))
        case Not(part):
            return _not(truth_of(part, packet))
        case FreeCondition():
            return None
        case NameCondition(field, pattern):
            name = getattr(packet, field)
            return None if name is None else called(pattern, name)
        case MaskedBits(field, mask, value):
            found = NUMBERS[field](packet)
            return None if found is None else found & mask == value
        case Within(field, (lows, highs)):
            found = NUMBERS[field](packet)
            return None if found is None else any(low <= found <= high for low, high in zip(lows, highs, strict=True))


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _all(truths: list[Truth]) -> Truth:
    return False if False in truths else None if None in truths else True


def number_of(field: str, packet: Packet) -> int:
    """Return the number that the batch engine has for a field."""
    found = NUMBERS[field](packet)
    return NOT_GIVEN if found is None else found


def entries(family: Family) -> list[OptionGroup]:
    """Return the examples whose values are valid in a family."""
    strange, option = {Family.IPV4: ("fd00", "icmpv6-type"), Family.IPV6: ("10.0.0", "icmp-type")}[family]
    groups = (group for groups in EXAMPLES.values() for group in groups)
    return [
        group
        for group in groups
        if not any(each.option == option or any(strange in word for word in each.values) for each in group)
    ]
