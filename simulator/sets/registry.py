"""All sets that rules name, and what a rule does with one: it tests a packet, adds it or deletes it.

A ``list:set`` asks its sets in their order. Source: the kernel's ip_set_core.c and ip_set_list_set.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from engine.rulesets.model import Family
from simulator.context import MatchMemory
from simulator.packets import Packet
from simulator.sets.dynamic import CountingMode, DynamicSet, SetChanges, SetLookupContext, add, counted, find, remove
from simulator.sets.lookup_keys import LookupKey, LookupSides, MissingValue, fields_of
from simulator.sets.set_types import SetDimension
from simulator.sets.static import MarkAndMask, SetEntry, StaticSet

SetRegistry = Mapping[str, StaticSet | None]
"""The sets by their names; None one that is not modelled."""

Truth = bool | None

_ALL_COUNTED = CountingMode()


@dataclass(frozen=True, slots=True)
class SetLookup:
    """How a rule names a set: for a family's packets, by which sides, and what else it asks for."""

    name: str
    family: Family
    sides: LookupSides
    exceptions: bool = False
    counting: CountingMode = _ALL_COUNTED


@dataclass(frozen=True, slots=True)
class LookupResult:
    """Whether a packet is in a set, None where that cannot be known, and the mark that its member has."""

    held: Truth
    mark: MarkAndMask = (0, 0)


_NO = LookupResult(held=False)
_UNKNOWN = LookupResult(held=None)


def held_now(saved: StaticSet, memory: MatchMemory) -> DynamicSet:
    """Return a set as the packets of a sequence have left it."""
    return DynamicSet(saved, memory.cell(("set", saved.name), SetChanges()))


def _fits(saved: StaticSet, asked: SetLookup) -> bool:
    """Whether a set can hold the packet at all: it must be of its family, and no dimension left open."""
    return len(asked.sides) >= len(saved.kind.parts) and saved.family in {None, asked.family}


def is_untouched(saved: StaticSet, memory: MatchMemory) -> bool:
    """Whether the packets of a sequence have left a set as it was saved."""
    return ("set", saved.name) not in memory.cells


def plain_test(saved: StaticSet, asked: SetLookup) -> Callable[[Packet], bool] | None:
    """Return `test` for a set as it was saved where nothing but an address is looked up in it: the usual case."""
    levels = saved.addresses
    if levels is None or not _fits(saved, asked) or asked.counting.wanted:
        return None
    source, exceptions = asked.sides[0], saved.kind.exceptions and asked.exceptions

    def held(packet: Packet) -> bool:
        address = int(packet.src if source else packet.dst)
        for bits, members in levels:
            found = members.get(address & bits)
            if found is not None:
                return found is not exceptions
        return False

    return held


def test(sets: SetRegistry, asked: SetLookup, visit: SetLookupContext, memory: MatchMemory) -> LookupResult:
    """Return whether a packet is in a set."""
    saved = sets[asked.name]
    if saved is None or not _fits(saved, asked):
        return _UNKNOWN if saved is None else _NO
    held = held_now(saved, memory)
    if saved.kind.parts == (SetDimension.SET,):
        return _test_list(sets, held, asked, visit, memory)
    fields = fields_of(visit.packet, saved, asked.sides)
    found = find(held, fields, asked.counting, visit) if isinstance(fields, LookupKey) else fields
    if isinstance(found, MissingValue):
        return _NO if found is MissingValue.ABSENT else _UNKNOWN
    wanted = saved.kind.exceptions and asked.exceptions
    return LookupResult(found.nomatch is wanted, found.mark if saved.traits.skbinfo else (0, 0))


def _test_list(
    sets: SetRegistry, held: DynamicSet, asked: SetLookup, visit: SetLookupContext, memory: MatchMemory
) -> LookupResult:
    """The first set that holds the packet decides; what the rule asks of counts is asked of the list's own."""
    counting = asked.counting
    inner = replace(asked, counting=CountingMode(counting.updates and counting.below, counting.below))
    reply = _NO
    for number, (name, _) in enumerate(held.saved.listed):
        found = test(sets, replace(inner, name=name), visit, memory)
        entry = counted(held, ((), (number,), 0), counting, visit) if found.held else MissingValue.ABSENT
        if isinstance(entry, SetEntry):
            return replace(found, mark=entry.mark) if held.saved.traits.skbinfo else found
        if found.held is None or entry is MissingValue.UNKNOWN:
            reply = _UNKNOWN
    return reply


def insert(
    sets: SetRegistry,
    asked: SetLookup,
    visit: SetLookupContext,
    memory: MatchMemory,
    timeout: float | None,
    *,
    exist: bool,
) -> Truth:
    """Add a packet to a set, of a list to the first that takes it; return whether one did, None if not known."""
    return _changed(sets, asked, visit, memory, lambda held, fields: add(held, fields, visit, timeout, exist=exist))


def delete(sets: SetRegistry, asked: SetLookup, visit: SetLookupContext, memory: MatchMemory) -> Truth:
    """Delete a packet from a set, of a list from the first that has it; return whether one did, None if not known."""
    return _changed(sets, asked, visit, memory, lambda held, fields: remove(held, fields, visit))


def _changed(
    sets: SetRegistry,
    asked: SetLookup,
    visit: SetLookupContext,
    memory: MatchMemory,
    change: Callable[[DynamicSet, LookupKey], bool],
) -> Truth:
    saved = sets[asked.name]
    if saved is None or not _fits(saved, asked):
        return None if saved is None else False
    held = held_now(saved, memory)
    if saved.kind.parts == (SetDimension.SET,):
        names = [name for name, entry in saved.listed if not held.expired(entry, visit.now)]
        truths = (_changed(sets, replace(asked, name=name), visit, memory, change) for name in names)
        return next((truth for truth in truths if truth is not False), False)
    fields = fields_of(visit.packet, saved, asked.sides)
    if isinstance(fields, MissingValue):
        return None if fields is MissingValue.UNKNOWN else False
    return change(held, fields)
