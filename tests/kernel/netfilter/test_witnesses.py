"""Packets that searches and comparisons show fare in kernels as they say."""

from collections import Counter
from collections.abc import Iterator

import pytest

from adapters.lab.packet_injection import InjectionRig
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family, Hook
from simulator.analysis.compare import compare
from simulator.analysis.search import SearchQuestion, search
from simulator.expression import parse
from simulator.netfilter import Verdict
from simulator.packets import ConnState, Packet, protocol_names, to_wire
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.rulesets.small_rulesets import OWN, Author, read, text

pytestmark = pytest.mark.kernel

PAIRS = 800 if SOAK else 20
"""Of rulesets, for each combination of backend and family."""

TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


@pytest.fixture
def rig(kernel: None) -> Iterator[InjectionRig]:  # noqa: ARG001 - asked for its effect
    """A node with the addresses that the rules name."""
    with InjectionRig(tuple(OWN.values())) as made:
        yield made


def loaded(rig: InjectionRig, backend: str, family: Family, sets: str, rules: str) -> None:
    """Put rules in force, and nothing else."""
    runner, tool = SystemRunner(rig.netns), f"{TOOLS[family]}-{backend}-restore"
    for table in ("filter", "mangle", "raw"):
        runner.run([tool], f"*{table}\nCOMMIT\n").or_refused(tool)
    runner.run(["ipset", "destroy"]).or_refused("ipset")
    runner.run(["ipset", "restore"], sets).or_refused("ipset")
    runner.run([tool], rules).or_refused(tool)


def can_be_sent(packet: Packet, family: Family) -> bool:
    """Whether the rig can show what becomes of a packet: a first one to the node, of a protocol that is answered."""
    return (
        packet.protocol in {protocol_names.TCP, protocol_names.UDP}
        and str(packet.dst) == OWN[family]
        and (packet.in_interface, packet.state, packet.mark) == ("eth0", ConnState.NEW, 0)
        and (packet.protocol != protocol_names.TCP or packet.flags == {"SYN"})
    )


def fares(rig: InjectionRig, packet: Packet) -> str:
    """Return what the kernel does with a packet of no connection."""
    rig.forget()
    (outcome,) = rig.judge(Hook.INPUT, [to_wire(packet)])
    return outcome.value


def test_what_is_shown_is_what_kernels_do(rig: InjectionRig, backend: str, family: Family) -> None:
    """Of each verdict a packet is found, and of each change, which the kernel treats so, before and after."""
    where = parse(f"(tcp or udp) and dst host {OWN[family]} and in eth0 and ctstate new and mark 0")
    seen = Counter[str]()
    for number in range(PAIRS):
        author = Author(f"witness {backend} {family} {number}", family)
        rules, sets = author.ruleset(), author.sets()
        texts = text(rules, "DROP"), text(author.changed(rules), "ACCEPT")
        old, new = (read(each, sets, family) for each in texts)
        changes = [each for each in compare(old, new, (family,)) if can_be_sent(each.example, family)]

        loaded(rig, backend, family, sets, texts[0])
        for verdict in Verdict:
            shown = search(old, SearchQuestion(Hook.INPUT, where, verdict), (family,)).example
            if shown is not None:
                assert fares(rig, shown) == verdict, (shown.words, texts[0], sets)
                seen[verdict] += 1
        for change in changes:
            assert fares(rig, change.example) == change.was, (change.example.words, texts[0], sets)
        loaded(rig, backend, family, sets, texts[1])
        for change in changes:
            assert fares(rig, change.example) == change.now, (change.example.words, texts[1], sets)
            seen["changes"] += 1
    assert min(seen[outcome.value] for outcome in DeliveryOutcome) > PAIRS // 10
    assert seen["changes"] > PAIRS // 10
