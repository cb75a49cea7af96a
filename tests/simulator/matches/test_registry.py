"""Contract of the registries of matches and targets: three evaluations of each entry, which say the same."""

from bisect import bisect_right
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.analysis.search import SearchQuestion, search
from simulator.batch import BatchEvaluator, columns_of
from simulator.batch.domains import representative
from simulator.batch.edge_values import KINDS, edges_of
from simulator.context import PacketContext
from simulator.expression import parse
from simulator.matches import GROUPS, OPTIONS, base, compile_matches
from simulator.matches.breakpoints import BreakpointContext
from simulator.matches.formula import Undecided
from simulator.netfilter import Verdict, Walker
from simulator.netfilter.effects import FieldWrite, TargetAction, TargetContext, TargetEffect
from simulator.netfilter.targets import TARGETS, effect_of
from simulator.packets import Packet
from simulator.sets import SetRegistry, read_set
from simulator.symbolic import SymbolicRulesetReader
from tests.support.packets.field_edges import HOST, packets
from tests.support.packets.packet_builders import match
from tests.support.rulesets.match_examples import (
    EXAMPLES,
    NUMBERS,
    TARGET_EXAMPLES,
    Truth,
    entries,
    number_of,
    truth_of,
)

ZERO = {Family.IPV4: "10.0.0.", Family.IPV6: "fd00::"}


def sets_of(family: Family) -> tuple[IpSet, ...]:
    """Return the sets that examples look into."""
    start, bits = ZERO[family], 32 if family is Family.IPV4 else 128
    hosts = ((f"{start}1",), (f"{start}8",))
    return (
        IpSet("nets", "hash:net", family, ((f"{start}0/{bits - 3}",), (f"{start}1", "nomatch"))),
        IpSet("hosts", "hash:ip", family, hosts),
        IpSet("wide", "hash:ip", family, ((f"{start}8",),), (("netmask", str(bits - 3)),)),
        IpSet("counted", "hash:ip", family, hosts, (("counters", ""),)),
        IpSet("pairs", "hash:ip,port", family, ((f"{start}8,tcp:22",), (f"{start}1,udp:80",))),
        IpSet("both", "list:set", None, (("nets",), ("hosts",))),
    )


SETS = {family: sets_of(family) for family in Family}
READ: dict[Family, SetRegistry] = {
    family: {each.name: read_set(each) for each in sets} for family, sets in SETS.items()
}
LIBRARIES = {family: SymbolicRulesetReader(family) for family in Family}


def truth(tests: tuple[base.CompiledMatch, ...], packet: Packet) -> Truth:
    """Return what the checks of a group say of a packet."""
    around = PacketContext(HOST)
    try:
        found = [test.check(packet) if test.weigh is None else test.weigh(packet, around) for test in tests]
    except base.MalformedError:
        return None
    return False if False in found else None if None in found else True


def test_every_option_has_examples() -> None:
    """The examples name every option that is evaluated by itself, and every module of the others."""
    found = {(each.module, each.option) for groups in EXAMPLES.values() for group in groups for each in group}
    assert set(OPTIONS) <= found
    assert set(GROUPS) <= EXAMPLES.keys()
    assert {target.name for target in TARGET_EXAMPLES} == set(TARGETS)


@pytest.mark.parametrize("key", OPTIONS)
def test_option_has_three_evaluations(key: tuple[str, str]) -> None:
    """An option has a check, breakpoints and a condition, or says why it has none."""
    found = OPTIONS[key]
    assert callable(found.evaluate)
    assert callable(found.breakpoints) or found.breakpoints
    assert not isinstance(found.condition, Undecided) or found.condition.why


@pytest.mark.parametrize("module", GROUPS)
def test_module_has_three_evaluations(module: str) -> None:
    """So has a module whose options belong together."""
    found = GROUPS[module]
    assert callable(found.evaluate)
    assert found.breakpoints
    assert not isinstance(found.condition, Undecided) or found.condition.why


@pytest.mark.parametrize("target", TARGET_EXAMPLES, ids=str)
def test_target_has_three_evaluations(target: Target) -> None:
    """A target that changes packets says what rules see of that, or why none does."""
    effect = effect_of(target, Family.IPV4)
    assert effect is not None
    assert effect.change is None or effect.writes
    assert not effect.rewrites or [write.name for write in writes(effect)] == [effect.rewrites]


def writes(effect: TargetEffect) -> tuple[FieldWrite, ...]:
    """Return the symbolic writes of an effect."""
    return () if isinstance(effect.writes, str) else effect.writes


@given(packets())
def test_conditions_say_what_checks_say(seen: Packet) -> None:
    """Wherever both the condition of an option and its check decide, they decide the same."""
    family = seen.family
    for group in entries(family):
        walked = truth(compile_matches(group, family, READ[family]), seen)
        whole = truth_of(LIBRARIES[family].condition(group, SETS[family]), seen)
        assert None in {walked, whole} or walked is whole, (group, seen.words)


@given(packets())
def test_checks_change_only_at_breakpoints(seen: Packet) -> None:
    """A packet fares as the one whose fields are at the breakpoints below."""
    family = seen.family
    context = BreakpointContext(family, {each.name: each for each in SETS[family]}, HOST)
    for group in entries(family):
        edges = edges_of(group, context)
        if edges is not None:
            tests = compile_matches(group, family, READ[family])
            found = {name: edges[kind][_below(edges[kind], number_of(name, seen))] for name, kind in KINDS.items()}
            other = replace(seen, **{name: representative(name, edge, family) for name, edge in found.items()})  # type: ignore[arg-type] # values of their fields
            assert truth(tests, seen) is truth(tests, other), (group, seen.words, other.words)


def _below(edges: tuple[int, ...], value: int) -> int:
    return max(0, bisect_right(edges, value) - 1)


@settings(max_examples=5)  # each judges by every option, which takes a second
@given(st.lists(packets(), min_size=60, max_size=60))
def test_batches_say_what_walks_say(seen: list[Packet]) -> None:
    """A rule with any option of the registry is judged in a batch as in walks."""
    for columns in columns_of(seen):
        for group in entries(columns.family):
            walker = Walker(ruleset(columns.family, Rule(group, Target("DROP"))))
            judged = BatchEvaluator(walker, columns.family, HOST).judge(columns, Hook.INPUT)
            for row, place in enumerate(columns.at):
                end, answer = judged.end(row), walker.verdict(seen[place], Hook.INPUT, PacketContext(HOST))
                assert end is not None
                assert end.verdict is answer.verdict, (group, seen[place].words)


@pytest.mark.parametrize("family", Family)
def test_examples_of_searches_are_confirmed(family: Family) -> None:
    """A search finds packets for and against any option of the registry, and walks confirm them."""
    for group in entries(family):
        for verdict in (Verdict.ACCEPT, Verdict.DROP):
            search(
                ruleset(family, Rule(group, Target("DROP"))), SearchQuestion(Hook.INPUT, parse(""), verdict), (family,)
            )


def ruleset(family: Family, *rules: Rule) -> Ruleset:
    """Return rules for packets that come in."""
    tables = (Table("filter", (Chain("INPUT", rules, "ACCEPT"),)),)
    return Ruleset(tables, (), SETS[family]) if family is Family.IPV4 else Ruleset((), tables, SETS[family])


@given(packets())
def test_writes_say_what_changes_say(seen: Packet) -> None:
    """A target changes only the fields that it writes, to the values that the symbolic engine takes them for."""
    seen = replace(seen, zone=0, connection=None)
    scene = TargetContext(Hook.PREROUTING, PacketContext(HOST), lambda _what: None, READ[seen.family])
    for target in TARGET_EXAMPLES:
        effect = effect_of(target, seen.family)
        if effect is None or effect.change is None or effect.act is TargetAction.ACCEPT:
            continue
        changed = effect.change(seen, scene)
        expected = {write.name: write for write in writes(effect)}
        for name, number in NUMBERS.items():
            before, after, write = number(seen), number(changed), expected.get(name)
            if write is None:
                assert before == after, (target, name)
            elif write.value is not None and before is not None:
                assert after == before & write.keep ^ write.value, (target, name)


def test_hop_limit_counts_down() -> None:
    """A target that subtracts from the hop limit leaves higher limits above 0, also in a search."""
    rules = (
        Rule((), Target("TTL", (Match("", "ttl-dec", ("70",)),))),
        Rule((match("ttl", "ttl-gt", "100"),), Target("DROP")),
    )
    table = Table("mangle", (Chain("INPUT", rules, "ACCEPT"),))
    found = search(Ruleset((table,)), SearchQuestion(Hook.INPUT, parse(""), Verdict.DROP), (Family.IPV4,))
    assert found.count > 0
