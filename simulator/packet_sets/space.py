"""Packet space: encodes the fields of a packet as BDD variables, and sets of packets as Boolean functions of them.

`PacketSpace.of` takes an address family and all conditions in advance, because they determine which values must be
distinguished. `PacketSpace.function` takes a `Formula` and returns the set of packets that satisfy it.

Raises `KeyError` for a condition that was not declared. This module does not depend on rulesets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from engine.rulesets.model import Family
from simulator.context import LOOPBACK
from simulator.matches.formula import (
    STATES,
    And,
    AnswerScope,
    Formula,
    FreeCondition,
    MaskedBits,
    NameCondition,
    Not,
    Or,
    Within,
    atoms,
    state_condition,
    whole,
    within,
)
from simulator.packet_sets.bdd import DEFAULT_NODES, Bdd, BddFunction, is_false, number_of
from simulator.packet_sets.fields import ABSENT, FieldSort, PacketField, fields
from simulator.packet_sets.value_classes import Numbers, ValuePartition, partition
from simulator.packets import protocol_names

BddWord = tuple[BddFunction, ...]
"""Number as functions of its bits, the highest bit first."""

FieldWords = Mapping[str, BddWord]
"""Values of fields that rules have rewritten so far."""

Occurrence = tuple[object, ...]
"""Position of a match whose result does not depend on the packet alone."""

UNCHANGED: FieldWords = {}

OTHERS = "+"
"""Label for all names that no rule distinguishes."""

_INTERFACES = ("eth0", "eth1", "ens3", "wlan0", "if")
_CARDS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:01:0")
_LONGEST_NAME = 15


FieldCondition = Within | NameCondition | MaskedBits
"""Condition on one field."""


@dataclass(frozen=True)
class FieldAxis:
    """One field of a space: its variables and the values they distinguish.

    Attributes:
        asked: Conditions on the field that the space supports.
        partition: Classes of a numeric field's values.
        names: One example for each class of names.
        labels: Meaning of each class of names: the name itself, a prefix such as ``eth+``, or (last) all other names.
        bits: Bit numbers of a field that is matched by bits.
    """

    field: PacketField
    variables: BddWord
    asked: frozenset[FieldCondition]
    partition: ValuePartition | None = None
    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    bits: tuple[int, ...] = ()

    @cached_property
    def span(self) -> range:
        """Positions of the field's variables in the variable order."""
        if not self.variables:
            return range(0)
        begin = number_of(self.variables[0])
        return range(begin, begin + len(self.variables))

    @property
    def count(self) -> int:
        """Number of value classes."""
        if self.partition is not None:
            return self.partition.count
        return len(self.names) or 1 << len(self.bits)


@dataclass(eq=False)
class PacketSpace:
    """Packets of one family; ``fragments`` says whether fragments other than the first exist."""

    family: Family
    axes: Mapping[str, FieldAxis]
    diagram: Bdd
    fragments: bool = False
    _known: dict[Formula | tuple[Formula, BddWord], BddFunction] = field(default_factory=dict)
    _free: dict[Occurrence, BddFunction] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        family: Family,
        conditions: Iterable[Formula],
        *,
        fragments: bool = False,
        nodes: int = DEFAULT_NODES,
        like: "PacketSpace | None" = None,
    ) -> "PacketSpace":
        """Return a space that supports exactly these conditions.

        Results of the space ``like`` are reused where the fields are equal.
        """
        asked: dict[str, list[FieldCondition]] = {name: [] for name in fields(family)}
        for atom in dict.fromkeys(atom for each in (*conditions, *_ALWAYS) for atom in atoms(each)):
            if not isinstance(atom, FreeCondition):
                asked[atom.field].append(atom)
        if like is not None:
            axes = {name: _same_axis(like.axes[name], asked[name]) for name in asked}
            fitting = {name: axis for name, axis in axes.items() if axis is not None}
            if len(fitting) == len(axes):
                return cls(family, fitting, like.diagram, fragments, like.kept(fitting), like._free)  # noqa: SLF001 - another instance of this class
        diagram = Bdd(nodes)
        found = {name: _axis(each, asked[name], diagram) for name, each in fields(family).items()}
        return cls(family, found, diagram, fragments)

    def kept(self, axes: Mapping[str, FieldAxis]) -> "dict[Formula | tuple[Formula, BddWord], BddFunction]":
        """Return the cached functions of conditions on fields that are equal on these axes."""
        return {
            key: function
            for key, function in self._known.items()
            if isinstance(key, Within | NameCondition | MaskedBits) and axes[key.field] is self.axes[key.field]
        }

    def function(self, formula: Formula, scene: FieldWords = UNCHANGED, occurrence: Occurrence = ()) -> BddFunction:
        """Return the packets, as they arrive, that satisfy a condition after the rewrites in ``scene``.

        Args:
            formula: The condition.
            scene: Fields that rules have rewritten so far.
            occurrence: Position of the match, which identifies the result of a match that fields do not decide.

        Raises:
            KeyError: the space was not made for the condition.
        """
        if isinstance(formula, And):
            return self.diagram.all_of(self._parts(formula.parts, scene, occurrence))
        if isinstance(formula, Or):
            found = self.diagram.false
            for part in self._parts(formula.parts, scene, occurrence):
                found |= part
            return found
        if isinstance(formula, Not):
            return ~self.function(formula.part, scene, occurrence)
        if isinstance(formula, FreeCondition):
            return self.free(_key(formula, scene, occurrence))
        axis = self.axes[formula.field]
        word = scene.get(formula.field)
        key = formula if word is None else (formula, word)  # words are slow to compare, and rare
        if key not in self._known:
            self._known[key] = self._atom(formula, axis, axis.variables if word is None else word)
        return self._known[key]

    def free(self, occurrence: Occurrence) -> BddFunction:
        """Return the variable for the result of a match that the packet does not determine."""
        if occurrence not in self._free:
            (self._free[occurrence],) = self.diagram.variables(1)
        return self._free[occurrence]

    @property
    def free_variables(self) -> Mapping[Occurrence, BddFunction]:
        """Matches that packets do not determine, with their variables."""
        return self._free

    def somehow(self, function: BddFunction) -> BddFunction:
        """Return the packets that are in a set for at least one combination of undetermined match results."""
        return self.diagram.some(function, tuple(self._free.values()))

    def anyhow(self, function: BddFunction) -> BddFunction:
        """Return the packets that are in a set for all combinations of undetermined match results."""
        return self.diagram.every(function, tuple(self._free.values()))

    @property
    def unmarked(self) -> BddFunction:
        """Packets without a mark that any rule matches."""
        return self.function(_NO_MARK)

    def packets(self, *, in_interface: bool, out_interface: bool) -> BddFunction:
        """Return all possible packets that have, or lack, an input and an output interface."""
        found = self._well_formed
        for name, has in (("in_interface", in_interface), ("out_interface", out_interface)):
            nameless = self._class(self.axes[name], 0)
            found &= ~nameless if has else nameless
        return found

    def word(self, name: str, value: int) -> BddWord:
        """Return the bits for a value of a field, or for the class of the value."""
        axis = self.axes[name]
        if axis.partition is not None:
            value = axis.partition.class_of(value)
            places: Iterable[int] = reversed(range(len(axis.variables)))
        else:
            places = axis.bits
        return tuple(self.diagram.true if value >> place & 1 else self.diagram.false for place in places)

    def _parts(self, parts: Sequence[Formula], scene: FieldWords, occurrence: Occurrence) -> Iterator[BddFunction]:
        return (self.function(part, scene, occurrence) for part in parts)

    def _atom(self, atom: Within | NameCondition | MaskedBits, axis: FieldAxis, word: BddWord) -> BddFunction:
        if isinstance(atom, MaskedBits):
            return self._bits(atom, axis, word)
        if isinstance(atom, Within):
            if axis.partition is None:
                raise KeyError(atom)
            return self.among(word, axis.partition.members(atom).tolist())
        fits = [place for place, name in enumerate(axis.names) if called(atom.pattern, name)]
        return self.among(word, fits)

    def _bits(self, atom: MaskedBits, axis: FieldAxis, word: BddWord) -> BddFunction:
        if atom.value & ~atom.mask:
            return self.diagram.false
        wanted = [(bit, place) for bit, place in zip(word, axis.bits, strict=True) if atom.mask >> place & 1]
        return self.diagram.all_of(bit if atom.value >> place & 1 else ~bit for bit, place in reversed(wanted))

    def among(self, word: BddWord, classes: Sequence[int]) -> BddFunction:
        """Return the packets whose word is one of several numbers, which must be sorted."""
        return self._among(word, 0, classes, 0)

    def _among(self, word: BddWord, at: int, classes: Sequence[int] | Numbers, low: int) -> BddFunction:
        if not len(classes):
            return self.diagram.false
        size = 1 << len(word) - at
        if len(classes) == size:
            return self.diagram.true
        half = low + size // 2
        middle = _first_from(classes, half)
        upper = self._among(word, at + 1, classes[middle:], half)
        return word[at].ite(upper, self._among(word, at + 1, classes[:middle], low))

    def _class(self, axis: FieldAxis, place: int) -> BddFunction:
        return self.among(axis.variables, [place])

    @cached_property
    def _well_formed(self) -> BddFunction:
        """All possible packets: each field has a valid value, and only headers that exist have fields."""
        found = self.diagram.true
        for axis in reversed(tuple(self.axes.values())):
            if axis.count < 1 << len(axis.variables):
                found &= self.among(axis.variables, range(axis.count))
        for rule in _RULES:
            found &= self.function(rule)
        return found if self.fragments else found & self.function(MaskedBits("fragment", 1, 0))


def _key(question: FreeCondition, scene: FieldWords, occurrence: Occurrence) -> Occurrence:
    """Return the cache key of an undetermined match result.

    Results that the packet determines share a key as long as no rule has rewritten the packet's bytes.
    """
    match question.answer:
        case AnswerScope.EVERYWHERE:
            return ("", question.text)
        case AnswerScope.PACKET if scene.keys() <= _BESIDE_THE_PACKET:
            return (question.text,)
        case _:
            return (*occurrence, question.text)


_BESIDE_THE_PACKET = frozenset({"state", "mark"})
"""Fields that are not part of a packet's bytes."""


def called(pattern: str, name: str) -> bool:
    """Return whether a name matches a pattern, in which a final ``+`` stands for any rest.

    The empty name stands for no interface.
    """
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _first_from(classes: Sequence[int] | Numbers, least: int) -> int:
    low, high = 0, len(classes)
    while low < high:
        middle = (low + high) // 2
        if classes[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


def _axis(found: PacketField, asked: Sequence[FieldCondition], diagram: Bdd) -> FieldAxis:
    axis = _unbound(found, asked)
    width = len(axis.bits) if found.sort is FieldSort.BITS else (axis.count - 1).bit_length()
    return replace(axis, variables=diagram.variables(width))


def _same_axis(axis: FieldAxis, asked: Sequence[FieldCondition]) -> FieldAxis | None:
    """Return the axis for other conditions on the same variables; None if the variables are too few.

    If the axis supports the conditions already, it is returned itself. Spare variables do no harm, because they encode
    class numbers.
    """
    if axis.asked.issuperset(asked):
        return axis
    other = _unbound(axis.field, asked)
    if axis.field.sort is FieldSort.BITS or (other.count - 1).bit_length() > len(axis.variables):
        return None
    return replace(other, variables=axis.variables)


def _unbound(found: PacketField, asked: Sequence[FieldCondition]) -> FieldAxis:
    """Return the value classes for these conditions, without variables."""
    known = frozenset(asked)
    if found.sort is FieldSort.BITS:
        mask = 0
        for bit in asked:
            mask |= bit.mask if isinstance(bit, MaskedBits) else 0
        bits = tuple(place for place in reversed(range(mask.bit_length())) if mask >> place & 1)
        return FieldAxis(found, (), known, bits=bits)
    if found.sort is FieldSort.NAME:
        others = _CARDS if found.name == "mac" else _INTERFACES
        names_of = _representatives(tuple(each.pattern for each in asked if isinstance(each, NameCondition)), others)
        return FieldAxis(found, (), known, names=tuple(names_of), labels=tuple(names_of.values()))
    parts = partition(found.first, found.last, [each for each in asked if isinstance(each, Within)])
    return FieldAxis(found, (), known, parts)


def _representatives(patterns: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Return one sample name for each class of names, with the label of the class.

    The classes are: no name, each exact name, each prefix, and all other names.
    """
    exact = {pattern for pattern in patterns if not pattern.endswith("+")} - {""}
    starts = {pattern[:-1] for pattern in patterns if pattern.endswith("+")} - {""}
    found = {name: name for name in ("", *sorted(exact))}
    for start in sorted(starts):
        fresh = (f"{start}{number}"[:_LONGEST_NAME] for number in range(10))
        found.setdefault(next((name for name in fresh if not _taken(name, exact, starts, start)), start), f"{start}+")
    more = (f"{others[-1]}{number}" for number in range(len(patterns)))
    found[next(name for name in (*others, *more) if not _taken(name, exact, starts, ""))] = OTHERS
    return found


def _taken(name: str, exact: set[str], starts: set[str], own: str) -> bool:
    """Return whether a name matches an exact pattern, or a prefix longer than ``own``."""
    return name in exact or any(name.startswith(start) and len(start) > len(own) for start in starts)


def _rules() -> Iterator[Formula]:
    """Yield the constraints on every packet: which packets have ports, an ICMP type, TCP flags or a MAC address."""
    ported, messages = whole(*protocol_names.PORT_PROTOCOLS), whole(*protocol_names.ICMP_OF.values())
    for name, having in (("sport", ported), ("dport", ported), ("icmp", messages)):
        absent = within(name, (ABSENT, ABSENT))
        yield Or((And((having, Not(absent))), And((Not(having), absent))))
    yield Or((whole(protocol_names.TCP), MaskedBits("flags", 0xFF, 0)))
    framed = Not(Or((NameCondition("in_interface", ""), NameCondition("in_interface", LOOPBACK))))
    nameless = NameCondition("mac", "")
    yield Or((And((framed, Not(nameless))), And((Not(framed), nameless))))


_NO_MARK = MaskedBits("mark", 0xFFFFFFFF, 0)
_RULES = tuple(_rules())
_ALWAYS = (*_RULES, *(state_condition(state) for state in STATES))
"""Conditions that every space supports."""


def empty(function: BddFunction) -> bool:
    """Return whether a packet set is empty."""
    return is_false(function)
