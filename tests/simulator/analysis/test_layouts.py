"""The optimised layout does to every packet what the linear one does, proved, and logs the same."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from engine.compiler import CompilerOptions, Layout, LayoutLimits, compile_rules, compile_with_limits
from engine.desired.full import options_of
from engine.policy.completed_rules import CompletedRule
from engine.policy.resolve import resolve
from engine.rulesets.model import Hook, Match, Rule, Ruleset, Table
from engine.rulesets.ownership import comment_of
from simulator.analysis.compare import compare
from simulator.netfilter import Walker
from simulator.packets import ConnState, Packet, protocol_names
from tests.support.policies.random_clusters import NODE, drawn
from tests.support.rulesets.overlapping_rules import crowded
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

RULESETS = 5000 if SOAK else 300
BATCH = 50


def both(rules: list[CompletedRule], options: CompilerOptions, few: int = 0) -> tuple[Ruleset, Ruleset]:
    """What rules compile to in either layout; the optimised one may look so many up one by one."""
    optimised = compile_with_limits(rules, replace(options, layout=Layout.OPTIMISED), LayoutLimits(few=few))
    return compile_rules(rules, options), optimised.ruleset


def assert_same(linear: Ruleset, optimised: Ruleset, seed: str) -> None:
    """See that no packet is treated differently, by proof."""
    assert [change.summary for change in compare(linear, optimised)] == [], seed


@pytest.mark.parametrize("batch", range(RULESETS // 2 // BATCH))
def test_both_layouts_are_equal_in_random_worlds(batch: int) -> None:
    """Over the whole language of policies."""
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        state = drawn(f"layout {number}").state
        linear, optimised = both(list(resolve(state, NODE)), options_of(state, NODE), 4 * (number % 3))
        assert_same(linear, optimised, str(number))


@pytest.mark.parametrize("batch", range(RULESETS // 2 // BATCH))
def test_both_layouts_are_equal_where_rules_crowd(batch: int) -> None:
    """Where nearly all rules overlap, in both families."""
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        rules = crowded(str(number), 4 + number % 30)
        linear, optimised = both(rules, CompilerOptions(), 4 * (number % 3))
        assert_same(linear, optimised, str(number))


def marked(ruleset: Ruleset) -> Ruleset:
    """The same with a verdict in place of each log, so that the first that logs a packet is seen; others are cut."""

    def rule(found: Rule) -> Rule:
        if found.target is None or found.target.name not in {"LOG", "NFLOG"}:
            return found
        prefix = next(each.values[0] for each in found.target.options if each.option.endswith("prefix"))
        kept = tuple(each for each in found.matches if each.module not in {"limit", "comment"})
        told = Match("comment", "comment", (comment_of("logged", prefix),))
        return Rule((*kept, told), replace(found.target, name="DROP", options=()))

    def table(found: Table) -> Table:
        return replace(found, chains=tuple(replace(c, rules=tuple(map(rule, c.rules))) for c in found.chains))

    return replace(ruleset, ipv4=tuple(map(table, ruleset.ipv4)), ipv6=())


def test_the_same_packets_are_logged() -> None:
    """By the same rules, and none besides; each rule's limit stands in one place for all its packets of a traffic."""
    logged = 0
    for number in range(60):
        rules = crowded(f"log {number}", 20)
        linear, optimised = both(rules, CompilerOptions())
        walkers = [Walker(marked(each)) for each in (linear, optimised)]
        dice = seeded(number)
        for _ in range(60):
            packet = Packet(
                src=ip_address(f"10.0.0.{dice.randrange(256)}"),
                dst=ip_address("192.0.2.1"),
                protocol=dice.choice((protocol_names.TCP, protocol_names.UDP)),
                in_interface="eth0",
                sport=dice.choice((22, 80, 5000)),
                dport=dice.choice((0, 1, 2, 22, 80, 443, 1000, 1200, 32767, 32768, 65535)),
                state=ConnState.NEW,
            )
            answers = [walker.verdict(packet, Hook.INPUT) for walker in walkers]
            said = [(a.verdict, a.decided_by.comment if a.decided_by else "") for a in answers]
            by = [comment if comment.startswith("nodewall logged/") else "" for _, comment in said]
            assert by[0] == by[1], (number, packet.words)
            logged += bool(by[0])
        limits = [c for _, _, chain in optimised.chains() for r in chain.rules if (c := r.value_of("limit", "limit"))]
        once = [c for _, _, chain in linear.chains() for r in chain.rules if (c := r.value_of("limit", "limit"))]
        assert len(limits) <= len(once)
    assert logged > 100
