"""The lockout guard: what it calls lost, broken and astray."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations, product

import pytest

from engine.compiler import compile_rules
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.reconcile.interfaces import PlanProof
from engine.rulesets.diff import diff
from engine.rulesets.model import Chain, Hook, Match, Rule, Ruleset, Table, Target
from engine.rulesets.plan import make_plan
from engine.rulesets.transitions import intermediate_states, make_before_break_plan
from simulator.analysis.invariants import InvariantKind, ParsedInvariant
from simulator.expression import parse
from simulator.guard.guard import LockoutGuard, TrustingVerifier
from simulator.symbolic import Budget
from tests.support.rulesets.ruleset_builders import block, completed

API = CompletedRule(
    policy="(static)",
    name="api-server-in",
    rank=Rank(-1, 0.0, "(static)", 0),
    direction=Direction.INGRESS,
    action=Action.ALLOW,
    peers=(AddressBlock(ip_network("192.0.2.7/32")), AddressBlock(ip_network("2001:db8::7/128"))),
    services=(Traffic(Protocol.TCP, (6443, 6443)),),
)
DENY = CompletedRule(
    policy="deny", name="all", rank=Rank(50, 1.0, "deny", 0), direction=Direction.INGRESS, action=Action.DROP
)
GUARD = LockoutGuard([API], [ip_address("192.0.2.1"), ip_address("2001:db8::1")])


def test_a_lifeline_that_stays_open_is_not_lost() -> None:
    """A deny-all policy behind the static rules loses nothing."""
    assert GUARD.judge(Ruleset(), compile_rules([API, DENY]), ()).lost == ()


def test_a_lifeline_that_closes_is_named_with_its_decider() -> None:
    """A deny-all policy without the static rules loses the API server in both families."""
    lost = GUARD.judge(Ruleset(), compile_rules([DENY]), ()).lost
    assert len(lost) == 2
    assert "dport=6443" in lost[0]
    assert lost[0].endswith(": drop by filter/NW-INPUT rule 3 (api-server-in)")


def test_what_did_not_get_through_before_is_not_lost_by_us() -> None:
    """A path that the host's own rules close already is none that a plan could lose."""
    closed = (Table("mangle", (Chain("INPUT", (Rule((), Target("DROP")),), "ACCEPT"),)),)
    before = Ruleset(ipv4=closed, ipv6=closed)
    assert GUARD.judge(before, replace(compile_rules([DENY]), ipv4=closed, ipv6=closed), ()).lost == ()


def test_an_egress_lifeline_is_judged_outwards() -> None:
    """A lifeline that leaves the node is judged at OUTPUT, in both families."""
    outward = replace(API, direction=Direction.EGRESS)
    deny = replace(DENY, direction=Direction.EGRESS)
    lost = LockoutGuard([outward], [ip_address("192.0.2.1")]).judge(Ruleset(), compile_rules([deny]), ()).lost
    assert [("out=eth0" in text, "NW-OUTPUT" in text) for text in lost] == [(True, True)] * 2


def test_the_trusting_verifier_finds_nothing() -> None:
    """It is for taking rules away, where there is nothing to lose."""
    assert TrustingVerifier().judge(Ruleset(), compile_rules([DENY]), ()).lost == ()


@pytest.mark.parametrize(
    "service",
    [
        Traffic(Protocol.ICMP),
        Traffic(Protocol.ICMP, icmp=(3, 4)),
        Traffic(Protocol.ICMPV6),
        Traffic(Protocol.SCTP, (5, 5)),
        Traffic(Protocol.IGMP),
        Traffic(Protocol.IGMP, igmp=(0x16, "224.0.0.251")),
    ],
)
def test_every_kind_of_traffic_can_be_a_lifeline(service: Traffic) -> None:
    """A static rule of any traffic keeps its packets through, and a rule that drops all loses them."""
    own = [ip_address("192.0.2.1"), ip_address("2001:db8::1")]
    rule = completed("s", action=Action.ALLOW, services=(service,))
    guard = LockoutGuard([rule], own)
    assert guard.judge(Ruleset(), compile_rules([rule, DENY]), ()).lost == ()
    assert len(guard.judge(Ruleset(), compile_rules([DENY]), ()).lost) >= 1


def test_a_guard_judges_each_plan_for_itself() -> None:
    """What it knows from plans before changes nothing of what it says of one."""
    rules = [
        completed(f"p{number}", f"10.{number}.0.0/16", action=action, services=(Traffic(Protocol.TCP, (port, port)),))
        for number, (action, port) in enumerate(product((Action.ALLOW, Action.DROP), (22, 80, 443, 6443)))
    ]
    states = [compile_rules([*rules[:count], *more]) for count in (0, 2, 5, 8, 3) for more in ([API, DENY], [DENY], [])]
    guard = replace(GUARD)
    for before, after in permutations(states, 2):
        way = tuple(intermediate_states(before, make_plan(diff(before, after))))
        assert guard.judge(before, after, way) == replace(GUARD).judge(before, after, way)


def test_a_guard_forgets_rules_that_are_gone() -> None:
    """However many plans it judges, what it knows stays in proportion to what there is."""
    guard, known = replace(GUARD), set[int]()
    before = Ruleset()
    for number in range(40):
        many = [completed(f"p{number}-{each}", f"10.{number}.{each}.0/24", priority=float(each)) for each in range(250)]
        after = compile_rules([API, *many])
        assert guard.judge(before, after, ()).lost == ()
        known |= {family.library.size for family in guard._families.values()}
        before = after
    assert max(known) < 4 * 1_300 + 300


# On the way

CLIENTS = completed("clients", "10.0.0.0/8", action=Action.ALLOW, priority=2.0)
MORE_CLIENTS = completed("clients", "10.0.0.0/8", "192.0.2.0/24", action=Action.ALLOW, priority=2.0)
BANNED = completed("banned", "192.0.2.9/32", priority=1.0)
LAST = completed("last", priority=9.0)


def judged(before: Ruleset, after: Ruleset) -> tuple[PlanProof, PlanProof]:
    """Return what the guard says of going there in place, and of going round."""
    plans = make_plan(diff(before, after)), make_before_break_plan(before, after)
    direct, around = (LockoutGuard().judge(before, after, tuple(intermediate_states(before, plan))) for plan in plans)
    return direct, around


def test_a_set_that_grows_before_its_exception_is_there_leads_astray() -> None:
    """A client that is to be banned as its network comes in would get in meanwhile; going round it would not."""
    direct, around = judged(compile_rules([CLIENTS, LAST]), compile_rules([BANNED, MORE_CLIENTS, LAST]))

    (stray,) = direct.strays
    assert "src=192.0.2.9 " in stray
    assert ": accept by filter/NW-INPUT rule 3" in stray
    assert around == PlanProof()


def test_a_set_that_only_grows_leads_nowhere_else() -> None:
    """Each address is in the set as before or as after."""
    direct, _ = judged(compile_rules([CLIENTS, LAST]), compile_rules([MORE_CLIENTS, LAST]))

    assert direct == PlanProof()


def test_exceptions_of_a_set_come_before_what_they_are_taken_from() -> None:
    """A network comes in after its exception and goes before it, so nobody in the exception gets in meanwhile."""
    with_exception = replace(CLIENTS, peers=(*(CLIENTS.peers or ()), block("192.0.2.0/24", "192.0.2.8/29")))
    for rules in ([CLIENTS, with_exception], [with_exception, CLIENTS]):
        before, after = (compile_rules([rule, LAST]) for rule in rules)
        assert judged(before, after)[0] == PlanProof()


def test_a_broken_invariant_is_told_with_a_packet() -> None:
    """An invariant is judged by what will be, whatever was before."""
    where = ParsedInvariant("web", Hook.INPUT, parse("tcp dst port 80"), InvariantKind.ACCEPT)
    after = compile_rules([DENY])

    broken = LockoutGuard(invariants=[where]).judge(after, after, ()).broken

    assert [text.startswith("web: in=eth0 ") for text in broken] == [True, True]


def test_a_judgement_without_time_is_none() -> None:
    """What there is no time to prove is unproved."""
    found = replace(GUARD, budget=Budget(patience=lambda: False)).judge(Ruleset(), compile_rules([DENY]), ())

    assert found.reasons == ("no proof: out of time; allow more by --max-seconds",)


def test_what_answers_a_lifeline_is_one_too() -> None:
    """An egress rule that keeps connections from answering loses the lifeline that they are."""
    answers = Rule((Match("", "protocol", ("tcp",)), Match("tcp", "sport", ("6443",))), Target("DROP"))
    cut = (Table("filter", (Chain("OUTPUT", (answers,), "ACCEPT"),)),)

    lost = GUARD.judge(Ruleset(), Ruleset(ipv4=cut), ()).lost

    assert [text.endswith(": drop by filter/OUTPUT rule 1 (answers to api-server-in)") for text in lost] == [True]
