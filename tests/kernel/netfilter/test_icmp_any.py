"""ICMP type 255 matches every message of IPv4, whatever its code, in the kernel and in the simulator."""

import pytest

from adapters.lab.packet_injection import InjectionRig
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.rulesets.model import Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.netfilter import Verdict, Walker
from simulator.packets import parse_spec, to_wire
from tests.support.policies.random_clusters import ADDRESSES

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("kind", ["any", "255", "255/255", "255/7"])
def test_type_255_matches_every_message(oracle: InjectionRig, backend: str, kind: str) -> None:
    """A rule about type 255 drops echo requests, and the simulator says so of what the tools save."""
    rule = f"-A INPUT -p icmp -m icmp --icmp-type {kind} -j DROP"
    runner = SystemRunner(oracle.netns)
    runner.run([f"iptables-{backend}-restore"], f"*filter\n:INPUT ACCEPT\n{rule}\nCOMMIT\n").or_refused("restore")
    saved = runner.run([f"iptables-{backend}-save"]).or_refused("save")
    packet = parse_spec(f"in=eth0 src=198.51.100.7 dst={ADDRESSES[0]} proto=icmp icmp=8")

    assert oracle.judge(Hook.INPUT, [to_wire(packet)]) == [DeliveryOutcome.DROP]
    for text in (saved, f"*filter\n:INPUT ACCEPT\n{rule}\nCOMMIT\n"):
        assert Walker(Ruleset(ipv4=parse_tables(text))).verdict(packet).verdict is Verdict.DROP
