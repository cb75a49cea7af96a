"""Computes the fewest changes that turn an observed ruleset into the desired one.

Input: two `Ruleset` values. Output: `RulesetChange` values. `apply_changes` computes the ruleset after such changes
without a kernel; proofs and tests use it.

Only nodewall's own part is compared: chains and sets with its prefix, and jumps into its chains. Everything else
stays. Rules and sets are compared in canonical form (:mod:`engine.rulesets.canonical`), because releases of iptables
and ipset print the same rule in different ways.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from engine.rulesets.canonical import canonical_header, canonical_member, canonical_rules
from engine.rulesets.kept_rules import kept_rules
from engine.rulesets.model import Chain, Family, IpSet, Member, Rule, Ruleset, Table


@dataclass(frozen=True, slots=True)
class ChainChange:
    """A chain of ours is created or deleted; deletion includes its rules."""

    family: Family
    table: str
    chain: str
    created: bool


@dataclass(frozen=True, slots=True)
class RuleInserted:
    """A rule is inserted at ``position`` (from 1), counted after all earlier edits of its chain.

    ``at_end`` means that no rule follows, so it can be appended.
    """

    family: Family
    table: str
    chain: str
    position: int
    rule: Rule
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class RuleDeleted:
    """The rule at ``position`` (from 1, counted after all earlier edits) is deleted."""

    family: Family
    table: str
    chain: str
    position: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class JumpPlaced:
    """A jump to a chain of ours is inserted at the start of a built-in chain, or at its end if ``last``."""

    family: Family
    table: str
    chain: str
    rule: Rule
    last: bool = False


@dataclass(frozen=True, slots=True)
class JumpRemoved:
    """A jump to a chain of ours is deleted from a chain of others, wherever it is."""

    family: Family
    table: str
    chain: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class SetCreated:
    """An empty set of ours is created."""

    item: IpSet


@dataclass(frozen=True, slots=True)
class SetDestroyed:
    """A set of ours is destroyed; if ``replaced``, it is created again with another type or size."""

    name: str
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """A member is added to a set of ours."""

    set_name: str
    member: Member


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member is removed from a set of ours."""

    set_name: str
    member: Member


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member of a set of ours changes its flags (``nomatch``) in one step; the element stays."""

    set_name: str
    member: Member


ChainEdit = ChainChange | RuleInserted | RuleDeleted | JumpPlaced | JumpRemoved
SetEdit = SetCreated | SetDestroyed | MemberAdded | MemberRemoved | MemberChanged
RulesetChange = ChainEdit | SetEdit


def diff(observed: Ruleset, wanted: Ruleset) -> tuple[RulesetChange, ...]:
    """Return the changes from ``observed`` to ``wanted``: sets first, then IPv4, then IPv6.

    Sets that must be recreated are destroyed first, together with the rules that use them.
    """
    removals = _removals(observed, wanted)
    rest = apply_changes(observed, removals) if removals else observed
    edits = [edit for family in Family for edit in _family_edits(rest, wanted, family)]
    return (*removals, *_set_edits(rest, wanted), *edits)


def _removals(observed: Ruleset, wanted: Ruleset) -> tuple[RulesetChange, ...]:
    """Return the changes that destroy sets that must be recreated, and the rules that use them."""
    names = {name for name, old, new in _changed_sets(observed, wanted) if old and new and _must_be_recreated(old, new)}
    edits: list[ChainEdit] = []
    for family, table, chain in observed.chains() if names else ():
        if chain.owned:
            kept = tuple(rule for rule in chain.rules if names.isdisjoint(rule.set_names))
            edits += _rule_edits(family, table.name, chain, replace(chain, rules=kept))
    return (*edits, *(SetDestroyed(name, replaced=True) for name in sorted(names)))


def _must_be_recreated(before: IpSet, after: IpSet) -> bool:
    """Return whether a set must be recreated: another type or options, or no room for old and new members together."""
    if (before.kind, before.options) != (after.kind, after.options):
        first, second = canonical_header(before), canonical_header(after)
        if (first.kind, first.options) != (second.kind, second.options):
            return True
    room = int(dict(before.options).get("maxelem", _MAX_MEMBERS))
    few = len(before.members) + len(after.members) <= room
    return not few and len({*before.members, *after.members}) > room


_MAX_MEMBERS = 65536  # what ipset takes where nothing is said


def owned_part(ruleset: Ruleset) -> Ruleset:
    """Return nodewall's part of a ruleset: its chains, its sets, and its jumps in other chains."""
    return Ruleset(
        ipv4=_owned_tables(ruleset.ipv4),
        ipv6=_owned_tables(ruleset.ipv6),
        sets=tuple(item for item in ruleset.sets if item.owned),
    )


def _owned_tables(tables: Sequence[Table]) -> tuple[Table, ...]:
    return tuple(table for table in map(_owned_table, tables) if table.chains)


def _owned_table(table: Table) -> Table:
    chains = (chain if chain.owned else _owned_jumps(chain) for chain in table.chains)
    return Table(table.name, tuple(chain for chain in chains if chain.owned or chain.rules))


def _owned_jumps(chain: Chain) -> Chain:
    return replace(chain, rules=_jumps(chain), policy=None, jumps_last=_jumps_last(chain))


def _jumps_last(chain: Chain) -> bool:
    """Return whether our jumps belong at the end of a chain, or are there with other rules before them."""
    jumps = _jumps(chain)
    count = len(chain.rules) - len(jumps)
    return chain.jumps_last or (chain.rules[count:] == jumps != chain.rules[: len(jumps)])


def _jumps(chain: Chain) -> tuple[Rule, ...]:
    return tuple(rule for rule in chain.rules if _is_jump(rule))


def _is_jump(rule: Rule) -> bool:
    return rule.target is not None and rule.target.owned


def _family_edits(observed: Ruleset, wanted: Ruleset, family: Family) -> Iterator[ChainEdit]:
    names = {table.name for ruleset in (observed, wanted) for table in ruleset.tables(family)}
    for name in sorted(names):
        old = {chain.name: chain for chain in observed.table(family, name).chains}
        new = {chain.name: chain for chain in wanted.table(family, name).chains}
        for chain in sorted(old.keys() | new.keys()):
            yield from _chain_edits(family, name, old.get(chain), new.get(chain))


def _chain_edits(family: Family, table: str, old: Chain | None, new: Chain | None) -> Iterator[ChainEdit]:
    chain = (old or new or Chain("")).name
    if not Chain(chain).owned:
        yield from _jump_edits(family, table, old or Chain(chain), new or Chain(chain))
    elif new is None:
        yield ChainChange(family, table, chain, created=False)
    else:
        if old is None:
            yield ChainChange(family, table, chain, created=True)
        yield from _rule_edits(family, table, old or Chain(chain), new)


def _jump_edits(family: Family, table: str, old: Chain, new: Chain) -> Iterator[ChainEdit]:
    """Place the jumps first or last; if they are not exactly there, remove and insert all of ours."""
    present, wanted, last = _jumps(old), _jumps(new), _jumps_last(new)
    there = old.rules[len(old.rules) - len(wanted) :] if last else old.rules[: len(wanted)]
    if present == wanted == there:
        return
    if len(present) == len(wanted) and _alike(present, wanted, family) and _alike(there, wanted, family):
        return
    for rule in present:
        yield JumpRemoved(family, table, old.name, rule)
    for rule in wanted if last else reversed(wanted):
        yield JumpPlaced(family, table, new.name, rule, last=last)


def _rule_edits(family: Family, table: str, old: Chain, new: Chain) -> Iterator[ChainEdit]:
    """Walk both chains from the top; deletions of a gap come before its insertions.

    So every insertion, except at the end, is right before a rule that already existed. iptables-nft-restore finds only
    such positions inside a transaction.
    """
    if old.rules == new.rules:  # most of the time, and quick to see where they are the same objects
        return
    position = 1
    old_at = new_at = 0
    for old_next, new_next in [*kept_rules(old.rules, new.rules, family), (len(old.rules), len(new.rules))]:
        for rule in old.rules[old_at:old_next]:
            yield RuleDeleted(family, table, new.name, position, rule)
        for rule in new.rules[new_at:new_next]:
            yield RuleInserted(family, table, new.name, position, rule, at_end=old_next == len(old.rules))
            position += 1
        position += 1
        old_at, new_at = old_next + 1, new_next + 1


def _alike(one: tuple[Rule, ...], other: tuple[Rule, ...], family: Family) -> bool:
    return one == other or canonical_rules(one, family) == canonical_rules(other, family)


def _set_edits(observed: Ruleset, wanted: Ruleset) -> Iterator[SetEdit]:
    for name, before, after in _changed_sets(observed, wanted):
        if after is None:
            yield SetDestroyed(name)
        elif before is None:  # no rule looks into it yet, so its members come in any order, the usual one
            yield SetCreated(replace(after, members=()))
            yield from (MemberAdded(name, member) for member in sorted(after.members))
        elif before.members != after.members:
            yield from _member_edits(name, before, after)


def _changed_sets(observed: Ruleset, wanted: Ruleset) -> Iterator[tuple[str, IpSet | None, IpSet | None]]:
    """Yield (name, before, after) for our sets by name, except identical objects."""
    same = {*map(id, observed.sets)} & {*map(id, wanted.sets)}
    old = {item.name: item for item in observed.sets if id(item) not in same and item.owned}
    new = {item.name: item for item in wanted.sets if id(item) not in same and item.owned}
    for name in sorted(old.keys() | new.keys()):
        yield name, old.get(name), new.get(name)


def _member_edits(name: str, before: IpSet, after: IpSet) -> Iterator[SetEdit]:
    """Yield the changes between two member lists.

    Additions and flag changes come first, longest prefix first; then removals, shortest prefix first. A set answers by
    its most specific member, so during these changes each address is in the set as before or as after.
    """
    # A set holds an element once, whatever its flags, so elements are what is compared first.
    new = {member[0]: member for member in after.members}
    old = _spelt_as(new.keys(), before)
    for element, member in sorted(new.items(), key=lambda item: (-_length(item[0]), item[0])):
        if element not in old:
            yield MemberAdded(name, member)
        elif old[element] != member:
            yield MemberChanged(name, member)
    for element in sorted(old.keys() - new.keys(), key=lambda gone: (_length(gone), gone)):
        yield MemberRemoved(name, old[element])


def _spelt_as(wanted: AbstractSet[str], before: IpSet) -> dict[str, Member]:
    """Return members by element, under the wanted spelling of an element where there is one that means the same."""
    old = {member[0]: member for member in before.members}
    gone, new = old.keys() - wanted, wanted - old.keys()
    if gone and new:
        spelling = {canonical_member((element,), before)[0]: element for element in new}
        for element in gone:
            asked = spelling.get(canonical_member((element,), before)[0])
            if asked is not None:
                old[asked] = (asked, *old.pop(element)[1:])
    return old


def _length(element: str) -> int:
    """Return the prefix length of an element; a single address counts as the longest."""
    length = element.partition("/")[2]
    return int(length) if length.isdecimal() else _LONGEST


_LONGEST = 128


def apply_changes(observed: Ruleset, changes: Sequence[RulesetChange]) -> Ruleset:
    """Return the ruleset after the changes; defines their meaning for proofs and tests."""
    held = _Held(observed)
    for change in changes:
        if isinstance(change, SetEdit):
            held.edit_set(change)
        else:
            held.edit_chain(change)
    return held.ruleset()


class _Held:
    """A ruleset under change, with rules and members in mutable form."""

    def __init__(self, observed: Ruleset) -> None:
        self._sets = {item.name: item for item in observed.sets}
        self._members: dict[str, dict[str, Member]] = {}
        self._tables = {
            family: {table.name: {c.name: c for c in table.chains} for table in observed.tables(family)}
            for family in Family
        }
        self._rules: dict[tuple[Family, str, str], list[Rule]] = {}

    def edit_set(self, change: SetEdit) -> None:
        """Apply one change of a set."""
        match change:
            case SetCreated(item):
                self._sets[item.name] = item
            case SetDestroyed(name):
                del self._sets[name]
                self._members.pop(name, None)
            case MemberAdded(name, member) | MemberChanged(name, member):
                self._members_of(name)[member[0]] = member
            case MemberRemoved(name, member):
                self._members_of(name).pop(member[0], None)

    def edit_chain(self, change: ChainEdit) -> None:
        """Apply one change of a chain."""
        chains = self._tables[change.family].setdefault(change.table, {})
        place = (change.family, change.table, change.chain)
        if isinstance(change, ChainChange):
            self._rules.pop(place, None)
            chains.pop(change.chain, None)
            if change.created:
                chains[change.chain] = Chain(change.chain)
            return
        chain = chains.setdefault(change.chain, Chain(change.chain))
        rules = self._rules.setdefault(place, list(chain.rules))
        match change:
            case RuleInserted(position=position, rule=rule):
                rules.insert(position - 1, rule)
            case RuleDeleted(position=position):
                del rules[position - 1]
            case JumpPlaced(rule=rule, last=last):
                rules.insert(len(rules) if last else 0, rule)
            case JumpRemoved(rule=rule):
                rules.remove(rule)

    def ruleset(self) -> Ruleset:
        """Return the resulting ruleset."""
        for (family, table, chain), rules in self._rules.items():
            chains = self._tables[family][table]
            chains[chain] = replace(chains[chain], rules=tuple(rules))
        for name, members in self._members.items():
            self._sets[name] = replace(self._sets[name], members=tuple(sorted(members.values())))
        ipv4, ipv6 = (
            tuple(Table(name, tuple(chains.values())) for name, chains in self._tables[family].items())
            for family in Family
        )
        return Ruleset(ipv4, ipv6, tuple(sorted(self._sets.values())))

    def _members_of(self, name: str) -> dict[str, Member]:
        if name not in self._members:
            self._members[name] = {member[0]: member for member in self._sets[name].members}
        return self._members[name]
