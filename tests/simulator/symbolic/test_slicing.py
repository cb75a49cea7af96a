"""Where only members of sets change, a guard looks at few packets, and says what it would say of all."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler import compile_rules
from engine.policy.completed_rules import Action, Direction
from engine.reconcile.interfaces import PlanProof
from engine.rulesets.model import Chain, Family, Match, Rule, Ruleset, Table, Target
from simulator.analysis.invariants import ParsedInvariant
from simulator.guard import guard as guards
from simulator.guard.guard import LockoutGuard
from simulator.symbolic import SymbolicRulesetReader
from simulator.symbolic.slicing import affected_conditions
from tests.support.rulesets.guarded_rulesets import (
    API,
    DNS,
    HOSTS,
    INVARIANTS,
    LIFELINES,
    OWN,
    PEERS,
    RULES,
    judged,
    named,
    with_members,
)
from tests.support.rulesets.ruleset_builders import completed


@st.composite
def changes(draw: st.DrawFn) -> tuple[Ruleset, Ruleset]:
    """Two rulesets whose rules are the same but for their peers."""
    rules = draw(RULES)
    host = draw(st.sampled_from(sorted(HOSTS)))
    both = []
    kept = [draw(PEERS) for _ in rules]
    for peers in (kept, [draw(st.just(each) | PEERS) for each in kept]):
        found = compile_rules([named(*each) for each in zip(rules, range(len(rules)), peers, strict=True)])
        both.append(replace(found, ipv4=(*found.ipv4, *HOSTS[host])))
    return both[0], both[1]


@given(changes(), st.sampled_from([[], INVARIANTS]))
def test_a_look_at_few_packets_says_what_a_look_at_all_says(
    change: tuple[Ruleset, Ruleset], invariants: list[ParsedInvariant]
) -> None:
    """Whatever members change: what is lost, broken and astray is the same, for a guard that has judged before too."""
    guard = LockoutGuard(LIFELINES, OWN, invariants)
    with pytest.MonkeyPatch.context() as patch:
        for before, after in (change, change[::-1], change):
            quick = judged(guard, before, after)
            patch.setattr(guards, "affected_conditions", lambda *_: None)
            assert quick == judged(LockoutGuard(LIFELINES, OWN, invariants), before, after)
            patch.undo()


def test_a_new_member_is_judged_by_its_packets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of one Pod is no reason to look at all packets, also where users have invariants that hold."""
    first, second = (
        compile_rules(
            [completed("p", *peers, action=Action.ALLOW, services=(API,)), completed("last", services=(DNS,))]
        )
        for peers in (["10.1.2.3/32", "192.0.2.8/32"], ["10.1.2.3/32", "10.1.2.4/32", "192.0.2.8/32"])
    )
    guard = LockoutGuard(LIFELINES, OWN, INVARIANTS[:1])
    assert judged(guard, Ruleset(), first) == PlanProof()

    monkeypatch.setattr(LockoutGuard, "_judged", lambda *_: pytest.fail("all packets were looked at"))

    assert judged(guard, first, second) == judged(guard, second, first) == PlanProof()


def test_packets_that_fare_otherwise_are_told_by_what_moved() -> None:
    """The addresses that come and go are the only ones that a change of members is about."""
    library = SymbolicRulesetReader(Family.IPV4)
    old, new = (
        library.read(compile_rules([completed("p", *peers)]))
        for peers in (["10.0.0.0/30"], ["10.0.0.2/31", "10.9.9.9/32"])
    )
    (where,) = affected_conditions(old, new) or ()

    assert (where.field, where.bounds) == ("src", ([0x0A000000, 0x0A090909], [0x0A000001, 0x0A090909]))


@pytest.mark.parametrize(
    "other",
    [
        compile_rules([completed("p", "10.0.0.0/8"), completed("q", "10.0.0.0/8")]),
        compile_rules([completed("p", "10.0.0.0/8", action=Action.ALLOW)]),
        Ruleset(),
    ],
)
def test_what_differs_by_rules_is_not_told_by_members(other: Ruleset) -> None:
    """A rule more, another target, no chains at all: then it takes a look at all packets."""
    library = SymbolicRulesetReader(Family.IPV4)
    one = library.read(compile_rules([completed("p", "10.0.0.0/8")]))

    assert affected_conditions(one, library.read(other)) is None


def test_who_gets_in_two_sets_at_once_is_followed_between_them() -> None:
    """A client that is banned as its network comes in may be in the one set before it is in the other."""
    before, after = (
        with_members(("ban", Action.DROP, banned), ("in", Action.ALLOW, clients), ("last", Action.DROP, ("0.0.0.0/0",)))
        for banned, clients in (
            (("10.9.9.9/32",), ("10.0.0.0/8",)),
            (("10.9.9.9/32", "192.0.2.9/32"), ("10.0.0.0/8", "192.0.2.0/24")),
        )
    )

    (stray,) = judged(LockoutGuard(LIFELINES, OWN), before, after).strays

    assert "src=192.0.2.9 " in stray


def test_an_invariant_that_was_broken_before_stays_so() -> None:
    """Where all packets were not seen to keep it, a change about others does not make it kept."""
    before, after = (
        with_members(("last", Action.DROP, ("192.0.2.8/32", "10.1.2.3/32", *more))) for more in ((), ("10.1.2.4/32",))
    )
    guard = LockoutGuard(LIFELINES, OWN, INVARIANTS[:1])

    for old, new in ((Ruleset(), before), (before, after), (after, before)):
        assert len(judged(guard, old, new).broken) == 1


def test_packets_that_come_to_be_for_a_new_member_are_seen() -> None:
    """Queries that the host sends on to another address fall to a new ban of that one."""
    mangle = Chain("OUTPUT", (Rule((Match("", "destination", ("10.1.2.3/32",)),), Target("DROP")),), "ACCEPT")
    host = (Table("mangle", (mangle,)), *HOSTS["a translation"])
    before, after = (
        replace(found, ipv4=(*found.ipv4, *host))
        for found in (
            with_members(("ban", Action.DROP, ("10.1.2.4/32", *more)), direction=Direction.EGRESS)
            for more in ((), ("10.1.2.3/32",))
        )
    )

    assert len(judged(LockoutGuard(LIFELINES, OWN), before, after).lost) == 1
