"""The set match and the ipset types it can look addresses up in (ipset(8)).

Modelled are ``hash:ip``, ``hash:net`` and ``bitmap:ip``; a match on another type cannot be decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, summarize_address_range

from engine.errors import Fault, Refused, shown
from engine.ruleset import Family, IpSet, Match, Member
from simulator.matches.base import Check, Test, inverted, spelled
from simulator.matches.basic import BITS, masked
from simulator.packets import Address, Packet

TYPES = frozenset({"hash:ip", "hash:net", "bitmap:ip"})

_WITH_NOMATCH = frozenset({"hash:net"})
"""Types whose members can be exceptions; ``--return-nomatch`` does nothing to the others."""

_NO_EFFECT = frozenset({"", "update-counters", "update-subcounters"})
"""Options that decide nothing about a packet."""

_SIDES: Mapping[str, Callable[[Packet], Address]] = {
    "src": lambda packet: packet.src,
    "dst": lambda packet: packet.dst,
}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A set made ready: per prefix length, longest first, the networks and whether they count as members."""

    family: Family
    exceptions: bool
    levels: tuple[tuple[int, Mapping[int, bool]], ...]

    def find(self, address: int) -> bool | None:
        """Return what the most specific entry says: True, False for ``nomatch``, None without an entry."""
        for shift, networks in self.levels:
            found = networks.get(address >> shift)
            if found is not None:
                return found
        return None


def compile_set(ipset: IpSet) -> Lookup | None:
    """Make a set ready for look-ups, or return None where its type or an option is not modelled.

    Raises:
        Refused: a member is no address or network of the set's family.
    """
    options = dict(ipset.options)
    if ipset.type not in TYPES or "bitmask" in options:
        return None
    family = ipset.family or Family.IPV4  # as ipset(8): inet is the default
    shortest = BITS[family] - int(options.get("netmask", BITS[family]))
    levels: dict[int, dict[int, bool]] = {}
    for member in ipset.members:
        for address, shift in _networks(ipset, member, family):
            wide = max(shift, shortest)
            levels.setdefault(wide, {})[address >> wide] = "nomatch" not in member[1:]
    return Lookup(family, ipset.type in _WITH_NOMATCH, tuple(sorted(levels.items())))


def _networks(ipset: IpSet, member: Member, family: Family) -> tuple[tuple[int, int], ...]:
    """The networks of a member as (address, host bits); a range is several."""
    try:
        return _ranged(member[0], family) if "-" in member[0] else _single(member[0], family)
    except (ValueError, TypeError) as error:
        fault = Fault(f"set {ipset.name}", f"found member {shown(member[0])}", f"an {family} address or network")
        raise Refused((fault,)) from error


def _single(text: str, family: Family) -> tuple[tuple[int, int], ...]:
    address, mask = masked(text, family)
    return ((address, BITS[family] - mask.bit_count()),)


def _ranged(text: str, family: Family) -> tuple[tuple[int, int], ...]:
    low, _, high = text.partition("-")
    first, last = ip_address(low), ip_address(high)
    if first.version != last.version or BITS[family] != first.max_prefixlen:
        raise ValueError(text)
    found = summarize_address_range(first, last)
    return tuple((int(net.network_address), net.max_prefixlen - net.prefixlen) for net in found)


def compile_set_match(matches: tuple[Match, ...], family: Family, sets: Mapping[str, Lookup | None]) -> Test:
    """Make one ``-m set`` ready: ``--match-set`` and the options that go with it."""
    text = spelled(*matches)
    options = {match.option for match in matches}
    wanted = next((match for match in matches if match.option == "match-set"), None)
    if wanted is None or options - _NO_EFFECT - {"match-set", "return-nomatch"} or len(wanted.values) != 2:
        return Test(text, lambda _packet: None, "is not modelled")
    name, sides = wanted.values
    lookup = sets[name]
    side = _SIDES.get(sides.split(",")[0])
    if lookup is None or side is None:
        return Test(text, lambda _packet: None, "is of a set type that is not modelled")
    held = _in_set(lookup, side, family, wanted=not (lookup.exceptions and "return-nomatch" in options))
    return Test(text, inverted(held) if wanted.negated else held, "")


def _in_set(lookup: Lookup, side: Callable[[Packet], Address], family: Family, *, wanted: bool) -> Check:
    """A set of the other family holds no packet of this one; ``--return-nomatch`` wants the exceptions."""
    if lookup.family is not family:
        return lambda _packet: False
    return lambda packet: lookup.find(int(side(packet))) is wanted
