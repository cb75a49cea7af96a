"""Rulesets that differ in set members, and a guard's proof for the plan between two of them."""

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import strategies as st

from engine.compiler import compile_rules
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.reconcile.interfaces import PlanProof
from engine.rulesets.diff import diff
from engine.rulesets.model import Chain, Hook, Match, Rule, Ruleset, Table, Target
from engine.rulesets.plan import make_plan
from engine.rulesets.transitions import intermediate_states
from simulator.analysis.invariants import InvariantKind, ParsedInvariant
from simulator.expression import parse
from simulator.guard.guard import LockoutGuard
from tests.support.rulesets.ruleset_builders import block, completed

OWN = [ip_address("192.0.2.1"), ip_address("2001:db8::1")]
BLOCKS = (
    *map(block, ("10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "10.1.2.4/32", "192.0.2.7/32", "192.0.2.8/32")),
    *map(block, ("2001:db8::/32", "2001:db8::7/128", "fd00::1/128")),
    block("192.0.2.0/24", "192.0.2.0/28"),
    block("10.1.0.0/16", "10.1.2.0/24"),
)
SSH, API, DNS = (
    Traffic(protocol, (port, port)) for protocol, port in ((Protocol.TCP, 22), (Protocol.TCP, 6443), (Protocol.UDP, 53))
)
LIFELINES = [
    completed("api", "192.0.2.7/32", "2001:db8::7/128", action=Action.ALLOW, services=(API,)),
    completed("ssh", action=Action.ALLOW, services=(SSH,)),
    completed("dns", action=Action.ALLOW, services=(DNS,), direction=Direction.EGRESS),
]
INVARIANTS = [
    ParsedInvariant("api-stays", Hook.INPUT, parse("tcp dst port 6443 and src host 192.0.2.8"), InvariantKind.ACCEPT),
    ParsedInvariant("nobody", Hook.INPUT, parse("tcp dst port 22 and src net 10.1.2.0/24"), InvariantKind.BLOCK),
]
HOSTS = {
    "no rules": (),
    "a ban": (
        Table("mangle", (Chain("INPUT", (Rule((Match("", "source", ("10.1.2.4/32",)),), Target("DROP")),), "ACCEPT"),)),
    ),
    "a translation": (
        Table(
            "nat",
            (
                Chain(
                    "OUTPUT",
                    (
                        Rule(
                            (Match("", "protocol", ("udp",)),),
                            Target("DNAT", (Match("", "to-destination", ("10.1.2.3",)),)),
                        ),
                    ),
                    "ACCEPT",
                ),
            ),
        ),
    ),
}
"""Foreign rules of the host, by their effect."""

RULES = st.lists(
    st.builds(
        lambda services, direction, action: completed("", services=services, direction=direction, action=action),
        st.sampled_from([(), (SSH,), (API,), (DNS,)]),
        st.sampled_from(Direction),
        st.sampled_from([Action.ALLOW, Action.DROP, Action.REJECT]),
    ),
    min_size=1,
    max_size=5,
)
PEERS = st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6, unique=True).map(tuple)


def named(rule: CompletedRule, number: int, peers: tuple[AddressBlock, ...]) -> CompletedRule:
    """Return the rule with other peers, and with a name made from ``number``."""
    rank = replace(rule.rank, policy=f"p{number}", index=number)
    return replace(rule, policy=f"p{number}", peers=peers, rank=rank)


def judged(guard: LockoutGuard, before: Ruleset, after: Ruleset) -> PlanProof:
    """Return a guard's proof for the direct plan."""
    return guard.judge(before, after, tuple(intermediate_states(before, make_plan(diff(before, after)))))


def with_members(*rules: tuple[str, Action, tuple[str, ...]], direction: Direction = Direction.INGRESS) -> Ruleset:
    """Return the compiled rules, each with a name, an action and peers, in order."""
    made = (completed(name, *peers, action=action, direction=direction) for name, action, peers in rules)
    return compile_rules([named(rule, number, rule.peers or ()) for number, rule in enumerate(made)])
