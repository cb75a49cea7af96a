"""The kernel counts for each rule of a policy, also where one kernel rule serves many."""

from collections import Counter
from itertools import product

import pytest

from adapters.lab.packet_injection import InjectionRig
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.netfilter.counters import counted
from adapters.system.process import SystemRunner
from engine.compiler import CompilerOptions, Layout, compile_rules
from engine.policy.completed_rules import Action, Protocol, Traffic
from engine.reconcile.refusals import apply_unchecked
from engine.rulesets.diff import diff
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.packets import parse_spec, to_wire
from tests.support.rulesets.ruleset_builders import completed

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

NETWORKS = {Family.IPV4: "10.0.{}.0/24", Family.IPV6: "fd00:{}::/64"}
SOURCES = {Family.IPV4: "10.0.{}.9", Family.IPV6: "fd00:{}::9"}
NODE = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
RULES = [
    completed(
        f"p{number}",
        *(network.format(number) for network in NETWORKS.values()),
        action=(Action.ALLOW, Action.DROP)[number % 2],
        priority=float(number),
        services=(Traffic(Protocol.TCP, (22, 22)),),
    )
    for number in range(12)
]


def test_each_rule_has_its_own_count(oracle: InjectionRig, backend: str) -> None:
    """Packets from sources of each rule count for it; a rule that goes leaves the counts of the others as they are."""
    kernel = choose_backend(SystemRunner(oracle.netns), BackendName(backend))
    optimised = CompilerOptions(layout=Layout.OPTIMISED)
    wanted = compile_rules(RULES, optimised)
    apply_unchecked(wanted, kernel)
    assert not diff(kernel.observe(), wanted)
    sent = Counter[tuple[Family, str]]()
    for family, number in product(Family, range(12)):
        spec = f"src={SOURCES[family].format(number)} dst={NODE[family]} proto=tcp dport=22"
        packets = [to_wire(parse_spec(f"{spec} sport={2_000 + sport}")) for sport in range(number % 4)]
        sent[family, f"p{number}"] = number % 4
        oracle.judge(Hook.INPUT, packets)
    runner = SystemRunner(oracle.netns)

    def told() -> Counter[tuple[Family, str]]:
        return Counter({(each.family, each.policy): each.packets for each in counted(runner, BackendName(backend))})

    assert told() == sent
    apply_unchecked(compile_rules(RULES[:-1], optimised), kernel)
    assert told() == Counter({key: count for key, count in sent.items() if key[1] != "p11"})
    apply_unchecked(Ruleset(), kernel)
