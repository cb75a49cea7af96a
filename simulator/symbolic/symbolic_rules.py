"""Rules and chains in the form that the symbolic engine evaluates, and their reader.

Input: a `Ruleset` and an address family. Output: a `SymbolicRuleset` of `SymbolicChain` and `SymbolicRule` values. Each
rule has its condition as a `Formula` over packet fields.

Rulesets read by the same `SymbolicRulesetReader` share the objects of equal rules and chains, so results that are
cached for one ruleset apply to the others. Raises `Refused` for a missing set or chain, and for a loop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset
from simulator.matches.formula import Formula, within
from simulator.netfilter.answer import Decision, Verdict
from simulator.netfilter.effects import VERDICTS, FieldWrite, TargetAction
from simulator.netfilter.program import Program, ProgramChain
from simulator.netfilter.walker import TABLES
from simulator.symbolic.match_conditions import MatchConditions
from simulator.symbolic.set_conditions import SymbolicSet
from simulator.symbolic.topological import callers_first


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicRule:
    """One rule: the condition of its matches, its action and its rewrites.

    Attributes:
        act: Next step after a match.
        decision: Name of the rule in results.
        occurrence: Identifies the rule among all rules, also among equal ones.
        into: Chain that a jump or goto leads to.
    """

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
        """Verdict of the rule, or None."""
        return VERDICTS.get(self.act)

    @property
    def idle(self) -> bool:
        """Whether the rule affects no verdict."""
        return self.act is TargetAction.NEXT and not self.writes


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicChain:
    """One chain with its rules; ``policy`` is None for a chain without a policy."""

    table: str
    name: str
    policy: str | None
    rows: tuple[SymbolicRule, ...]


@dataclass(frozen=True, eq=False, slots=True)
class SymbolicRuleset:
    """Ruleset of one family: base chains of each hook in table order, and all chains by table and name.

    ``tracked`` says whether rules use connection tracking, so that packets are defragmented before any rule.
    """

    ruleset: Ruleset
    hooks: Mapping[Hook, tuple[SymbolicChain, ...]]
    blocks: Mapping[tuple[str, str], SymbolicChain]
    tracked: bool

    @property
    def rows(self) -> list[SymbolicRule]:
        """Rules of all chains."""
        return [row for block in self.blocks.values() for row in block.rows]

    def conditions(self) -> Iterator[Formula]:
        """Yield all conditions of rules, and those that distinguish the values that rules write."""
        for block in self.blocks.values():
            for row in block.rows:
                yield row.condition
                for write in row.writes:
                    if write.where is not None:
                        yield write.where
                    if write.value is not None and not write.keep and write.name not in {"mark", "tos"}:
                        yield within(write.name, (write.value, write.value))


@dataclass(eq=False)
class SymbolicRulesetReader:
    """Reader of rulesets of one family, with a cache of rules and chains."""

    family: Family
    _reader: MatchConditions = field(init=False)
    _rows: dict[tuple[Decision, Rule, int, Formula, SymbolicChain | None], SymbolicRule] = field(default_factory=dict)
    _blocks: dict[tuple[object, ...], SymbolicChain] = field(default_factory=dict)
    _readings: dict[tuple[str, str], "_Reading"] = field(default_factory=dict)
    _program: Program | None = None
    _order: Sequence[ProgramChain] = ()

    def __post_init__(self) -> None:
        self._reader = MatchConditions(self.family)

    def read(self, ruleset: Ruleset, moving: Mapping[str, SymbolicSet] | None = None) -> SymbolicRuleset:
        """Return the symbolic form of a ruleset.

        Args:
            ruleset: The ruleset.
            moving: Sets by name that replace those of the ruleset, such as a `ChangingSet`.

        Raises:
            Refused: a rule names a set or chain that does not exist, or chains form a loop.
        """
        if self._program is None or not self._program.fits(ruleset):
            self._program = Program(ruleset, self.family)
            self._order = [chain for chains in self._program.chains.values() for chain in _callees_first(chains)]
        sets: dict[str, SymbolicSet] = {each.name: each for each in ruleset.sets}
        sets |= moving or {}
        known = {name: each for name, each in sets.items() if name not in self._program.changed_sets}
        blocks: dict[tuple[str, str], SymbolicChain] = {}
        for chain in self._order:
            blocks[chain.table, chain.name] = self._block(chain, known, blocks)
        hooks = {
            hook: tuple(blocks[name, hook.value] for name in TABLES[hook] if (name, hook.value) in blocks)
            for hook in Hook
        }
        return SymbolicRuleset(ruleset, hooks, blocks, self._program.tracked)

    @property
    def size(self) -> int:
        """Number of rules in the reader's cache."""
        return len(self._rows)

    def condition(self, matches: tuple[Match, ...], sets: Sequence[IpSet] = ()) -> Formula:
        """Return the condition of matches; a match on a set that is not in ``sets`` is undetermined."""
        return self._reader.condition(matches, {each.name: each for each in sets})

    def _block(
        self, chain: ProgramChain, sets: Mapping[str, SymbolicSet], blocks: Mapping[tuple[str, str], SymbolicChain]
    ) -> SymbolicChain:
        place = chain.table, chain.name
        reading = self._readings.pop(place, None)
        if reading is None or reading.chain != chain.source:
            reading = _Reading.of(chain)
        news = reading.news(sets, blocks)
        for at in news:
            into = chain.into(at)
            called = None if into is None else blocks[chain.table, into.name]
            condition = self._reader.condition(chain.source.rules[at].matches, sets)
            reading.rows[at : at + 1] = [self._row(chain, at, reading.places[at], condition, called)]
        if news or reading.block is None:
            key = (*place, chain.policy, *reading.rows)
            if key not in self._blocks:
                self._blocks[key] = SymbolicChain(*place, chain.policy, tuple(reading.rows))
            reading.block = self._blocks[key]
        self._readings[place] = reading
        return reading.block

    def _row(
        self, chain: ProgramChain, at: int, place: int, condition: Formula, into: SymbolicChain | None
    ) -> SymbolicRule:
        rule, decision = chain.source.rules[at], chain.decision(at)
        key = decision, rule, place, condition, into
        if key not in self._rows:
            effect, occurrence = chain.effect(at), (chain.table, chain.name, rule, place)
            writes = () if isinstance(effect.writes, str) else effect.writes
            self._rows[key] = SymbolicRule(
                condition, effect.act, rule, decision, occurrence, effect.reject_with, writes, into
            )
        return self._rows[key]


@dataclass(eq=False, slots=True)
class _Reading:
    """Cached reading of a chain: only rules whose sets or target chains changed are read again."""

    table: str
    chain: Chain
    places: Sequence[int]
    """For each rule, its number among equal rules of the chain, from 1."""
    askers: Mapping[str, Sequence[int]]
    """Set name -> positions of the rules that look into the set."""
    leaders: Mapping[str, Sequence[int]]
    """Target name -> positions of the rules with the target."""
    rows: list[SymbolicRule] = field(default_factory=list)
    block: SymbolicChain | None = None
    _sets: Mapping[str, SymbolicSet | None] = field(default_factory=dict)
    _called: Mapping[str, SymbolicChain | None] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: ProgramChain) -> "_Reading":
        """Return the reading of a chain of which no rule was read yet."""
        seen: dict[Rule, int] = {}
        places = []
        askers: dict[str, list[int]] = {}
        leaders: dict[str, list[int]] = {}
        for at, rule in enumerate(chain.source.rules):
            seen[rule] = seen.get(rule, 0) + 1
            places.append(seen[rule])
            for name in rule.set_names:
                askers.setdefault(name, []).append(at)
            if rule.target is not None:
                leaders.setdefault(rule.target.name, []).append(at)
        return cls(chain.table, chain.source, places, askers, leaders)

    def news(self, sets: Mapping[str, SymbolicSet], blocks: Mapping[tuple[str, str], SymbolicChain]) -> Sequence[int]:
        """Record changed sets and chains; return the positions of the rules to read again."""
        known = {name: sets.get(name) for name in self.askers}
        called = {name: blocks.get((self.table, name)) for name in self.leaders}
        before, self._sets = self._sets, known
        led, self._called = self._called, called
        if self.block is None:
            return range(len(self.chain.rules))
        found = {at for name, each in known.items() if _differ(before[name], each) for at in self.askers[name]}
        return sorted(found.union(*(self.leaders[name] for name, each in called.items() if each is not led[name])))


def _differ(before: SymbolicSet | None, after: SymbolicSet | None) -> bool:
    """Return whether the content of a set may have changed; always true for ``list:set``."""
    return (before is not after and before != after) or (isinstance(after, IpSet) and after.is_list)


def _callees_first(chains: Mapping[str, ProgramChain]) -> list[ProgramChain]:
    """Return the chains of a table, each after the chains that it calls; there must be no loops."""
    return [chains[name] for name in reversed(callers_first(chains, lambda name: chains[name].callees))]
