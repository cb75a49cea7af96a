"""Immutable index of an ipset as saved: its members by look-up key, built from the text of ``ipset save``.

Input: an `IpSet`. Output: a `StaticSet`, or None for a type or option that is not modelled. Changes by packets are kept
in `simulator.sets.dynamic`, so many packet sequences share one index.

Raises `Refused` for a member that does not fit the set. Sources: ipset(8) and the kernel's ip_set_hash_gen.h.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from math import inf

from engine.errors import Fault, Refused, safe_text
from engine.rulesets.model import Family, IpSet, Member
from simulator.packets import protocol_names
from simulator.sets.elements import BITS, PHYSDEV, Element, address_number, alternatives, mask, mask_of, ports
from simulator.sets.set_types import KINDS, SetDimension, SetType

PrefixLengths = tuple[int, ...]
"""Prefix length of each dimension that holds networks."""

MemberKey = tuple[int, ...]
"""Look-up key of a member: a number for each dimension, networks without their host bits."""

MarkAndMask = tuple[int, int]
"""Packet mark and the bits of it that count, as ``skbmark`` in ipset(8)."""


@dataclass(frozen=True, slots=True)
class SetEntry:
    """Data of one member beside its key.

    Attributes:
        nomatch: Whether the member is an exception.
        until: Expiry in seconds after the sequence began. For a ``bitmap:ip,mac`` member without a MAC address: its
            lifetime once it has one.
        packets: Packet counter.
        octets: Byte counter; None after a packet of unknown length was counted.
        mark: Value and mask of ``skbmark``.
        wildcard: Whether the interface is a prefix of interface names.
        tail: Interface, or the MAC address of ``bitmap:ip,mac``.
    """

    nomatch: bool = False
    until: float = inf
    packets: int = 0
    octets: int | None = 0
    mark: MarkAndMask = (0, 0)
    wildcard: bool = False
    tail: str = ""

    @property
    def physdev(self) -> bool:
        """Whether its interface is a bridge port, which no rule looks up."""
        return self.tail.startswith(PHYSDEV)


SetEntries = tuple[SetEntry, ...]
"""Members with the same key; more than one only if their interfaces differ."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """Create options that affect look-ups.

    ``mask`` comes from ``netmask`` or ``bitmask``, ``bounds`` from ``range``, ``most`` from ``maxelem`` or the range's
    size. ``timeout`` is in seconds.
    """

    mask: int
    markmask: int = 0xFFFFFFFF
    most: int = 65536
    timeout: int | None = None
    counters: bool = False
    skbinfo: bool = False
    forceadd: bool = False
    bounds: tuple[int, int] | None = None

    @property
    def changes(self) -> bool:
        """Whether members have counters or expire."""
        return self.counters or self.timeout is not None


@dataclass(frozen=True)
class StaticSet:
    """A set as saved.

    Attributes:
        family: Address family; None if the set holds packets of both families.
        levels: Members by prefix lengths and key.
        listed: Sets of a ``list:set`` in their order; their numbers are its keys.
        cut: Whether a member had bits outside the set's mask. The kernel may have kept them and then never finds that
            member.
    """

    name: str
    kind: SetType
    family: Family | None
    traits: SetOptions
    levels: Mapping[PrefixLengths, Mapping[MemberKey, SetEntries]]
    listed: tuple[tuple[str, SetEntry], ...] = ()
    cut: bool = False

    @cached_property
    def order(self) -> tuple[PrefixLengths, ...]:
        """Prefix lengths in the order of the kernel's search: longest first, first dimension first."""
        return tuple(sorted(self.levels, reverse=True))

    @cached_property
    def sizes(self) -> Mapping[PrefixLengths, int]:
        """Number of members of each prefix length."""
        return {prefixes: sum(map(len, found.values())) for prefixes, found in self.levels.items()}

    @cached_property
    def addresses(self) -> tuple[tuple[int, Mapping[int, bool]], ...] | None:
        """Members by address for each mask, in search order; False marks an exception.

        None if a look-up needs more than one address, or if members have counters or expire.
        """
        if self.kind.parts not in {(SetDimension.IP,), (SetDimension.NET,)} or self.kind.bitmap or self.traits.changes:
            return None
        found = []
        for prefixes in self.order:
            bits = self.traits.mask & (mask(prefixes[0], self.bits) if prefixes else self.traits.mask)
            members = {key: not entries[0].nomatch for (key,), entries in self.levels[prefixes].items()}
            if self.kind.parts == (SetDimension.IP,):
                members.pop(0, None)  # the kernel does not treat 0 as an address
            found.append((bits, members))
        return tuple(found)

    @property
    def bits(self) -> int:
        """Number of bits of its addresses."""
        return BITS[self.family or Family.IPV4]

    def at(self, key: MemberKey, prefixes: PrefixLengths) -> MemberKey:
        """Return a key with its networks masked to prefix lengths."""
        if not prefixes:
            return key
        cut = list(key)
        for at, prefix in zip(self.kind.nets, prefixes, strict=True):
            cut[at] &= mask(prefix, self.bits)
        return tuple(cut)


def read_set(ipset: IpSet) -> StaticSet | None:
    """Build the look-up index of a set, or return None if its type or an option is not modelled.

    Raises:
        Refused: A member does not fit the set's type or family, or expands to more members than the set can hold.
    """
    kind = KINDS.get(ipset.type)
    if kind is None:
        return None
    family = ipset.family or Family.IPV4  # as ipset(8): inet is the default
    try:
        traits = _traits(ipset, kind, family)
    except ValueError:
        return None
    whose = None if kind.of_both_families else family
    if kind.parts == (SetDimension.SET,):
        listed = tuple((member[0], _entry(ipset, member, traits)) for member in ipset.members)
        by_number: dict[MemberKey, SetEntries] = {(number,): (entry,) for number, (_, entry) in enumerate(listed)}
        return StaticSet(ipset.name, kind, whose, traits, {(): by_number}, listed)
    levels: dict[PrefixLengths, dict[MemberKey, SetEntries]] = {}
    cut, alike = (
        False,
        dict[Member, SetEntries](),
    )  # members with equal options share one entry: in a large set most have none
    for member in ipset.members:
        alone = alike.get(member[1:]) or alike.setdefault(member[1:], (_entry(ipset, member, traits),))
        for place in _elements(ipset, member, kind, traits):
            tailed = (replace(alone[0], tail=place.tail),) if place.tail else alone
            _keep(levels.setdefault(place.prefixes, {}), place.key, tailed, kind)
            cut = cut or place.cut
    return StaticSet(ipset.name, kind, whose, traits, levels, cut=cut and kind.parts in _MASKED_LATE)


_MASKED_LATE = frozenset({(SetDimension.IP, SetDimension.PORT), (SetDimension.NET, SetDimension.NET)})
"""Dimensions for which the kernel masks only the first address of an added range."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Key of a member, and whether the set's mask removed bits from it."""

    prefixes: PrefixLengths
    key: MemberKey
    tail: str
    cut: bool


def _keep(level: dict[MemberKey, SetEntries], key: MemberKey, alone: SetEntries, kind: SetType) -> None:
    """Store a member; two members share a key only if their interfaces differ."""
    level[key] = level.get(key, ()) + alone if kind.parts[-1] is SetDimension.IFACE else alone


def _refused(ipset: IpSet, member: Member, expected: str) -> Refused:
    return Refused((Fault(f"set {ipset.name}", f"found member {safe_text(' '.join(member))}", expected),))


def _traits(ipset: IpSet, kind: SetType, family: Family) -> SetOptions:
    """Parse the create options.

    Raises:
        ValueError: An option is not modelled.
    """
    options = dict(ipset.options)
    if options.keys() - _OPTIONS:
        raise ValueError(ipset.options)
    by_bits = options.get("bitmask")
    limits, timeout = options.get("range"), options.get("timeout")
    bounds = _bounds(limits, kind, family) if limits else None
    return SetOptions(
        address_number(by_bits, family) if by_bits else mask_of(options.get("netmask", str(BITS[family])), family),
        protocol_names.number(options.get("markmask", "0xffffffff"), 0xFFFFFFFF),
        bounds[1] - bounds[0] + 1 if bounds else protocol_names.number(options.get("maxelem", "65536"), 0xFFFFFFFF),
        None if timeout is None else protocol_names.number(timeout, 0xFFFFFFFF),
        "counters" in options,
        "skbinfo" in options,
        "forceadd" in options,
        bounds,
    )


_OPTIONS = frozenset("bitmask netmask markmask range maxelem size timeout counters comment skbinfo forceadd".split())


def _bounds(text: str, kind: SetType, family: Family) -> tuple[int, int]:
    if kind.parts == (SetDimension.PORT,):
        found = ports(text)
        return found[0], found[-1]
    low, dash, high = text.partition("-")
    address, slash, prefix = low.partition("/")
    first = address_number(address, family)
    last = address_number(high, family) if dash else first
    hosts = mask_of(prefix, family) ^ (1 << BITS[family]) - 1 if slash else 0
    return first & ~hosts, last | hosts


def _elements(ipset: IpSet, member: Member, kind: SetType, traits: SetOptions) -> Iterator[_Place]:
    """Yield the place of each member that a member's text expands to, one per element of its ranges."""
    family = ipset.family or Family.IPV4
    texts = member[0].split(",", len(kind.parts) - 1)
    if kind.bitmap and kind.compares_last and len(texts) == 1:
        texts.append("")  # the first packet sets the MAC address
    try:
        pairs = zip(texts, kind.parts, strict=True)
        found = [tuple(islice(_alternatives(pair, kind, family, traits), traits.most + 1)) for pair in pairs]
    except ValueError as error:
        raise _refused(ipset, member, f"a member of {ipset.type}, {family}") from error
    for number, chosen in enumerate(product(*found), 1):
        if number > traits.most:
            raise _refused(ipset, member, f"no more than {traits.most} members")
        yield _placed(chosen, kind, traits)


def _alternatives(
    pair: tuple[str, SetDimension], kind: SetType, family: Family, traits: SetOptions
) -> Iterator[Element]:
    text, part = pair
    return alternatives(text, part, kind, family, traits.mask)


def _placed(chosen: tuple[Element, ...], kind: SetType, traits: SetOptions) -> _Place:
    keyed = chosen[:-1] if kind.compares_last else chosen
    whole = tuple(each.value for each in keyed)
    key = tuple(masked_value(value, part, traits) for value, part in zip(whole, kind.parts, strict=False))
    prefixes = tuple(chosen[at].prefix for at in kind.nets)
    return _Place(prefixes, key, chosen[-1].text if kind.compares_last else "", cut=key != whole)


def masked_value(value: int, part: SetDimension, traits: SetOptions) -> int:
    """Return a dimension's value as the set stores it, masked by ``netmask``, ``bitmask`` or ``markmask``."""
    if part is SetDimension.MARK:
        return value & traits.markmask
    return value & traits.mask if part in {SetDimension.IP, SetDimension.NET} else value


_FLAGS = frozenset({"nomatch", "wildcard"})
_VALUED = frozenset("timeout packets bytes comment skbmark skbprio skbqueue".split())


def _entry(ipset: IpSet, member: Member, traits: SetOptions) -> SetEntry:
    """Parse a member's options."""
    words, told = iter(member[1:]), dict[str, str]()
    for word in words:
        told[word] = "" if word in _FLAGS else next(words, "")
    if told.keys() - _FLAGS - _VALUED:
        raise _refused(ipset, member, "options that ipset would save")
    mark, _, bits = told.get("skbmark", "0/0").partition("/")
    try:
        timeout = protocol_names.number(told.get("timeout", str(traits.timeout or 0)), 0xFFFFFFFF)
        return SetEntry(
            "nomatch" in told,
            timeout if timeout and traits.timeout is not None else inf,
            protocol_names.number(told.get("packets", "0"), 2**64 - 1),
            protocol_names.number(told.get("bytes", "0"), 2**64 - 1),
            (protocol_names.number(mark, 0xFFFFFFFF), protocol_names.number(bits or "0xffffffff", 0xFFFFFFFF)),
            "wildcard" in told,
        )
    except ValueError as error:
        raise _refused(ipset, member, "numbers that ipset would save") from error
