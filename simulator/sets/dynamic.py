"""What packets make of one set: members that are found and counted, that come, go and expire.

Source: the kernel's ip_set_hash_gen.h, ip_set_bitmap_gen.h and ip_set_bitmap_ipmac.c.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from simulator.packets import Packet
from simulator.sets.lookup_keys import LookupKey, MissingValue
from simulator.sets.static import MemberKey, PrefixLengths, SetEntries, SetEntry, StaticSet


@dataclass(slots=True)
class SetChanges:
    """How a set differs from what was saved: by prefix lengths and key its members, and how many more there are."""

    entries: dict[PrefixLengths, dict[MemberKey, SetEntries]] = field(default_factory=dict)
    grown: dict[PrefixLengths, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetLookupContext:
    """A packet that comes by at a time, in seconds after the sequence began; and whom to tell what is assumed."""

    packet: Packet
    now: float
    assume: Callable[[str], None] = lambda _what: None


@dataclass(frozen=True, slots=True)
class CounterCondition:
    """What a rule asks of a member's packets or bytes."""

    octets: bool
    fits: Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class CountingMode:
    """Whether a look-up counts, whether it counts in the sets of a list, and what it asks of the counts after it.

    Older kernels than 5.4 asked before they counted.
    """

    updates: bool = True
    below: bool = True
    wanted: tuple[CounterCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class DynamicSet:
    """One set as it is by now."""

    saved: StaticSet
    changes: SetChanges

    @property
    def order(self) -> tuple[PrefixLengths, ...]:
        """The prefix lengths in the order of the search."""
        if self.changes.entries.keys() <= self.saved.levels.keys():
            return self.saved.order
        return tuple(sorted(self.saved.levels.keys() | self.changes.entries.keys(), reverse=True))

    def entries(self, prefixes: PrefixLengths, key: MemberKey) -> SetEntries:
        """Return the members with a key."""
        changed = self.changes.entries.get(prefixes, {}).get(key)
        return self.saved.levels.get(prefixes, {}).get(key, ()) if changed is None else changed

    def put(self, prefixes: PrefixLengths, key: MemberKey, entries: SetEntries) -> None:
        """Let a key have these members."""
        more = len(entries) - len(self.entries(prefixes, key))
        self.changes.grown[prefixes] = self.changes.grown.get(prefixes, 0) + more
        self.changes.entries.setdefault(prefixes, {})[key] = entries

    def size(self, prefixes: PrefixLengths) -> int:
        """Return how many members have these prefix lengths."""
        return self.saved.sizes.get(prefixes, 0) + self.changes.grown.get(prefixes, 0)

    @property
    def finest(self) -> PrefixLengths:
        """The longest prefix of each dimension, by which rules add and delete; whole addresses where none is."""
        found = [prefixes for prefixes in self.order if self.size(prefixes)]
        if not found:
            return (self.saved.bits,) * len(self.saved.kind.nets)
        return tuple(max(lengths) for lengths in zip(*found, strict=True))

    def waits(self, entry: SetEntry) -> bool:
        """Whether a member waits for a packet to tell its MAC address, from when on its time runs."""
        return self.saved.kind.bitmap and self.saved.kind.tailed and not entry.tail

    def expired(self, entry: SetEntry, now: float) -> bool:
        """Whether a member's time is over."""
        return self.saved.traits.timeout is not None and now > entry.until and not self.waits(entry)

    def until(self, now: float, timeout: float | None) -> float:
        """Return when a member expires that a rule adds now; without its own timeout by that of the set."""
        wanted = self.saved.traits.timeout if timeout is None else timeout
        return now + wanted if wanted else inf

    def is_full(self, now: float) -> bool:
        """Whether no more members fit in, once the expired ones are gone."""
        if sum(self.size(prefixes) for prefixes in self.order) < self.saved.traits.most:
            return False
        self._purge(now)
        return sum(self.size(prefixes) for prefixes in self.order) >= self.saved.traits.most

    def _purge(self, now: float) -> None:
        for prefixes in self.order:
            keys = self.saved.levels.get(prefixes, {}).keys() | self.changes.entries.get(prefixes, {}).keys()
            for key in keys:
                entries = self.entries(prefixes, key)
                left = tuple(entry for entry in entries if not self.expired(entry, now))
                if left != entries:
                    self.put(prefixes, key, left)


def find(
    held: DynamicSet, fields: LookupKey, counting: CountingMode, visit: SetLookupContext
) -> SetEntry | MissingValue:
    """Return the member that a packet finds, which may be an exception, and count it."""
    kind = held.saved.kind
    if kind.bitmap and kind.tailed:
        return _find_by_mac(held, fields, counting, visit)
    for prefixes in held.order:
        key, hides = held.saved.at(fields.key, prefixes), False
        for number, entry in enumerate(held.entries(prefixes, key)):
            if entry.physdev:
                continue
            # Among networks of which none has this interface, the kernel's search ends.
            hides = kind.tailed
            if _fits_tail(entry, fields.tail):
                found = counted(held, (prefixes, key, number), counting, visit)
                if found is not MissingValue.ABSENT:
                    return found
                hides = False
        if hides:
            return MissingValue.ABSENT
    return MissingValue.ABSENT


MemberSlot = tuple[PrefixLengths, MemberKey, int]
"""Where a member stands: by what it is found, and its number among those with the same key."""


def counted(
    held: DynamicSet, place: MemberSlot, counting: CountingMode, visit: SetLookupContext
) -> SetEntry | MissingValue:
    """Count a member, and return it unless it has expired or its counts are not those that are asked for."""
    prefixes, key, number = place
    entries = held.entries(prefixes, key)
    entry = entries[number]
    if held.expired(entry, visit.now):
        return MissingValue.ABSENT
    if not held.saved.traits.counters:
        return entry
    if counting.updates:
        entry = _tallied(entry, visit.packet)
        held.put(prefixes, key, (*entries[:number], entry, *entries[number + 1 :]))
    truths = [_fits_count(entry, count) for count in counting.wanted]
    if False in truths or None in truths:
        return MissingValue.ABSENT if False in truths else MissingValue.UNKNOWN
    return entry


def _fits_count(entry: SetEntry, count: CounterCondition) -> bool | None:
    """Whether a member's packets or bytes are as a rule asks; None where the bytes are not known."""
    number = entry.octets if count.octets else entry.packets
    return None if number is None else count.fits(number)


def _tallied(entry: SetEntry, packet: Packet) -> SetEntry:
    """A member with one more packet."""
    known = entry.octets is not None and packet.length is not None
    octets = (entry.octets or 0) + (packet.length or 0) if known else None
    return replace(entry, packets=entry.packets + 1, octets=octets)


def _fits_tail(entry: SetEntry, tail: str) -> bool:
    return tail.startswith(entry.tail) if entry.wildcard else tail == entry.tail


def _find_by_mac(
    held: DynamicSet, fields: LookupKey, counting: CountingMode, visit: SetLookupContext
) -> SetEntry | MissingValue:
    """A member without a MAC address takes that of the first packet."""
    entries = held.entries((), fields.key)
    if not entries:
        return MissingValue.ABSENT
    if held.waits(entries[0]):
        found = _fresh(held, visit, fields.tail, visit.now + entries[0].until)
        held.put((), fields.key, (found,))
        return found
    return (
        counted(held, ((), fields.key, 0), counting, visit) if entries[0].tail == fields.tail else MissingValue.ABSENT
    )


def _fresh(held: DynamicSet, visit: SetLookupContext, tail: str, until: float) -> SetEntry:
    """A member that a rule adds, which counts its packet."""
    entry = SetEntry(until=until, tail=tail)
    return _tallied(entry, visit.packet) if held.saved.traits.counters else entry


def add(held: DynamicSet, fields: LookupKey, visit: SetLookupContext, timeout: float | None, *, exist: bool) -> bool:
    """Add what a packet tells, and return whether the kernel would say so; with ``exist`` over what is there."""
    prefixes = held.finest
    key = held.saved.at(fields.key, prefixes)
    entries = held.entries(prefixes, key)
    new = _fresh(held, visit, fields.tail, held.until(visit.now, timeout))
    number = _number(held, entries, fields.tail)
    if number is None:
        if held.is_full(visit.now):
            if held.saved.traits.forceadd:
                visit.assume(f"set {held.saved.name} is full; it is assumed to stay as it is")
            return False
        held.put(prefixes, key, (*entries, new))
        return True
    old = entries[number]
    if held.waits(old):
        by_set = timeout in {None, held.saved.traits.timeout}
        changed = replace(new, until=visit.now + old.until) if by_set else new
    elif exist and held.saved.kind.bitmap:
        changed = new
    elif exist or held.expired(old, visit.now):
        changed = replace(new, tail=old.tail, wildcard=old.wildcard)
    else:
        return False
    held.put(prefixes, key, (*entries[:number], changed, *entries[number + 1 :]))
    return True


def _number(held: DynamicSet, entries: SetEntries, tail: str) -> int | None:
    """Which member a rule means; of ``bitmap:ip,mac`` the only one, whatever its MAC address."""
    if held.saved.kind.bitmap:
        return 0 if entries else None
    meant = (at for at, entry in enumerate(entries) if not entry.physdev and _fits_tail(entry, tail))
    return next(meant, None)


def remove(held: DynamicSet, fields: LookupKey, visit: SetLookupContext) -> bool:
    """Delete what a packet tells, and return whether it was there."""
    prefixes = held.finest
    key = held.saved.at(fields.key, prefixes)
    entries = held.entries(prefixes, key)
    number = _number(held, entries, fields.tail)
    if number is None:
        return False
    old = entries[number]
    held.put(prefixes, key, (*entries[:number], *entries[number + 1 :]))
    # What waits for a MAC address has a timeout that does not run, which the kernel takes for one that is over.
    return not held.expired(old, visit.now) and not (held.waits(old) and old.until < inf)
