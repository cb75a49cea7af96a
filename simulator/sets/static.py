"""A set made ready for look-ups: its members by what they are found by, as the text of ``ipset save`` has them.

What becomes of it while packets pass is kept elsewhere (`simulator.sets.dynamic`), so that many sequences share one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from math import inf

from engine.errors import Fault, Refused, shown
from engine.rulesets.model import Family, IpSet, Member
from simulator.packets import protocol_names
from simulator.sets.elements import BITS, PHYSDEV, Element, address_number, alternatives, mask, mask_of, ports
from simulator.sets.set_types import KINDS, SetDimension, SetType

PrefixLengths = tuple[int, ...]
"""The prefix length of each dimension that holds networks."""

MemberKey = tuple[int, ...]
"""What a member is found by, a number for each dimension; networks without their host bits."""

MarkAndMask = tuple[int, int]
"""A packet mark and the bits of it that count, as ``skbmark`` of ipset(8)."""


@dataclass(frozen=True, slots=True)
class SetEntry:
    """What a member has beside its key.

    ``until`` is when it expires, in seconds after the sequence began; while ``bitmap:ip,mac`` waits for a MAC address,
    how long it will last from then on. ``octets`` is None once a packet of unknown length was counted. ``tail`` is an
    interface, or the MAC address of ``bitmap:ip,mac``.
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
        """Whether its interface is a bridge's port, which no rule asks for."""
        return self.tail.startswith(PHYSDEV)


SetEntries = tuple[SetEntry, ...]
"""The members with one key; several only where interfaces tell them apart."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """The create options that matter; ``mask`` is of ``netmask`` or ``bitmask``, ``bounds`` of ``range``."""

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
        """Whether members count or expire."""
        return self.counters or self.timeout is not None


@dataclass(frozen=True)
class StaticSet:
    """A set as it was saved; ``family`` is None where it holds packets of both.

    ``listed`` are the sets of a list in their order; their numbers are its keys. ``cut`` says that some member had bits
    that the set's mask leaves out, though the kernel may have kept them (then it never finds that member).
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
        """The prefix lengths in the order of the kernel's search: the longest first, the first dimension first."""
        return tuple(sorted(self.levels, reverse=True))

    @cached_property
    def sizes(self) -> Mapping[PrefixLengths, int]:
        """How many members there are of each prefix length."""
        return {prefixes: sum(map(len, found.values())) for prefixes, found in self.levels.items()}

    @cached_property
    def addresses(self) -> tuple[tuple[int, Mapping[int, bool]], ...] | None:
        """For each mask in the order of the search its members, false where exceptions.

        None where more than an address is looked up, or something becomes of members.
        """
        if self.kind.parts not in {(SetDimension.IP,), (SetDimension.NET,)} or self.kind.bitmap or self.traits.changes:
            return None
        found = []
        for prefixes in self.order:
            bits = self.traits.mask & (mask(prefixes[0], self.bits) if prefixes else self.traits.mask)
            members = {key: not entries[0].nomatch for (key,), entries in self.levels[prefixes].items()}
            if self.kind.parts == (SetDimension.IP,):
                members.pop(0, None)  # which is no address to the kernel
            found.append((bits, members))
        return tuple(found)

    @property
    def bits(self) -> int:
        """How long its addresses are."""
        return BITS[self.family or Family.IPV4]

    def at(self, key: MemberKey, prefixes: PrefixLengths) -> MemberKey:
        """Return a key with its networks cut to prefix lengths."""
        if not prefixes:
            return key
        cut = list(key)
        for at, prefix in zip(self.kind.nets, prefixes, strict=True):
            cut[at] &= mask(prefix, self.bits)
        return tuple(cut)


def read_set(ipset: IpSet) -> StaticSet | None:
    """Make a set ready for look-ups, or return None where its type or an option is not modelled.

    Raises:
        Refused: a member does not fit the set's type or family, or stands for more than the set may hold.
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
    )  # one entry stands for all that are alike, as most of a large set are
    for member in ipset.members:
        alone = alike.get(member[1:]) or alike.setdefault(member[1:], (_entry(ipset, member, traits),))
        for place in _elements(ipset, member, kind, traits):
            tailed = (replace(alone[0], tail=place.tail),) if place.tail else alone
            _keep(levels.setdefault(place.prefixes, {}), place.key, tailed, kind)
            cut = cut or place.cut
    return StaticSet(ipset.name, kind, whose, traits, levels, cut=cut and kind.parts in _MASKED_LATE)


_MASKED_LATE = frozenset({(SetDimension.IP, SetDimension.PORT), (SetDimension.NET, SetDimension.NET)})
"""Where the kernel masks only the first address of a range that is added."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member is kept, and whether the set's mask cut bits off for that."""

    prefixes: PrefixLengths
    key: MemberKey
    tail: str
    cut: bool


def _keep(level: dict[MemberKey, SetEntries], key: MemberKey, alone: SetEntries, kind: SetType) -> None:
    """Keep a member; only interfaces can tell two of one key apart."""
    level[key] = level.get(key, ()) + alone if kind.parts[-1] is SetDimension.IFACE else alone


def _refused(ipset: IpSet, member: Member, expected: str) -> Refused:
    return Refused((Fault(f"set {ipset.name}", f"found member {shown(' '.join(member))}", expected),))


def _traits(ipset: IpSet, kind: SetType, family: Family) -> SetOptions:
    """The create options; ValueError where one is not understood."""
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
    """What a member's text stands for: one member, or as many as its ranges have."""
    family = ipset.family or Family.IPV4
    texts = member[0].split(",", len(kind.parts) - 1)
    if kind.bitmap and kind.tailed and len(texts) == 1:
        texts.append("")  # the first packet tells the MAC address
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
    keyed = chosen[:-1] if kind.tailed else chosen
    whole = tuple(each.value for each in keyed)
    key = tuple(kept(value, part, traits) for value, part in zip(whole, kind.parts, strict=False))
    prefixes = tuple(chosen[at].prefix for at in kind.nets)
    return _Place(prefixes, key, chosen[-1].text if kind.tailed else "", cut=key != whole)


def kept(value: int, part: SetDimension, traits: SetOptions) -> int:
    """Return a dimension's value as the set keeps it, by its ``netmask``, ``bitmask`` or ``markmask``."""
    if part is SetDimension.MARK:
        return value & traits.markmask
    return value & traits.mask if part in {SetDimension.IP, SetDimension.NET} else value


_FLAGS = frozenset({"nomatch", "wildcard"})
_VALUED = frozenset("timeout packets bytes comment skbmark skbprio skbqueue".split())


def _entry(ipset: IpSet, member: Member, traits: SetOptions) -> SetEntry:
    """What a member's options say."""
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
