"""Single rules on sets, where the kernel has its own ways: fragments, full sets, time, marks, interfaces."""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from adapters.lab.packet_injection import ETH_P_IP, ETH_P_IPV6, GATEWAY_MAC, NODE_MAC, InjectionRig
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.context import PacketContext
from simulator.netfilter import Verdict, Walker
from simulator.packets import Packet, from_wire, protocol_names, to_wire
from tests.support.policies.random_clusters import ADDRESSES
from tests.support.rulesets.random_sets import INTERFACES, own

pytestmark = pytest.mark.kernel

FAR = {Family.IPV4: "10.1.2.3", Family.IPV6: "fd00:1:2::3"}
FURTHER = {Family.IPV4: 1 << 8, Family.IPV6: 1 << 104}
"""How far the next ``/24`` is."""

WORDS = {Family.IPV4: "inet", Family.IPV6: "inet6"}


@pytest.fixture
def node(kernel: None) -> Iterator[InjectionRig]:  # noqa: ARG001  # asked for its effect
    """A node with two interfaces whose kernel gives verdicts."""
    with InjectionRig(ADDRESSES, INTERFACES) as made:
        yield made


class Rules:
    """Sets and tables in force, and what simulates them."""

    def __init__(self, node: InjectionRig, backend: str, family: Family, sets: str, tables: str) -> None:
        """Put them in force; ``inet``, and ``FAR`` as an address, stand for the family's own."""
        self._node, self._family = node, family
        self._tool = f"{'iptables' if family is Family.IPV4 else 'ip6tables'}-{backend}"
        self._runner = SystemRunner(node.netns)
        self._run(["ipset", "restore"], sets)
        self._run([f"{self._tool}-restore"], tables)
        found = parse_tables(self._run([f"{self._tool}-save"]))
        ipv4, ipv6 = (found, ()) if family is Family.IPV4 else ((), found)
        self.walker = Walker(Ruleset(ipv4, ipv6, parse_sets(self._run(["ipset", "save"]))))
        self.around = PacketContext()

    def _run(self, words: list[str], text: str = "") -> str:
        names_put = text.replace("inet", WORDS[self._family]).replace("FAR", FAR[self._family])
        return self._runner.run(words, names_put).or_refused(words[0])

    def counts(self, table: str, chain: str) -> list[int]:
        """Return how many packets each rule of a chain has seen."""
        (found,) = parse_tables(self._run([f"{self._tool}-save", "-c", "-t", table]))
        block = found.chain(chain)
        return [rule.counters[0] for rule in block.rules if rule.counters] if block else []

    def packet(self, far: int = 0, near: int = 0, port: int = 80) -> Packet:
        """Return a packet from an address some numbers after the far one."""
        src, dst = ip_address(FAR[self._family]) + far, own(self._family)[near]
        return Packet(src=src, dst=dst, protocol=protocol_names.UDP, sport=4000, dport=port)

    def fate(self, packet: Packet, interface: str = "eth0", at: float | None = None) -> Verdict:
        """Return what becomes of a packet that arrives, in the kernel and simulated alike."""
        wire = to_wire(packet)
        (did,) = self._node.judge(Hook.INPUT, [wire], interface)
        seen = replace(from_wire(wire, in_interface=interface), time=at)
        answer = self.walker.verdict(seen, Hook.INPUT, self.around)
        assert (answer.verdict is Verdict.ACCEPT) is (did is DeliveryOutcome.ACCEPT), (did, answer)
        return answer.verdict


def filtering(*rules: str) -> str:
    """Return the filter table with these rules at its input."""
    return "\n".join(("*filter", ":INPUT ACCEPT", *(f"-A INPUT {rule}" for rule in rules), "COMMIT", ""))


def test_a_later_fragment_has_no_port(node: InjectionRig, backend: str, family: Family) -> None:
    """No set with ports holds a later fragment, so that a negated match on one does."""
    sets = (
        "create s hash:ip,port family inet\nadd s FAR,udp:0\ncreate p bitmap:port range 0-80\nadd p 0\n"
        "create a hash:ip family inet\nadd a FAR\n"
    )
    asked = ("--match-set s src,src", "! --match-set s src,src", "--match-set p src", "! --match-set p src")
    rules = [f"-A PREROUTING -i eth0 -s FAR -m set {words}" for words in (*asked, "--match-set a src")]
    put = Rules(node, backend, family, sets, "\n".join(("*raw", ":PREROUTING ACCEPT", *rules, "COMMIT", "")))
    wire = to_wire(replace(put.packet(), sport=None, dport=None, fragment=True))
    kind = ETH_P_IP if family is Family.IPV4 else ETH_P_IPV6
    node._wires["eth0"].send(NODE_MAC + GATEWAY_MAC + kind.to_bytes(2) + wire)
    node._settle("eth0")
    answer = put.walker.verdict(from_wire(wire, in_interface="eth0"), Hook.PREROUTING)
    assert put.counts("raw", "PREROUTING") == [0, 1, 0, 1, 1]
    assert [step.rule for step in answer.trace] == [2, 4, 5]


def test_networks_by_interface_hide_wider_ones(node: InjectionRig, backend: str, family: Family) -> None:
    """Once networks of an address are found, all with other interfaces, the kernel looks at no wider one."""
    every = "0.0.0.0/0" if family is Family.IPV4 else "::/0"
    sets = f"create s hash:net,iface family inet\nadd s {every},eth1\nadd s FAR/24,eth\nadd s FAR,physdev:eth1\n"
    put = Rules(node, backend, family, sets, filtering("-m set --match-set s src,src -j DROP"))
    assert put.fate(put.packet(), "eth1") is Verdict.ACCEPT
    assert put.fate(put.packet(1), "eth1") is Verdict.ACCEPT
    assert put.fate(replace(put.packet(), src=ip_address(FAR[family]) + FURTHER[family]), "eth1") is Verdict.DROP


def test_a_full_set_takes_no_more(node: InjectionRig, backend: str, family: Family) -> None:
    """Rules add to a set up to its ``maxelem``; what would be one too many is not in it."""
    put = Rules(
        node,
        backend,
        family,
        "create s hash:ip family inet maxelem 2\n",
        filtering("-p udp --dport 80 -j SET --add-set s src", "-p udp --dport 81 -m set --match-set s src -j DROP"),
    )
    for far in range(3):
        assert put.fate(put.packet(far)) is Verdict.ACCEPT
    found = [put.fate(put.packet(far, port=81)) for far in range(3)]
    assert found == [Verdict.DROP, Verdict.DROP, Verdict.ACCEPT]


def test_members_expire(node: InjectionRig, backend: str, family: Family) -> None:
    """What was saved with a timeout, and what rules add with one, is gone after so many seconds."""
    put = Rules(
        node,
        backend,
        family,
        "create s hash:ip family inet timeout 1\nadd s FAR\ncreate n hash:net,port family inet timeout 0\n",
        filtering(
            "-p udp --dport 80 -m set --match-set s src -j DROP",
            "-p udp --dport 80 -j SET --add-set s src --timeout 0",
            "-p udp --dport 80 -j SET --add-set n src,dst --timeout 1",
            "-p udp --dport 81 -m set --match-set s src -j DROP",
            "-p udp --dport 80 -m set --match-set n src,dst -j DROP",
        ),
    )
    begun = 1_000_000.0
    assert put.fate(put.packet(), at=begun) is Verdict.DROP
    assert put.fate(put.packet(1), at=begun) is Verdict.DROP  # as it was just added
    time.sleep(2.2)
    assert put.fate(put.packet(port=81), at=begun + 2.2) is Verdict.ACCEPT
    assert put.fate(put.packet(1, port=81), at=begun + 2.2) is Verdict.DROP


def test_a_set_marks_packets(node: InjectionRig, backend: str, family: Family) -> None:
    """``--map-set`` gives a packet the mark of its member, under the member's mask; of others it changes nothing."""
    sets = "create s hash:net family inet skbinfo\nadd s FAR skbmark 0x5/0xf\nadd s FAR/24 nomatch skbmark 0x7\n"
    marks = "*mangle\n:INPUT ACCEPT\n-A INPUT -j MARK --set-xmark 0xf0/0xffffffff\n-A INPUT -j SET --map-set s src --map-mark\n"
    put = Rules(node, backend, family, sets, marks + "COMMIT\n" + filtering("-m mark --mark 0xf5 -j DROP"))
    assert put.fate(put.packet()) is Verdict.DROP
    assert put.fate(put.packet(1)) is Verdict.ACCEPT
    assert put.fate(put.packet(1000)) is Verdict.ACCEPT
