"""Rules as rows that all packets meet at once, and chains of them, shared between the rulesets that have them.

What rows of two rulesets have in common is the same row, so that what was worked out for one is known for the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter

from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.context import PacketContext
from simulator.netfilter.answer import Decision, Verdict
from simulator.netfilter.nat import range_of
from simulator.netfilter.program import check_program
from simulator.netfilter.targets import TargetAction, TargetContext, TargetEffect, effect_of
from simulator.netfilter.walker import TABLES
from simulator.packet_sets.fields import STATES
from simulator.packet_sets.formula import And, Formula, MaskedBits, within
from simulator.packets import ConnState, Packet, protocol_names
from simulator.symbolic.match_conditions import MatchConditions
from simulator.symbolic.set_conditions import SymbolicSet
from simulator.symbolic.topological import callers_first


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """What a rule makes of a field: a number; of its bits, ``value`` after all but those of ``keep`` were cleared.

    A ``value`` of None is one that cannot be known. ``where`` says of which packets, all if it is None.
    """

    name: str
    value: int | None
    keep: int = 0
    where: Formula | None = None


_VERDICTS: Mapping[TargetAction, Verdict] = {
    TargetAction.ACCEPT: Verdict.ACCEPT,
    TargetAction.DROP: Verdict.DROP,
    TargetAction.REJECT: Verdict.REJECT,
}


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicRule:
    """One rule: for which packets it holds, and what it does then; ``occurrence`` tells it from all others."""

    condition: Formula
    act: TargetAction
    rule: Rule
    decision: Decision
    occurrence: tuple[object, ...]
    reject_with: str | None = None
    writes: tuple[FieldWrite, ...] = ()
    into: "SymbolicChain | None" = None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that it gives, None where it gives none."""
        return _VERDICTS.get(self.act)

    @property
    def idle(self) -> bool:
        """Whether it makes no difference to any verdict."""
        return self.act is TargetAction.NEXT and not self.writes


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicChain:
    """A chain."""

    table: str
    name: str
    policy: str | None
    rows: tuple[SymbolicRule, ...]


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicRuleset:
    """What a ruleset does with packets of one family: the chains of each hook in the order of their tables."""

    ruleset: Ruleset
    hooks: Mapping[Hook, tuple[SymbolicChain, ...]]
    blocks: Mapping[tuple[str, str], SymbolicChain]
    tracked: bool

    @property
    def rows(self) -> list[SymbolicRule]:
        """All its rules."""
        return [row for block in self.blocks.values() for row in block.rows]

    def conditions(self) -> Iterator[Formula]:
        """Yield all that is asked of packets, and what tells the values apart that rules write."""
        for block in self.blocks.values():
            for row in block.rows:
                yield row.condition
                for write in row.writes:
                    if write.where is not None:
                        yield write.where
                    if write.value is not None and not write.keep and write.name not in {"mark", "tos"}:
                        yield within(write.name, (write.value, write.value))


_TRACKING_MODULES = frozenset({"conntrack", "state", "connmark", "connbytes", "connlabel", "helper"})
_TRACKING_TARGETS = frozenset({"CONNMARK", "CT", "NOTRACK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"})


@dataclass(eq=False)
class SymbolicRulesetReader:
    """Reads rulesets of one family; rows and chains that it has read before it gives again."""

    family: Family
    _reader: MatchConditions = field(init=False)
    _rows: dict[tuple[Decision, Rule, int, Formula, SymbolicChain | None], SymbolicRule] = field(default_factory=dict)
    _blocks: dict[tuple[object, ...], SymbolicChain] = field(default_factory=dict)
    _readings: dict[tuple[str, str], "_Reading"] = field(default_factory=dict)
    _traits: "_Traits | None" = None

    def __post_init__(self) -> None:
        self._reader = MatchConditions(self.family)

    def read(self, ruleset: Ruleset, moving: Mapping[str, SymbolicSet] | None = None) -> SymbolicRuleset:
        """Return what a ruleset does with packets; ``moving`` are sets of which something else is known.

        Raises:
            Refused: rules name sets or chains that are not there, or chains form a loop.
        """
        if self._traits is None or not self._traits.are_of(ruleset):
            self._traits = _Traits.of(ruleset, self.family)
        sets: dict[str, SymbolicSet] = {each.name: each for each in ruleset.sets}
        sets |= moving or {}
        known = {name: each for name, each in sets.items() if name not in self._traits.changed}
        blocks: dict[tuple[str, str], SymbolicChain] = {}
        for table, chain in self._traits.order:
            blocks[table, chain.name] = self._block(table, chain, known, blocks)
        hooks = {
            hook: tuple(blocks[name, hook.value] for name in TABLES[hook] if (name, hook.value) in blocks)
            for hook in Hook
        }
        return SymbolicRuleset(ruleset, hooks, blocks, self._traits.tracked)

    @property
    def size(self) -> int:
        """How many rules it has read and still knows."""
        return len(self._rows)

    def condition(self, matches: tuple[Match, ...], sets: Sequence[IpSet] = ()) -> Formula:
        """Return the condition of some matches that look into no sets but these."""
        return self._reader.condition(matches, {each.name: each for each in sets})

    def _block(
        self, table: str, chain: Chain, sets: Mapping[str, SymbolicSet], blocks: Mapping[tuple[str, str], SymbolicChain]
    ) -> SymbolicChain:
        reading = self._readings.pop((table, chain.name), None)
        if reading is None or reading.chain != chain:
            reading = _Reading.of(table, chain)
        news = reading.news(sets, blocks)
        for at in news:
            reading.rows[at : at + 1] = [self._row_at(reading, at, sets, blocks)]
        if news or reading.block is None:
            whole = (table, chain.name, chain.policy, *reading.rows)
            if whole not in self._blocks:
                self._blocks[whole] = SymbolicChain(table, chain.name, chain.policy, tuple(reading.rows))
            reading.block = self._blocks[whole]
        self._readings[table, chain.name] = reading
        return reading.block

    def _row_at(
        self,
        reading: "_Reading",
        at: int,
        sets: Mapping[str, SymbolicSet],
        blocks: Mapping[tuple[str, str], SymbolicChain],
    ) -> SymbolicRule:
        table, chain, rule = reading.table, reading.chain.name, reading.chain.rules[at]
        into = blocks.get((table, rule.target.name)) if rule.target else None
        condition = self._reader.condition(rule.matches, sets)
        key = Decision(table, chain, at + 1, rule.comment), rule, reading.places[at], condition, into
        if key not in self._rows:
            self._rows[key] = self._row(*key)
        return self._rows[key]

    def _row(
        self, decision: Decision, rule: Rule, place: int, condition: Formula, into: SymbolicChain | None
    ) -> SymbolicRule:
        occurrence = (decision.table, decision.chain, rule, place)
        if into is not None and rule.target is not None:
            act = TargetAction.GOTO if rule.target.goto else TargetAction.JUMP
            return SymbolicRule(condition, act, rule, decision, occurrence, into=into)
        effect = _effect(rule.target, self.family)
        writes = writes_of(rule.target, effect, self.family) if effect.change is not None else ()
        return SymbolicRule(condition, effect.act, rule, decision, occurrence, effect.reject_with, writes)


@dataclass(eq=False, slots=True)
class _Reading:
    """A chain as it was read last, so that rules are read again only where their sets or chains are others now."""

    table: str
    chain: Chain
    places: Sequence[int]
    """Of each rule, which one of its equals it is."""
    askers: Mapping[str, Sequence[int]]
    """Where the rules stand that look into a set, by its name."""
    leaders: Mapping[str, Sequence[int]]
    """Where the rules stand that have a target, by its name."""
    rows: list[SymbolicRule] = field(default_factory=list)
    block: SymbolicChain | None = None
    _sets: Mapping[str, SymbolicSet | None] = field(default_factory=dict)
    _called: Mapping[str, SymbolicChain | None] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, chain: Chain) -> "_Reading":
        """Return that nothing of a chain was read yet."""
        seen: dict[Rule, int] = {}
        places = []
        askers: dict[str, list[int]] = {}
        leaders: dict[str, list[int]] = {}
        for at, rule in enumerate(chain.rules):
            seen[rule] = seen.get(rule, 0) + 1
            places.append(seen[rule])
            for name in rule.set_names:
                askers.setdefault(name, []).append(at)
            if rule.target is not None:
                leaders.setdefault(rule.target.name, []).append(at)
        return cls(table, chain, places, askers, leaders)

    def news(self, sets: Mapping[str, SymbolicSet], blocks: Mapping[tuple[str, str], SymbolicChain]) -> Sequence[int]:
        """Take note of sets and other chains, and return where rules stand that have to be read for that."""
        known = {name: sets.get(name) for name in self.askers}
        called = {name: blocks.get((self.table, name)) for name in self.leaders}
        before, self._sets = self._sets, known
        led, self._called = self._called, called
        if self.block is None:
            return range(len(self.chain.rules))
        found = {at for name, each in known.items() if _differ(before[name], each) for at in self.askers[name]}
        return sorted(found.union(*(self.leaders[name] for name, each in called.items() if each is not led[name])))


def _differ(before: SymbolicSet | None, after: SymbolicSet | None) -> bool:
    """Whether what is in a set may be something else now; in lists it may always be."""
    return (before is not after and before != after) or (isinstance(after, IpSet) and after.is_list)


@dataclass(frozen=True, slots=True)
class _Traits:
    """What hangs on rules, and on which sets there are, whatever is in them."""

    tables: tuple[tuple[Table, ...], ...]
    sets: tuple[tuple[str, ...], tuple[IpSet, ...]]
    changed: frozenset[str]
    """Sets that rules change."""
    order: Sequence[tuple[str, Chain]]
    """The chains with their tables, each behind those that it leads to."""
    tracked: bool

    @classmethod
    def of(cls, ruleset: Ruleset, family: Family) -> "_Traits":
        """Return them, if the chains of the family can be made ready.

        Raises:
            Refused: rules name sets or chains that are not there, or chains form a loop.
        """
        check_program(ruleset, family)
        changed = frozenset(name for *_, rule in _rules(ruleset) for name in _changed_sets(rule))
        order = [(table.name, chain) for table in ruleset.tables(family) for chain in _callees_first(table)]
        tracked = any(_tracks(rule) for *_, rule in _rules(ruleset, family))
        return cls((ruleset.ipv4, ruleset.ipv6), _listed(ruleset), changed, order, tracked)

    def are_of(self, ruleset: Ruleset) -> bool:
        """Whether another ruleset has the same."""
        return self.tables == (ruleset.ipv4, ruleset.ipv6) and self.sets == _listed(ruleset)


def _listed(ruleset: Ruleset) -> tuple[tuple[str, ...], tuple[IpSet, ...]]:
    """Return the names of all sets, and the lists among them."""
    return tuple(map(_NAME, ruleset.sets)), tuple(each for each in ruleset.sets if each.type == "list:set")


_NAME = attrgetter("name")


def _effect(target: Target | None, family: Family) -> TargetEffect:
    if target is not None and target.name == "SET":
        return TargetEffect(TargetAction.NEXT, lambda packet, _scene: packet)
    return effect_of(target, family) or TargetEffect(TargetAction.NEXT)


def _rules(ruleset: Ruleset, family: Family | None = None) -> Iterator[tuple[str, Rule]]:
    for whose, table, chain in ruleset.chains():
        if family in {None, whose}:
            for rule in chain.rules:
                yield table.name, rule


def _changed_sets(rule: Rule) -> Iterator[str]:
    if rule.target is not None and rule.target.name == "SET":
        yield from (each.values[0] for each in rule.target.options if each.option in {"add-set", "del-set"})


def _tracks(rule: Rule) -> bool:
    """Whether a rule makes the kernel track connections, and put fragments together for that."""
    target = rule.target is not None and rule.target.name in _TRACKING_TARGETS
    return target or any(match.module in _TRACKING_MODULES for match in rule.matches)


def _callees_first(table: Table) -> list[Chain]:
    """Return chains such that each stands behind those that it leads to; there are no loops."""
    chains = {chain.name: chain for chain in table.chains}

    def callees(name: str) -> list[str]:
        return sorted({rule.target.name for rule in chains[name].rules if rule.target} & chains.keys())

    return [chains[name] for name in reversed(callers_first(chains, callees))]


# What targets write, found by asking them


def writes_of(target: Target | None, effect: TargetEffect, family: Family) -> tuple[FieldWrite, ...]:
    """Return what a target writes into packets, as far as rules can see it later."""
    if target is None or effect.change is None:
        return ()
    if effect.writes in {"mark", "tos"}:
        full = 0xFFFFFFFF if effect.writes == "mark" else 0xFF
        zeros, ones = (_asked(effect, family, effect.writes, value) for value in (0, full))
        return (FieldWrite(effect.writes, zeros, keep=zeros ^ ones),)
    if effect.writes == "ttl":
        low, high = (_asked(effect, family, "ttl", value) for value in (64, 65))
        return (FieldWrite("ttl", low if low == high else None),)
    if effect.writes == "state":
        return (FieldWrite("state", STATES.index(ConnState.UNTRACKED)),)
    if target.name == "DNAT":
        return _translated(target, family)
    if target.name in {"REDIRECT", "NETMAP"}:
        return (FieldWrite("dst", None), FieldWrite("dport", None, where=_ported()))
    restores = any(option.option in {"restore-mark", "map-mark"} for option in target.options)
    return (FieldWrite("mark", None),) if restores else ()


def _asked(effect: TargetEffect, family: Family, name: str, value: int) -> int:
    address = IPv4Address(0) if family is Family.IPV4 else IPv6Address(0)
    packet = replace(Packet(src=address, dst=address, protocol=protocol_names.TCP), **{name: value})  # type: ignore[arg-type] # a field of numbers
    if effect.change is None:
        raise ValueError(effect)
    changed = effect.change(packet, TargetContext(Hook.PREROUTING, PacketContext(), lambda _what: None))
    return int(getattr(changed, name))


def _translated(target: Target, family: Family) -> tuple[FieldWrite, ...]:
    """Return what DNAT makes of a destination: one address and port, or what the kernel chooses."""
    options = {option.option: option for option in target.options}
    try:
        wanted = range_of(options["to-destination"].values[0], family)
    except (KeyError, ValueError, IndexError):
        return (FieldWrite("dst", None), FieldWrite("dport", None, where=_ported()))
    found = []
    if wanted.addresses is not None:
        low, high = wanted.addresses
        found.append(FieldWrite("dst", int(low) if low == high else None))
    if wanted.ports is not None:
        first, last = wanted.ports
        found.append(FieldWrite("dport", first if first == last else None, where=_ported()))
    return tuple(found)


def _ported() -> Formula:
    protocols = within("protocol", *((each, each) for each in sorted(protocol_names.PORT_PROTOCOLS)))
    return And((protocols, MaskedBits("fragment", 1, 0)))
