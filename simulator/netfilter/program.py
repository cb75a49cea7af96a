"""Program: the chains and rules of one address family, prepared once for all engines of the simulator.

Input: a `Ruleset`. Output: a `Program` of `ProgramChain` and `ProgramRule` values, in which jumps lead to chains, and
sets are looked up by name. The engines for single and for many packets use the checks of a rule. The symbolic engine
(all packets at once) uses its matches and its effect.

Rules are prepared when an engine first reaches their chain, because most chains are never reached. Raises `Refused` for
a missing set or chain, for a loop, and for a member that does not fit its set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from operator import attrgetter

from engine.errors import Fault, Refused, safe_text
from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Target
from simulator.matches import CompiledMatch, ContextCheck, PacketCheck, compile_matches
from simulator.matches.base import holds
from simulator.netfilter.answer import LOGGERS, Decision
from simulator.netfilter.effects import NEXT, TargetAction, TargetEffect
from simulator.netfilter.targets import effect_of
from simulator.sets import SetRegistry, read_set


@dataclass(frozen=True, slots=True)
class ProgramRule:
    """One rule with its checks.

    Attributes:
        into: Chain that a jump or goto leads to.
        first: Checks that may run before all others.
        second: Checks with context that may run next, because their order has no effect.
        plain: Whether the rule has no further checks.
    """

    tests: tuple[CompiledMatch, ...]
    effect: TargetEffect
    target: str
    decision: Decision
    sets: SetRegistry
    into: "ProgramChain | None" = None
    first: tuple[PacketCheck, ...] = field(init=False)
    second: tuple[ContextCheck, ...] = field(init=False)
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        leading = tuple(takewhile(lambda test: test.plain or (test.still and not test.assumed), self.tests))
        checks = (test.check for test in leading if test.weigh is None)
        object.__setattr__(self, "first", tuple(check for check in checks if check is not holds))
        object.__setattr__(self, "second", tuple(test.weigh for test in leading if test.weigh is not None))
        object.__setattr__(self, "plain", len(leading) == len(self.tests))


@dataclass(eq=False)
class ProgramChain:
    """One chain of a program."""

    table: str
    source: Chain
    program: "Program" = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the chain in its table."""
        return self.source.name

    @property
    def policy(self) -> str | None:
        """Policy of a built-in chain, else None."""
        return self.source.policy

    @cached_property
    def rules(self) -> tuple[ProgramRule, ...]:
        """Rules with their checks."""
        return tuple(self._rule(at) for at in range(len(self.source.rules)))

    @cached_property
    def callees(self) -> tuple[str, ...]:
        """Chains that the rules jump or go to, by name."""
        names = {rule.target.name for rule in self.source.rules if rule.target}
        return tuple(sorted(names & self.program.chains[self.table].keys()))

    def effect(self, at: int) -> TargetEffect:
        """Return the effect of the rule at a position."""
        target = self.source.rules[at].target
        if target is not None and target.name in self.program.chains[self.table]:
            return _GOTO if target.goto else _JUMP
        return effect_of(target, self.program.family) or NEXT

    def into(self, at: int) -> "ProgramChain | None":
        """Return the chain that the rule at a position jumps or goes to."""
        target = self.source.rules[at].target
        return None if target is None else self.program.chains[self.table].get(target.name)

    def decision(self, at: int) -> Decision:
        """Return the name of the rule at a position, as answers show it."""
        return Decision(self.table, self.name, at + 1, self.source.rules[at].comment)

    def _rule(self, at: int) -> ProgramRule:
        rule, program = self.source.rules[at], self.program
        tests = compile_matches(_judged(rule), program.family, program.sets)
        name = rule.target.name if rule.target else ""
        return ProgramRule(tests, self.effect(at), name, self.decision(at), program.sets, self.into(at))


_JUMP, _GOTO = TargetEffect(TargetAction.JUMP), TargetEffect(TargetAction.GOTO)
_TRACKING_MODULES = frozenset({"conntrack", "state", "connmark", "connbytes", "connlabel", "helper"})
_TRACKING_TARGETS = frozenset({"CONNMARK", "CT", "NOTRACK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"})


@dataclass(eq=False)
class Program:
    """Chains of one family by table and name."""

    ruleset: Ruleset
    family: Family
    chains: Mapping[str, Mapping[str, ProgramChain]] = field(init=False)

    def __post_init__(self) -> None:
        """Resolve the names of chains and sets.

        Raises:
            Refused: a rule names a set or chain that does not exist, or chains form a loop.
        """
        self.chains = {
            table.name: {chain.name: ProgramChain(table.name, chain, self) for chain in table.chains}
            for table in self.ruleset.tables(self.family)
        }
        faults = tuple(_faults(self))
        if faults:
            raise Refused(faults)

    @cached_property
    def sets(self) -> SetRegistry:
        """Sets that rules name, and the members of ``list:set`` sets among them, ready for look-ups.

        Raises:
            Refused: a member does not fit its set.
        """
        by_name = {ipset.name: ipset for ipset in self.ruleset.sets}
        used = {name for *_, rule in _rules(self) for name in rule.set_names}
        used |= {name for each in used for name in by_name[each].set_names}
        return {name: read_set(by_name[name]) for name in sorted(used)}

    @cached_property
    def changed_sets(self) -> frozenset[str]:
        """Sets that rules of either family change."""
        return frozenset(
            option.values[0]
            for *_, chain in self.ruleset.chains()
            for rule in chain.rules
            if rule.target is not None and rule.target.name == "SET"
            for option in rule.target.options
            if option.option in {"add-set", "del-set"}
        )

    @cached_property
    def tracked(self) -> bool:
        """Whether rules make the kernel track connections, which also reassembles fragments."""
        return any(
            (rule.target is not None and rule.target.name in _TRACKING_TARGETS)
            or any(match.module in _TRACKING_MODULES for match in rule.matches)
            for *_, rule in _rules(self)
        )

    def fits(self, ruleset: Ruleset) -> bool:
        """Return whether a ruleset has the same chains and the same names of sets, whatever their members."""
        own = self.ruleset
        return own is ruleset or (
            (own.ipv4, own.ipv6) == (ruleset.ipv4, ruleset.ipv6) and _listed(own) == _listed(ruleset)
        )


def compile_program(ruleset: Ruleset, family: Family) -> Program:
    """Return the program of a ruleset with all sets read, so that faults show before the first packet.

    Raises:
        Refused: a rule names a set or chain that does not exist, chains form a loop, or a member does not fit its set.
    """
    program = Program(ruleset, family)
    _ = program.sets
    return program


def _listed(ruleset: Ruleset) -> tuple[tuple[str, ...], tuple[IpSet, ...]]:
    """Return the names of all sets, and those of type ``list:set``."""
    return tuple(map(_NAME, ruleset.sets)), tuple(each for each in ruleset.sets if each.type == "list:set")


_NAME = attrgetter("name")


def _judged(rule: Rule) -> tuple[Match, ...]:
    """Return the matches to evaluate.

    For LOG and NFLOG, ``-m limit`` is left out: it depends on other packets, so each packet counts as logged.
    """
    logs = rule.target is not None and rule.target.name in LOGGERS
    return tuple(match for match in rule.matches if match.module != "limit") if logs else rule.matches


def _rules(program: Program) -> Iterator[tuple[ProgramChain, int, Rule]]:
    for table in program.chains.values():
        for chain in table.values():
            for number, rule in enumerate(chain.source.rules, 1):
                yield chain, number, rule


def _faults(program: Program) -> Iterator[Fault]:
    sets = {ipset.name: ipset for ipset in program.ruleset.sets}
    for chain, number, rule in _rules(program):
        where = f"{program.family} {chain.table}/{chain.name} rule {number}"
        for name in rule.set_names:
            yield from _set_faults(where, name, sets)
        target = rule.target
        if target and target.name not in program.chains[chain.table] and _is_chain(target, program.family):
            yield Fault(where, f"there is no chain {safe_text(target.name)} to go to", "a chain of the same table")
    for table, chains in program.chains.items():
        yield from _loops(table, chains, program.family)


def _set_faults(where: str, name: str, sets: Mapping[str, IpSet]) -> Iterator[Fault]:
    if name not in sets:
        yield Fault(where, f"the dump lacks set {safe_text(name)}", "the set; give it by --ipset")
        return
    for listed in sets[name].set_names:
        if listed not in sets:
            yield Fault(
                where, f"list {safe_text(name)} names set {safe_text(listed)}, which the dump lacks", "the set itself"
            )
        elif sets[listed].is_list:
            yield Fault(where, f"list {safe_text(name)} names list {safe_text(listed)}", "sets that are no lists")


def _is_chain(target: Target, family: Family) -> bool:
    """Return whether a target that is not a chain of the table can only be the name of a missing chain."""
    return target.goto or effect_of(target, family) is None


def _loops(table: str, chains: Mapping[str, ProgramChain], family: Family) -> Iterator[Fault]:
    """Yield a fault for each loop of chains.

    Like the kernel, this checks only chains that a hook can reach.
    """
    done: set[str] = set()
    for start in [name for name in chains if name in Hook.__members__]:
        path, pending = [start], [iter(chains[start].callees)]
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                done.add(path.pop())
            elif name in path:
                way = " -> ".join([*path[path.index(name) :], name])
                yield Fault(f"{family} {table}/{name}", f"chains form a loop: {way}", "chains that end")
            elif name not in done:
                path.append(name)
                pending.append(iter(chains[name].callees))
