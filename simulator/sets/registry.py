"""Operations of rules on ipsets by name: test whether a set holds a packet, add the packet, delete it.

Input: a `SetRegistry` (sets by name), a `SetLookup` (set name and sides), the packet, and the `MatchMemory` with
earlier changes. Output of `test`: a `LookupResult`. Output of `insert` and `delete`: True for success. None stands for
an unknown result.

A ``list:set`` tries its member sets in order. Raises `KeyError` for an unknown set. Source: the kernel's ip_set_core.c
and ip_set_list_set.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from engine.rulesets.model import Family
from simulator.context import MatchMemory
from simulator.packets import Packet
from simulator.sets.dynamic import (
    CountingMode,
    DynamicSet,
    SetChanges,
    SetLookupContext,
    add,
    count_in_member,
    find,
    remove,
)
from simulator.sets.lookup_keys import LookupKey, LookupSides, MissingValue, lookup_key_of
from simulator.sets.set_types import SetDimension
from simulator.sets.static import MarkAndMask, SetEntry, StaticSet

SetRegistry = Mapping[str, StaticSet | None]
"""Sets by name; None for a set that is not modelled."""


_ALL_COUNTED = CountingMode()


@dataclass(frozen=True, slots=True)
class SetLookup:
    """How a rule looks packets up in a set.

    Attributes:
        family: Address family of the rule's packets.
        sides: Side of the packet that each dimension reads.
        exceptions: Whether the rule has ``--return-nomatch``.
        counting: How the look-up updates and checks counters.
    """

    name: str
    family: Family
    sides: LookupSides
    exceptions: bool = False
    counting: CountingMode = _ALL_COUNTED


@dataclass(frozen=True, slots=True)
class LookupResult:
    """Whether a packet is in a set (None if unknown), and the mark of its member."""

    held: bool | None
    mark: MarkAndMask = (0, 0)


_NO = LookupResult(held=False)
_UNKNOWN = LookupResult(held=None)


def current_set(saved: StaticSet, memory: MatchMemory) -> DynamicSet:
    """Return a set in the state that the sequence's packets left it."""
    return DynamicSet(saved, memory.cell(("set", saved.name), SetChanges()))


def _can_hold(saved: StaticSet, asked: SetLookup) -> bool:
    """Return whether the set can hold the packet: same family, and a side for every dimension."""
    return len(asked.sides) >= len(saved.kind.parts) and saved.family in {None, asked.family}


def is_untouched(saved: StaticSet, memory: MatchMemory) -> bool:
    """Return whether the sequence's packets left the set as saved."""
    return ("set", saved.name) not in memory.cells


def plain_test(saved: StaticSet, asked: SetLookup) -> Callable[[Packet], bool] | None:
    """Return a fast `test` for the usual case: an unchanged set in which only an address is looked up."""
    levels = saved.addresses
    if levels is None or not _can_hold(saved, asked) or asked.counting.wanted:
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
    """Look a packet up in a set; count it if the set has counters."""
    saved = sets[asked.name]
    if saved is None or not _can_hold(saved, asked):
        return _UNKNOWN if saved is None else _NO
    held = current_set(saved, memory)
    if saved.kind.parts == (SetDimension.SET,):
        return _test_list(sets, held, asked, visit, memory)
    fields = lookup_key_of(visit.packet, saved, asked.sides)
    found = find(held, fields, asked.counting, visit) if isinstance(fields, LookupKey) else fields
    if isinstance(found, MissingValue):
        return _NO if found is MissingValue.ABSENT else _UNKNOWN
    wanted = saved.kind.exceptions and asked.exceptions
    return LookupResult(found.nomatch is wanted, found.mark if saved.traits.skbinfo else (0, 0))


def _test_list(
    sets: SetRegistry, held: DynamicSet, asked: SetLookup, visit: SetLookupContext, memory: MatchMemory
) -> LookupResult:
    """Return the first member set that holds the packet; counter conditions apply to the list's own counters."""
    counting = asked.counting
    inner = replace(asked, counting=CountingMode(counting.updates and counting.below, counting.below))
    reply = _NO
    for number, (name, _) in enumerate(held.saved.listed):
        found = test(sets, replace(inner, name=name), visit, memory)
        entry = count_in_member(held, ((), (number,), 0), counting, visit) if found.held else MissingValue.ABSENT
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
) -> bool | None:
    """Add a packet to a set, or to the first set of a list that accepts it.

    Args:
        sets: The sets by name.
        asked: The set and the sides of the packet.
        visit: The packet and its time.
        memory: Changes by earlier packets of the sequence.
        timeout: Lifetime of the new member in seconds; None for the set's default.
        exist: Whether to update a member that exists already (``--exist``).

    Returns:
        Whether a set accepted the packet; None if that cannot be known.
    """
    return _changed(sets, asked, visit, memory, lambda held, fields: add(held, fields, visit, timeout, exist=exist))


def delete(sets: SetRegistry, asked: SetLookup, visit: SetLookupContext, memory: MatchMemory) -> bool | None:
    """Delete a packet from a set, or from the first set of a list that has it; return None if unknown."""
    return _changed(sets, asked, visit, memory, lambda held, fields: remove(held, fields, visit))


def _changed(
    sets: SetRegistry,
    asked: SetLookup,
    visit: SetLookupContext,
    memory: MatchMemory,
    change: Callable[[DynamicSet, LookupKey], bool],
) -> bool | None:
    saved = sets[asked.name]
    if saved is None or not _can_hold(saved, asked):
        return None if saved is None else False
    held = current_set(saved, memory)
    if saved.kind.parts == (SetDimension.SET,):
        names = [name for name, entry in saved.listed if not held.expired(entry, visit.now)]
        truths = (_changed(sets, replace(asked, name=name), visit, memory, change) for name in names)
        return next((truth for truth in truths if truth is not False), False)
    fields = lookup_key_of(visit.packet, saved, asked.sides)
    if isinstance(fields, MissingValue):
        return None if fields is MissingValue.UNKNOWN else False
    return change(held, fields)
