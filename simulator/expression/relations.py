"""Converts pcap-filter(7) comparisons, such as ``tcp[tcpflags] & tcp-syn != 0``, to expressions of iptables matches.

`FIELDS` maps each field that iptables can match to a function from a `Relation` to an `Expression`. The functions raise
`NeverTrueError` if no packet can match and `UnsupportedRelationError` if iptables has no match for the comparison. As
in libpcap, ``icmp[...]``, ``tcp[...]`` and the like imply IPv4, and fragments after the first never match.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne

from engine.rulesets.model import Family
from simulator.expression import leaves
from simulator.expression.ast import Expression, Leaf, Negated, all_of, any_of

RELATIONS: Mapping[str, Callable[[int, int], bool]] = {
    "==": eq,
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}

RelationKey = tuple[str, int, int]
"""Word before the brackets, first byte, and number of bytes; ``len`` has no brackets."""

LENGTH: RelationKey = ("len", 0, 4)


class NeverTrueError(ValueError):
    """No packet can satisfy the relation."""


class UnsupportedRelationError(ValueError):
    """No iptables match expresses the relation; the message says what the field supports."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Comparison of a masked field with a number; ``full`` is the mask of the whole field."""

    sign: str
    number: int
    mask: int
    full: int

    def whole(self) -> None:
        """Check that the relation uses the whole field.

        Raises:
            UnsupportedRelationError: The mask selects only a part.
        """
        if self.mask != self.full:
            raise UnsupportedRelationError("the whole field, without &")

    def values(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the values of the masked field that satisfy the relation, and those that do not."""
        relation = RELATIONS[self.sign]
        possible = [value for value in range(self.full + 1) if value & ~self.mask == 0]
        chosen = [value for value in possible if relation(value, self.number)]
        return chosen, [value for value in possible if not relation(value, self.number)]

    def ranges(self, most: int) -> list[tuple[int, int]]:
        """Return the ranges from 0 to ``most`` that satisfy the relation.

        Raises:
            NeverTrueError: There are none.
            UnsupportedRelationError: The mask selects only a part of the field.
        """
        self.whole()
        below, above = (0, min(self.number - 1, most)), (self.number + 1, most)
        same = (self.number, self.number) if self.number <= most else (1, 0)
        ranges = {
            "<": [below],
            "<=": [(0, min(self.number, most))],
            ">": [above],
            ">=": [(self.number, most)],
            "!=": [below, above],
        }.get(self.sign, [same])
        found = [(low, high) for low, high in ranges if low <= high]
        if not found:
            raise NeverTrueError
        return found

    def equal(self, leaf_of: Callable[[int], Expression], guard: Expression) -> Expression:
        """Return an expression for one value, or for every other value within ``guard``.

        Raises:
            NeverTrueError: The mask excludes the value.
            UnsupportedRelationError: The relation is not ``==`` or ``!=``.
        """
        if self.sign not in {"==", "=", "!="}:
            raise UnsupportedRelationError("== or !=")
        same = self.sign != "!="
        if self.number & ~self.mask:
            if same:
                raise NeverTrueError
            return guard
        return leaf_of(self.number) if same else all_of(guard, Negated(leaf_of(self.number)))

    def either(
        self, leaf_of: Callable[[int], Expression], guard: Expression, odd: frozenset[int] = frozenset()
    ) -> Expression:
        """Return an expression for the values that satisfy the relation, positive or negated, whichever is shorter.

        Args:
            leaf_of: Makes the leaf of one value.
            guard: Holds for every packet that has the field.
            odd: Values that can only be expressed by excluding the others.

        Raises:
            NeverTrueError: No value satisfies the relation.
        """
        chosen, others = self.values()
        if not chosen:
            raise NeverTrueError
        if not others:
            return guard
        if odd.isdisjoint(chosen) and (len(chosen) <= len(others) or not odd.isdisjoint(others)):
            return any_of(*map(leaf_of, chosen))
        return all_of(guard, Negated(any_of(*map(leaf_of, others))))


def _length(relation: Relation) -> Expression:
    return any_of(*(leaves.of_lengths(*span) for span in relation.ranges(leaves.MOST_LENGTH)))


def _of_ipv4(meaning: Callable[[Relation], Expression]) -> Callable[[Relation], Expression]:
    return lambda relation: all_of(leaves.of_family(Family.IPV4), meaning(relation))


def _port(name: str, side: str) -> Callable[[Relation], Expression]:
    def meaning(relation: Relation) -> Expression:
        return any_of(*(leaves.of_ports(name, side, *span) for span in relation.ranges(leaves.MOST_PORT)))

    return _of_ipv4(meaning)


def _ttl(family: Family) -> Callable[[Relation], Expression]:
    def leaf(low: int, high: int) -> Leaf:
        if low == high:
            return leaves.of_ttl(family, "eq", low)
        if low:
            return leaves.of_ttl(family, "gt", low - 1)
        return leaves.of_family(family) if high == 0xFF else leaves.of_ttl(family, "lt", high + 1)

    return lambda relation: any_of(*(leaf(*span) for span in relation.ranges(0xFF)))


def _tos(relation: Relation) -> Expression:
    return relation.either(lambda value: leaves.of_tos(value, relation.mask), leaves.of_family(Family.IPV4))


def _flags(relation: Relation) -> Expression:
    return relation.either(lambda value: leaves.of_flags(relation.mask, value), leaves.of_flags(0, 0))


def _address(side: str) -> Callable[[Relation], Expression]:
    return lambda relation: relation.equal(
        lambda value: leaves.of_masked(side, value, relation.mask), leaves.of_family(Family.IPV4)
    )


def _protocol(relation: Relation) -> Expression:
    relation.whole()
    if not relation.number:
        raise UnsupportedRelationError("a number from 1 to 255")
    return relation.equal(lambda value: leaves.of_protocol(value, Family.IPV4), leaves.of_family(Family.IPV4))


def _fragment(relation: Relation) -> Expression:
    if relation.mask != 0x1FFF or relation.number or relation.sign not in {"==", "=", "!=", ">"}:
        raise UnsupportedRelationError("ip[6:2] & 0x1fff, and == 0 or != 0 behind it")
    first = relation.sign in {"==", "="}
    return all_of(leaves.of_family(Family.IPV4), Negated(leaves.FRAGMENT)) if first else leaves.FRAGMENT


_RESERVED: Mapping[Family, frozenset[int]] = {Family.IPV4: frozenset({255}), Family.IPV6: frozenset()}
"""ICMP type that iptables treats as "any type"."""


def _icmp_type(family: Family) -> Callable[[Relation], Expression]:
    def meaning(relation: Relation) -> Expression:
        relation.whole()
        return relation.either(
            lambda kind: leaves.of_icmp(family, str(kind)), leaves.of_icmp(family), _RESERVED[family]
        )

    return meaning


def _icmp_code(family: Family) -> Callable[[Relation], Expression]:
    """Return the meaning of an ICMP code; iptables matches a code only with its type, so it takes one leaf per type."""
    kinds = [kind for kind in range(0x100) if kind not in _RESERVED[family]]

    def meaning(relation: Relation) -> Expression:
        relation.whole()
        return relation.either(
            lambda code: any_of(*(leaves.of_icmp(family, f"{kind}/{code}") for kind in kinds)), leaves.of_icmp(family)
        )

    return meaning


def _icmp_both(family: Family) -> Callable[[Relation], Expression]:
    def meaning(relation: Relation) -> Expression:
        relation.whole()
        if relation.number >> 8 in _RESERVED[family]:
            raise UnsupportedRelationError("a type other than 255, which iptables takes for all types")
        return relation.equal(lambda both: leaves.of_icmp(family, f"{both >> 8}/{both & 0xFF}"), leaves.of_icmp(family))

    return meaning


FIELDS: Mapping[RelationKey, Callable[[Relation], Expression]] = {
    LENGTH: _length,
    ("ip", 1, 1): _tos,
    ("ip", 2, 2): _of_ipv4(_length),
    ("ip", 6, 2): _fragment,
    ("ip", 8, 1): _ttl(Family.IPV4),
    ("ip", 9, 1): _protocol,
    ("ip", 12, 4): _address("src"),
    ("ip", 16, 4): _address("dst"),
    ("ip6", 7, 1): _ttl(Family.IPV6),
    **{(name, 0, 2): _port(name, "src") for name in leaves.PORTED},
    **{(name, 2, 2): _port(name, "dst") for name in leaves.PORTED},
    ("tcp", 13, 1): _flags,
    ("icmp", 0, 1): _icmp_type(Family.IPV4),
    ("icmp", 1, 1): _icmp_code(Family.IPV4),
    ("icmp", 0, 2): _icmp_both(Family.IPV4),
    ("icmp6", 0, 1): _icmp_type(Family.IPV6),
    ("icmp6", 1, 1): _icmp_code(Family.IPV6),
    ("icmp6", 0, 2): _icmp_both(Family.IPV6),
}
"""Meaning of a relation, by field."""
