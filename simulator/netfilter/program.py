"""A ruleset made ready to walk: rules compiled once, jumps resolved, and every fault found before the first packet."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from engine.errors import Fault, Refused, shown
from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.matches import CompiledMatch, ContextCheck, PacketCheck, compile_matches
from simulator.matches.base import holds
from simulator.netfilter.answer import Decision
from simulator.netfilter.set_target import set_effect
from simulator.netfilter.targets import LOGGERS, TargetAction, TargetEffect, effect_of
from simulator.sets import SetRegistry, read_set


@dataclass(frozen=True, slots=True)
class ProgramRule:
    """One rule made ready; ``into`` is the chain that a jump or goto leads to.

    ``first`` are checks that may be made before all else, ``second`` what may be weighed then, as nothing hangs on
    their order; ``plain`` says that the rule has no others.
    """

    tests: tuple[CompiledMatch, ...]
    effect: TargetEffect
    target: str
    decision: Decision
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


@dataclass(eq=False, slots=True)
class ProgramChain:
    """One chain made ready; its lines are filled in once every chain of the table is known."""

    name: str
    policy: str | None
    lines: list[ProgramRule] = field(default_factory=list)


Program = Mapping[str, Mapping[str, ProgramChain]]
"""Chains by table and name."""


def compile_program(ruleset: Ruleset, family: Family) -> Program:
    """Make all chains of one family ready.

    Raises:
        Refused: rules name sets or chains that are not there, or chains form a loop.
    """
    check_program(ruleset, family)
    sets = _sets(ruleset, family)
    program = {
        table.name: {chain.name: ProgramChain(chain.name, chain.policy) for chain in table.chains}
        for table in ruleset.tables(family)
    }
    for table, chain, number, rule in _rules(ruleset, family):
        tests = compile_matches(_judged(rule), family, sets)
        effect = _effect(rule.target, family, sets, chains=program[table.name])
        line = _line(tests, rule, Decision(table.name, chain.name, number, rule.comment), program, effect)
        program[table.name][chain.name].lines.append(line)
    return program


def check_program(ruleset: Ruleset, family: Family) -> None:
    """Find out whether chains of one family can be made ready.

    Raises:
        Refused: rules name sets or chains that are not there, or chains form a loop.
    """
    faults = tuple(_faults(ruleset, family))
    if faults:
        raise Refused(faults)


def _judged(rule: Rule) -> tuple[Match, ...]:
    """Return the matches that are evaluated: how much is logged depends on other packets, so one is taken as logged."""
    logs = rule.target is not None and rule.target.name in LOGGERS
    return tuple(match for match in rule.matches if match.module != "limit") if logs else rule.matches


def _sets(ruleset: Ruleset, family: Family) -> SetRegistry:
    """All sets that rules name, and those that lists among them name."""
    by_name = {ipset.name: ipset for ipset in ruleset.sets}
    used = {name for *_, rule in _rules(ruleset, family) for name in rule.set_names}
    used |= {name for each in used for name in by_name[each].set_names}
    return {name: read_set(by_name[name]) for name in sorted(used)}


def _effect(target: Target | None, family: Family, sets: SetRegistry, *, chains: Container[str]) -> TargetEffect | None:
    """What a target does, or None where it is a chain."""
    if target is None or target.name not in chains:
        return effect_of(target, family) if target is None or target.name != "SET" else set_effect(target, family, sets)
    return None


def _line(
    tests: tuple[CompiledMatch, ...], rule: Rule, decision: Decision, program: Program, effect: TargetEffect | None
) -> ProgramRule:
    name = rule.target.name if rule.target else ""
    if rule.target is None or effect is not None:
        return ProgramRule(tests, effect or TargetEffect(TargetAction.NEXT), name, decision)
    act = TargetAction.GOTO if rule.target.goto else TargetAction.JUMP
    return ProgramRule(tests, TargetEffect(act), name, decision, program[decision.table][name])


def _rules(ruleset: Ruleset, family: Family) -> Iterator[tuple[Table, Chain, int, Rule]]:
    for table in ruleset.tables(family):
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, 1):
                yield table, chain, number, rule


def _faults(ruleset: Ruleset, family: Family) -> Iterator[Fault]:
    sets = {ipset.name: ipset for ipset in ruleset.sets}
    chains = {table.name: {chain.name for chain in table.chains} for table in ruleset.tables(family)}
    for table, chain, number, rule in _rules(ruleset, family):
        where = f"{family} {table.name}/{chain.name} rule {number}"
        for name in rule.set_names:
            yield from _set_faults(where, name, sets)
        target = rule.target
        if target and target.name not in chains[table.name] and _is_chain(target, family):
            yield Fault(where, f"there is no chain {shown(target.name)} to go to", "a chain of the same table")
    for table in ruleset.tables(family):
        yield from _loops(table, family)


def _set_faults(where: str, name: str, sets: Mapping[str, IpSet]) -> Iterator[Fault]:
    if name not in sets:
        yield Fault(where, f"the dump lacks set {shown(name)}", "the set; give it by --ipset")
        return
    for listed in sets[name].set_names:
        if listed not in sets:
            yield Fault(where, f"list {shown(name)} names set {shown(listed)}, which the dump lacks", "the set itself")
        elif sets[listed].is_list:
            yield Fault(where, f"list {shown(name)} names list {shown(listed)}", "sets that are no lists")


def _is_chain(target: Target, family: Family) -> bool:
    """Whether a target that no chain bears the name of can only have meant a chain."""
    return target.goto or effect_of(target, family) is None


def _loops(table: Table, family: Family) -> Iterator[Fault]:
    """As the kernel: only chains that a hook reaches can be refused for a loop."""
    nexts = {chain.name: tuple(_targets(chain, table)) for chain in table.chains}
    done: set[str] = set()
    for start in [name for name in nexts if name in Hook.__members__]:
        path, pending = [start], [iter(nexts[start])]
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                done.add(path.pop())
            elif name in path:
                way = " -> ".join([*path[path.index(name) :], name])
                yield Fault(f"{family} {table.name}/{name}", f"chains form a loop: {way}", "chains that end")
            elif name not in done:
                path.append(name)
                pending.append(iter(nexts[name]))


def _targets(chain: Chain, table: Table) -> Iterator[str]:
    names = {other.name for other in table.chains}
    return iter(sorted({rule.target.name for rule in chain.rules if rule.target and rule.target.name in names}))
