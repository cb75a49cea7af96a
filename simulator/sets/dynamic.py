"""State of one ipset during a sequence of packets: its added, deleted and expired members, and their counters.

Input: a `StaticSet` (the set as saved), the `SetChanges` since then, and a `LookupKey` of a packet. `find` returns the
member that matches the packet and updates its counters; `add` and `remove` perform the changes of the ``SET`` target.

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
    """Differences from the saved set: changed members by prefix lengths and key, and growth by prefix lengths."""

    entries: dict[PrefixLengths, dict[MemberKey, SetEntries]] = field(default_factory=dict)
    grown: dict[PrefixLengths, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetLookupContext:
    """Packet, its time in seconds after the sequence began, and a callback that records an assumption."""

    packet: Packet
    now: float
    assume: Callable[[str], None] = lambda _what: None


@dataclass(frozen=True, slots=True)
class CounterCondition:
    """Condition of a rule on a member's packet or byte counter."""

    octets: bool
    fits: Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class CountingMode:
    """Counter handling of a look-up.

    Kernels before 5.4 checked the conditions before they counted.

    Attributes:
        updates: Whether the look-up counts the packet.
        below: Whether it also counts in the member sets of a list.
        wanted: Conditions on the counters after the update.
    """

    updates: bool = True
    below: bool = True
    wanted: tuple[CounterCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class DynamicSet:
    """One set in its current state."""

    saved: StaticSet
    changes: SetChanges

    @property
    def order(self) -> tuple[PrefixLengths, ...]:
        """Prefix lengths in search order."""
        if self.changes.entries.keys() <= self.saved.levels.keys():
            return self.saved.order
        return tuple(sorted(self.saved.levels.keys() | self.changes.entries.keys(), reverse=True))

    def entries(self, prefixes: PrefixLengths, key: MemberKey) -> SetEntries:
        """Return the members with a key."""
        changed = self.changes.entries.get(prefixes, {}).get(key)
        return self.saved.levels.get(prefixes, {}).get(key, ()) if changed is None else changed

    def put(self, prefixes: PrefixLengths, key: MemberKey, entries: SetEntries) -> None:
        """Replace the members with a key."""
        more = len(entries) - len(self.entries(prefixes, key))
        self.changes.grown[prefixes] = self.changes.grown.get(prefixes, 0) + more
        self.changes.entries.setdefault(prefixes, {})[key] = entries

    def size(self, prefixes: PrefixLengths) -> int:
        """Return the number of members with these prefix lengths."""
        return self.saved.sizes.get(prefixes, 0) + self.changes.grown.get(prefixes, 0)

    @property
    def longest_prefixes(self) -> PrefixLengths:
        """Longest prefix of each dimension, which rules use to add and delete; full length in an empty set."""
        found = [prefixes for prefixes in self.order if self.size(prefixes)]
        if not found:
            return (self.saved.bits,) * len(self.saved.kind.nets)
        return tuple(max(lengths) for lengths in zip(*found, strict=True))

    def awaits_mac(self, entry: SetEntry) -> bool:
        """Return whether a member still has no MAC address; its timeout starts when a packet sets one."""
        return self.saved.kind.bitmap and self.saved.kind.compares_last and not entry.tail

    def expired(self, entry: SetEntry, now: float) -> bool:
        """Return whether a member has expired."""
        return self.saved.traits.timeout is not None and now > entry.until and not self.awaits_mac(entry)

    def until(self, now: float, timeout: float | None) -> float:
        """Return the expiry of a member added now; without its own timeout, the set's default applies."""
        wanted = self.saved.traits.timeout if timeout is None else timeout
        return now + wanted if wanted else inf

    def is_full(self, now: float) -> bool:
        """Return whether the set has no room after removal of expired members."""
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
    """Return the member that matches a packet, which may be an exception, and count the packet."""
    kind = held.saved.kind
    if kind.bitmap and kind.compares_last:
        return _find_by_mac(held, fields, counting, visit)
    for prefixes in held.order:
        key, hides = held.saved.at(fields.key, prefixes), False
        for number, entry in enumerate(held.entries(prefixes, key)):
            if entry.physdev:
                continue
            # If networks match but none has this interface, the kernel ends the search here.
            hides = kind.compares_last
            if _fits_tail(entry, fields.tail):
                found = count_in_member(held, (prefixes, key, number), counting, visit)
                if found is not MissingValue.ABSENT:
                    return found
                hides = False
        if hides:
            return MissingValue.ABSENT
    return MissingValue.ABSENT


MemberSlot = tuple[PrefixLengths, MemberKey, int]
"""Position of a member: prefix lengths, key, and index among the members with that key."""


def count_in_member(
    held: DynamicSet, place: MemberSlot, counting: CountingMode, visit: SetLookupContext
) -> SetEntry | MissingValue:
    """Count a packet in a member; return the member unless it has expired or its counters do not fit."""
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
    """Return whether a member's counter fits the condition; None if its bytes are unknown."""
    number = entry.octets if count.octets else entry.packets
    return None if number is None else count.fits(number)


def _tallied(entry: SetEntry, packet: Packet) -> SetEntry:
    """Return the member with one more packet counted."""
    known = entry.octets is not None and packet.length is not None
    octets = (entry.octets or 0) + (packet.length or 0) if known else None
    return replace(entry, packets=entry.packets + 1, octets=octets)


def _fits_tail(entry: SetEntry, tail: str) -> bool:
    return tail.startswith(entry.tail) if entry.wildcard else tail == entry.tail


def _find_by_mac(
    held: DynamicSet, fields: LookupKey, counting: CountingMode, visit: SetLookupContext
) -> SetEntry | MissingValue:
    """Find a member by address and MAC address; a member without a MAC address takes the packet's."""
    entries = held.entries((), fields.key)
    if not entries:
        return MissingValue.ABSENT
    if held.awaits_mac(entries[0]):
        found = _fresh(held, visit, fields.tail, visit.now + entries[0].until)
        held.put((), fields.key, (found,))
        return found
    return (
        count_in_member(held, ((), fields.key, 0), counting, visit)
        if entries[0].tail == fields.tail
        else MissingValue.ABSENT
    )


def _fresh(held: DynamicSet, visit: SetLookupContext, tail: str, until: float) -> SetEntry:
    """Return a new member, which counts the packet that added it."""
    entry = SetEntry(until=until, tail=tail)
    return _tallied(entry, visit.packet) if held.saved.traits.counters else entry


def add(held: DynamicSet, fields: LookupKey, visit: SetLookupContext, timeout: float | None, *, exist: bool) -> bool:
    """Add a packet's key; return whether the kernel would report success.

    ``timeout`` is in seconds, None for the set's default. With ``exist``, a member that exists already is updated.
    """
    prefixes = held.longest_prefixes
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
    if held.awaits_mac(old):
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
    """Return the index of the member that a rule refers to; ``bitmap:ip,mac`` has one, whatever its MAC address."""
    if held.saved.kind.bitmap:
        return 0 if entries else None
    meant = (at for at, entry in enumerate(entries) if not entry.physdev and _fits_tail(entry, tail))
    return next(meant, None)


def remove(held: DynamicSet, fields: LookupKey, visit: SetLookupContext) -> bool:
    """Delete a packet's key; return whether the kernel would report success."""
    prefixes = held.longest_prefixes
    key = held.saved.at(fields.key, prefixes)
    entries = held.entries(prefixes, key)
    number = _number(held, entries, fields.tail)
    if number is None:
        return False
    old = entries[number]
    held.put(prefixes, key, (*entries[:number], *entries[number + 1 :]))
    # The timeout of a member without a MAC address does not run; the kernel treats such a member as expired.
    return not held.expired(old, visit.now) and not (held.awaits_mac(old) and old.until < inf)
