"""Walker: evaluates one packet, rule by rule, through the tables of a hook.

Input: a `Ruleset` (tables and sets), and for each evaluation a `Packet` and a hook. Output: an `Evaluation` with
verdict, deciding rule, trace and assumptions. Raises `Refused` if a rule refers to a missing set or chain, or if jumps
form a loop.

Source of the table order: the kernel's ``enum nf_ip_hook_priorities``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from engine.rulesets.model import Family, Hook, Ruleset
from simulator.context import UNKNOWN_INTERFACE, PacketContext
from simulator.matches import CompiledMatch, Truth
from simulator.matches.base import MalformedError
from simulator.netfilter.answer import Decision, Evaluation, TraceStep, Verdict
from simulator.netfilter.effects import VERDICTS, TargetAction, TargetContext
from simulator.netfilter.program import Program, ProgramChain, ProgramRule, compile_program
from simulator.packets import ConnState, Packet

TABLES: Mapping[Hook, tuple[str, ...]] = {
    Hook.PREROUTING: ("raw", "mangle", "nat"),
    Hook.INPUT: ("mangle", "filter", "security", "nat"),
    Hook.FORWARD: ("mangle", "filter", "security"),
    Hook.OUTPUT: ("raw", "mangle", "nat", "filter", "security"),
    Hook.POSTROUTING: ("mangle", "nat"),
}
"""Tables of each hook in the kernel's order (``enum nf_ip_hook_priorities``)."""

INTERFACES: Mapping[Hook, tuple[bool, bool]] = {
    Hook.PREROUTING: (True, False),
    Hook.INPUT: (True, False),
    Hook.FORWARD: (True, True),
    Hook.OUTPUT: (False, True),
    Hook.POSTROUTING: (False, True),
}
"""Hook -> whether its packets have an input and an output interface."""

_DEFAULT_HOOK: Mapping[tuple[bool, bool], Hook] = {
    (True, False): Hook.INPUT,
    (False, True): Hook.OUTPUT,
    (True, True): Hook.FORWARD,
    (False, False): Hook.INPUT,
}


def hook_of(packet: Packet) -> Hook:
    """Return the hook that the interfaces of a packet imply."""
    return _DEFAULT_HOOK[bool(packet.in_interface), bool(packet.out_interface)]


@dataclass(frozen=True, slots=True)
class TableResult:
    """Result of one table."""

    verdict: Verdict
    decision: Decision
    reject_with: str | None = None


@dataclass(slots=True)
class PacketWalk:
    """One packet during its walk: its current fields, the trace, and the assumptions in order."""

    packet: Packet
    around: PacketContext
    trace: list[TraceStep] = field(default_factory=list)
    ends: list[TableResult] = field(default_factory=list)
    assumptions: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.around.memory.elapsed(self.packet.time)  # the clock starts with the first packet, even if no rule uses it

    def table(self, table: str, chain: ProgramChain, hook: Hook) -> bool:
        """Evaluate one table at a hook; return whether the packet continues."""
        self.ends.append(_walk(self, table, chain, hook))
        return self.ends[-1].verdict is Verdict.ACCEPT

    def assume(self, decision: Decision, what: str) -> None:
        """Record an assumption at a rule; ``what`` is the text."""
        self.assumptions[f"{decision.table}/{decision.chain} rule {decision.rule}: {what}"] = None

    def matches(self, rule: ProgramRule) -> bool:
        """Return whether all checks of a rule match.

        An undecided check counts as no match, and is recorded as an assumption if no other check fails.
        """
        packet, unknown = self.packet, None
        noted: list[str] = []
        for test in rule.tests:
            held = test.check(packet) if test.weigh is None else test.weigh(packet, self.around)
            if test.assumed or test.made_up:
                noted += _relied_on(test, packet, known=held is not None)
            if held is False:
                # The rule fails anyway, so unknown results of earlier checks make no difference.
                noted = _relied_on(test, packet, known=True)
                break
            if held is None:
                unknown = unknown or test
        else:
            if unknown is not None:
                noted.append(f"'{unknown.text}' {unknown.why}; assumed not to match")
            for what in noted:
                self.assume(rule.decision, what)
            return unknown is None
        for what in noted:
            self.assume(rule.decision, what)
        return False

    def take(self, rule: ProgramRule, depth: int, hook: Hook) -> None:
        """Record a matched rule, and let its target change the packet."""
        by, effect = rule.decision, rule.effect
        self.trace.append(TraceStep(by.table, by.chain, by.rule, rule.target, depth, by.comment))
        if effect.assumption:
            self.assume(by, effect.assumption)
        if effect.change is not None:
            self.packet = effect.change(
                self.packet, TargetContext(hook, self.around, lambda what: self.assume(by, what), rule.sets)
            )

    def dropped(self, rule: ProgramRule, depth: int) -> TableResult:
        """Record a rule whose matches dropped the packet, and return the drop."""
        by = rule.decision
        self.trace.append(TraceStep(by.table, by.chain, by.rule, rule.target, depth, by.comment, matched=False))
        return TableResult(Verdict.DROP, by)

    def at(self, hook: Hook, in_interface: str, out_interface: str) -> None:
        """Give the packet only the interfaces that exist at the hook; a missing one is unknown."""
        has_in, has_out = INTERFACES[hook]
        inside = (in_interface or UNKNOWN_INTERFACE) if has_in else ""
        outside = (out_interface or UNKNOWN_INTERFACE) if has_out else ""
        if (inside, outside) != (self.packet.in_interface, self.packet.out_interface):
            self.packet = replace(self.packet, in_interface=inside, out_interface=outside)

    def answer(self, packet: Packet, hook: Hook, in_interface: str, out_interface: str) -> Evaluation:
        """Return the evaluation of the packet at a hook between these interfaces."""
        last = self.ends[-1] if self.ends else None
        decider, left = last, self.packet
        if (left.in_interface, left.out_interface) != (in_interface, out_interface):
            left = replace(left, in_interface=in_interface, out_interface=out_interface)
        if last is not None and last.verdict is Verdict.ACCEPT:
            decider = next((end for end in reversed(self.ends) if end.decision.table == "filter"), last)
        return Evaluation(
            packet=packet,
            hook=hook,
            verdict=last.verdict if last else Verdict.ACCEPT,
            left=left,
            reject_with=last.reject_with if last else None,
            decided_by=decider.decision if decider else None,
            trace=tuple(self.trace),
            assumptions=tuple(self.assumptions),
        )


def _relied_on(test: CompiledMatch, packet: Packet, *, known: bool) -> list[str]:
    """Return the assumptions on which the result of a match relies.

    Args:
        test: The match.
        packet: The packet.
        known: Whether the result of the match is known.
    """
    noted = [f"'{test.text}' {test.assumed}"] if test.assumed and known else []
    return [*noted, f"'{test.text}' {test.made_up}"] if test.made_up and packet.wire is None else noted


class Walker:
    """Ruleset prepared for many packets; each family is compiled with its first packet."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._programs: dict[Family, Program] = {}

    def verdict(self, packet: Packet, hook: Hook | None = None, around: PacketContext | None = None) -> Evaluation:
        """Return the evaluation of a packet at a hook, by default at the hook that its interfaces imply.

        Without a context, addresses and routes of the node are unknown, and stateful rules start empty.

        Raises:
            Refused: the ruleset of the packet's family lacks a set or chain, or has a loop.
        """
        hook = hook or hook_of(packet)
        passage = PacketWalk(packet, around or PacketContext())
        passage.at(hook, packet.in_interface, packet.out_interface)
        for table in TABLES[hook]:
            chain = self.chain(packet.family, table, hook)
            if chain is None or (table == "nat" and passage.packet.state is not ConnState.NEW):
                continue  # the nat table sees only the first packet of a connection
            if not (_raw(passage, chain, hook) if table == "raw" else passage.table(table, chain, hook)):
                break
        return passage.answer(packet, hook, packet.in_interface, packet.out_interface)

    def chain(self, family: Family, table: str, hook: Hook) -> ProgramChain | None:
        """Return the base chain of a table at a hook, if there is one.

        Raises:
            Refused: the ruleset of the family lacks a set or chain, or has a loop.
        """
        if family not in self._programs:
            self._programs[family] = compile_program(self.ruleset, family)
        return self._programs[family].chains.get(table, {}).get(hook)


def _raw(passage: PacketWalk, chain: ProgramChain, hook: Hook) -> bool:
    """Evaluate the raw table, where a packet has no connection yet, because it precedes connection tracking.

    A packet that returns over the loopback interface keeps the connection with which it was sent.
    """
    if hook is Hook.PREROUTING and passage.packet.in_interface == "lo":
        return passage.table("raw", chain, hook)
    state, connection = passage.packet.state, passage.packet.connection
    passage.packet = replace(passage.packet, state=ConnState.INVALID, connection=None)
    goes_on = passage.table("raw", chain, hook)
    if passage.packet.state is not ConnState.UNTRACKED:
        passage.packet = replace(passage.packet, state=state, connection=connection)
    return goes_on


def _walk(passage: PacketWalk, table: str, base: ProgramChain, hook: Hook) -> TableResult:
    chain, at, depth = base, 0, 0
    callers: list[tuple[ProgramChain, int, int]] = []
    while True:
        try:
            rule = _matching(passage, chain, at)
        except _DroppedError as dropped:
            return passage.dropped(dropped.rule, depth)
        if rule is None:
            if not callers:
                return TableResult(Verdict((base.policy or "ACCEPT").lower()), Decision(table, base.name, 0))
            chain, at, depth = callers.pop()
            continue
        at = rule.decision.rule
        passage.take(rule, depth, hook)
        act = rule.effect.act
        if act in VERDICTS:
            return TableResult(VERDICTS[act], rule.decision, rule.effect.reject_with)
        if act is TargetAction.RETURN:
            at = len(chain.rules)
        elif rule.into is not None:
            if act is TargetAction.JUMP:  # a later return after a goto goes to the caller of the last jump
                callers.append((chain, at, depth))
            chain, at, depth = rule.into, 0, depth + 1


class _DroppedError(Exception):
    """Raised when a match drops the packet because it ends too early (``hotdrop``)."""

    def __init__(self, rule: ProgramRule) -> None:
        super().__init__(rule)
        self.rule = rule


def _matching(passage: PacketWalk, chain: ProgramChain, at: int) -> ProgramRule | None:
    """Return the next rule of a chain that the packet matches, from index ``at`` on; None if there is none.

    Raises:
        _DroppedError: the packet ends inside the bytes that a match reads.
    """
    packet = passage.packet
    rule: ProgramRule
    try:
        for rule in islice(chain.rules, at, None):
            held: Truth = True
            for check in rule.first:
                held = check(packet)
                if not held:
                    break
            else:
                for weigh in rule.second:
                    held = weigh(packet, passage.around)
                    if not held:
                        break
            # Most rules are decided here. A rule with an unknown result or further checks needs the full evaluation.
            if held is not False and ((held and rule.plain) or passage.matches(rule)):
                return rule
    except MalformedError as error:
        raise _DroppedError(rule) from error
    return None
