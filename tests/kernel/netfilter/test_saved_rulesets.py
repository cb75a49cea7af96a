"""The kernel takes what real firewalls wrote, as nodewall writes it, and the simulator says what it then does."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import pytest

from adapters.lab.netns import Namespaces
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables, render_sets, render_tables
from simulator.conntrack import ConnectionTracker
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import ConnState, Packet, protocol_names
from simulator.traversal import arrive, send
from tests.support.kernel.routing_node import Links, Router, Seen, numbered, seen_as
from tests.support.packets.refused_packets import answerable
from tests.support.packets.rule_edge_packets import Aim
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.rulesets.saved_rulesets import NAMES, ruleset_of, sets_text, text_of

pytestmark = pytest.mark.kernel

TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


@pytest.fixture
def two(kernel: None) -> Iterator[list[SystemRunner]]:  # noqa: ARG001  # asked for its effect
    """Two namespaces without rules."""
    with Namespaces(("theirs", "ours")) as made:
        yield [SystemRunner(made[name]) for name in ("theirs", "ours")]


def saved(runner: SystemRunner, backend: str, family: Family, sets: str, rules: str) -> list[str]:
    """Put sets and rules in force; return what the tools then save, without comments, counters and random numbers."""
    tool = f"{TOOLS[family]}-{backend}"
    runner.run(["ipset", "restore"], sets).or_refused("ipset")
    runner.run([f"{tool}-restore"], rules).or_refused(tool)
    there = runner.run([f"{tool}-save"]).or_refused(tool) + runner.run(["ipset", "save", "-sorted"]).or_refused("ipset")
    lines = (line.partition(" initval ")[0] for line in there.splitlines() if not line.startswith("#"))
    return [line.partition(" [")[0] if line.startswith(":") else line for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_holds_the_same_by_our_words(
    name: str, two: list[SystemRunner], backend: str, family: Family
) -> None:
    """What nodewall writes of a dump is taken by both backends, which then save the same as by the dump itself."""
    sets, rules = sets_text(name), text_of(name, family)
    theirs, ours = two
    by_dump = saved(theirs, backend, family, sets, rules)
    written = render_sets(parse_sets(sets)), render_tables(parse_tables(rules))
    assert saved(ours, backend, family, *written) == by_dump
    assert len(by_dump) > len(rules.splitlines()) // 2


# What the kernel does

PACKETS = 400 * (10 if SOAK else 1)
"""Per ruleset, backend and family."""

WORLD = ("192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128")
LAN = ("10.0.0.1/32", ">10.0.0.0/24", "fd00::1/128", ">fd00::/64")
LINKS: Mapping[str, Links] = {
    "antrea": {"eth0": WORLD, "antrea-gw0": ("10.10.0.1/32", ">10.10.0.0/16", "fd00:10::1/128", ">fd00:10::/64")},
    "arno": {"eth0": WORLD, "eth1": LAN},
    "calico": {"eth0": WORLD, "cali0web": (">10.65.0.2/32", ">fd00:65::2/128")},
    "cni": {"eth0": WORLD, "cni0": ("10.88.0.1/32", ">10.88.0.0/16", "fd00:88::1/128", ">fd00:88::/64")},
    "docker": {
        "eth0": WORLD,
        "docker0": ("172.17.0.1/32", ">172.17.0.0/16", "fd00:17::1/128", ">fd00:17::/64"),
        "br-shop": ("172.18.0.1/32", ">172.18.0.0/16", "fd00:18::1/128", ">fd00:18::/64"),
        "br-inside": ("172.19.0.1/32", ">172.19.0.0/16", "fd00:19::1/128", ">fd00:19::/64"),
    },
    "fail2ban": {"eth0": WORLD},
    "ferm": {"eth0": WORLD, "eth1": LAN},
    "firewalld": {"eth0": WORLD, "eth1": LAN},
    "kube-proxy": {"eth0": WORLD, "cni0": ("10.244.0.1/32", ">10.244.0.0/16", "fd00:244::1/128", ">fd00:244::/64")},
    "libvirt": {
        "eth0": WORLD,
        "virbr0": ("192.168.122.1/32", ">192.168.122.0/24", "fd00:122::1/128", ">fd00:122::/64"),
        "virbr1": ("192.168.123.1/32", ">192.168.123.0/24", "fd00:123::1/128", ">fd00:123::/64"),
        "virbr2": ("192.168.124.1/32", ">192.168.124.0/24", "fd00:124::1/128", ">fd00:124::/64"),
        "virbr3": ("192.168.125.1/32", ">192.168.125.0/24", "fd00:125::1/128", ">fd00:125::/64"),
    },
    "shorewall": {
        "eth0": WORLD,
        "eth1": LAN,
        "eth2": ("10.0.1.1/32", ">10.0.1.0/24", "fd00:0:0:1::1/128", ">fd00:0:0:1::/64"),
    },
    "ufw": {"eth0": WORLD, "eth1": LAN},
}
"""Where each ruleset is at home: the interfaces it knows, with addresses, and the networks behind them."""

_RATE = re.compile(r"(--(?:limit|hashlimit-upto|hashlimit-above) )\d+/\w+")
_CHANCE = re.compile(r"--mode random --probability ([0-9.]+)")


def settled(text: str) -> str:
    """Return rules that leave nothing to time and chance: limits get nothing back, every n-th packet is drawn.

    Ports stay where they can, as one drawn at random might be that of a later packet, which would then have to yield.
    A trial takes seconds. Slower than one a minute will not do: xt_limit's credits for a burst of 100 an hour overflow.
    """
    counted = _CHANCE.sub(lambda found: f"--mode nth --every {round(1 / float(found[1]))} --packet 0", text)
    return _RATE.sub(r"\g<1>1/minute", counted).replace(" --random-fully", "")


@pytest.fixture
def router(name: str, kernel: None) -> Iterator[Router]:  # noqa: ARG001  # asked for its effect
    """The node that a ruleset is at home on."""
    with Router(LINKS[name]) as made:
        yield made


def loaded(router: Router, name: str, backend: str, family: Family) -> Ruleset:
    """Put a ruleset in force; return it."""
    tool = f"{TOOLS[family]}-{backend}-restore"
    rules = settled(text_of(name, family))
    runner = SystemRunner(router.netns)
    runner.run(["ipset", "restore"], sets_text(name)).or_refused("ipset")
    runner.run([tool], rules).or_refused(tool)
    tables = parse_tables(rules)
    whole = ruleset_of(name)
    return replace(whole, ipv4=tables) if family is Family.IPV4 else replace(whole, ipv6=tables)


def expected(answer: Evaluation, walker: Walker, router: Router) -> Seen:
    """Return what there is to be seen of an answer: of REJECT nothing, where its own answer is not sent or let out."""
    if answer.verdict is Verdict.ACCEPT:
        return seen_as("input" if answer.hook is Hook.INPUT else answer.left.out_interface, answer.left)
    if answer.verdict is Verdict.DROP or not answers(answer):
        return Seen()
    told = walker.verdict(refusal(answer, router), Hook.OUTPUT).verdict is Verdict.ACCEPT
    return Seen("refused") if told else Seen()


def answers(answer: Evaluation) -> bool:
    """Whether REJECT sends anything to where a packet came from; a reset has no way back to a neighbour."""
    packet = answer.packet
    if answer.reject_with == "tcp-reset":
        return "RST" not in packet.flags and not packet.dst.is_multicast and not packet.src.is_link_local
    return answerable(packet)


def refusal(answer: Evaluation, router: Router) -> Packet:
    """Return what REJECT sends."""
    packet, first = answer.left, answer.packet
    back = Packet(
        src=packet.dst,
        dst=first.src,
        protocol=protocol_names.ICMP_OF[packet.family],
        icmp=(3, 3) if packet.family is Family.IPV4 else (1, 4),
        out_interface=first.in_interface if first.src.is_link_local else router.host.route_interface(first.src) or "",
        state=ConnState.RELATED if answer.tracked else ConnState.INVALID,
    )
    if answer.reject_with != "tcp-reset":
        return back
    flags = frozenset({"RST"} if "ACK" in packet.flags else {"RST", "ACK"})
    return replace(back, protocol=protocol_names.TCP, icmp=None, sport=packet.dport, dport=packet.sport, flags=flags)


def agree(answer: Evaluation, said: Seen, seen: Seen) -> bool:
    """Whether the kernel did what was said, but for ports that it draws at random."""
    return replace(said, sport=None) == replace(seen, sport=None) if by_chance(answer) else said == seen


def by_chance(answer: Evaluation) -> bool:
    """Whether the kernel draws a port at random, or an identifier."""
    return any("draws a free port" in text for text in answer.assumptions)


def left(seen: Seen) -> bool:
    """Whether a packet left the node."""
    return seen.where not in {"", "input", "refused"}


def replied(packet: Packet, seen: Seen) -> Packet | None:
    """Return the answer to a packet that left the node, from where it went, if it is one that is answered."""
    back = replace(came_back(seen), protocol=packet.protocol, sport=seen.dport, dport=seen.sport)
    if packet.protocol == protocol_names.TCP and packet.flags == {"SYN"}:
        return replace(back, flags=frozenset({"SYN", "ACK"}))
    if packet.icmp in {(8, 0), (128, 0)}:
        return replace(back, icmp=(129 if packet.icmp[0] == 128 else 0, 0), icmp_id=packet.icmp_id)
    return back if packet.protocol == protocol_names.UDP else None


def failed(packet: Packet, seen: Seen) -> Packet:
    """Return the ICMP error of somebody who cannot deliver a packet that left the node."""
    back = came_back(seen)
    headers = 20 if packet.family is Family.IPV4 else 40
    length = None if packet.sport is not None or packet.icmp else headers + 8  # the least that an error quotes
    inner = replace(packet, src=back.dst, dst=back.src, sport=seen.sport, dport=seen.dport, wire=None, length=length)
    icmp = (3, 1) if packet.family is Family.IPV4 else (1, 3)
    return replace(back, protocol=protocol_names.ICMP_OF[packet.family], icmp=icmp, inner=inner)


def came_back(seen: Seen) -> Packet:
    """Return a packet that comes from where one went, to where that seemed to come from."""
    assert seen.src is not None
    assert seen.dst is not None
    return Packet(src=seen.dst, dst=seen.src, protocol=0, in_interface=seen.where)


@dataclass(slots=True)
class Trial:
    """A router and what the simulator holds of it; ``wrong`` says where they differ."""

    router: Router
    walker: Walker
    tracker: ConnectionTracker
    sent: int = 0
    now: float = field(default_factory=time.time)
    wrong: list[str] = field(default_factory=list)

    def compare(self, drawn: Iterable[Packet]) -> list[tuple[Packet, Seen]]:
        """Send packets; return those that certainly get where the simulator says, and where that is."""
        packets = [numbered(packet, number) for number, packet in enumerate(drawn, self.sent + 1)]
        did = self.router.follow(packets, self.sent + 1)
        self.sent += len(packets)
        right = []
        for packet, seen in zip(packets, did, strict=True):
            answer = self.judged(packet)
            said = expected(answer, self.walker, self.router)
            if not agree(answer, said, seen):
                self.wrong.append(f"{packet.words}\n  said {said}\n  seen {seen}\n  {answer}")
            if said == seen and not by_chance(answer):
                right.append((packet, seen))
        return right

    def judged(self, packet: Packet) -> Evaluation:
        """Return what the simulator says of a packet on its whole way; root sends those of the node."""
        known = replace(packet, time=self.now, uid=0, gid=0)
        return (arrive if packet.in_interface else send)(self.walker, self.tracker, known)


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_does_what_the_simulator_says(name: str, router: Router, backend: str, family: Family) -> None:
    """Packets at the edges of each rule, and answers to them, get where the simulator says, rewritten as it says."""
    ruleset = loaded(router, name, backend, family)
    trial = Trial(router, Walker(ruleset), ConnectionTracker(router.host))
    right = trial.compare(islice(Aim(ruleset, family, router.host, name).packets(), PACKETS))
    went = [(packet, seen) for packet, seen in right if left(seen) and packet.inner is None]
    trial.compare(back for packet, seen in went if (back := replied(packet, seen)))
    trial.compare(failed(packet, seen) for packet, seen in went)
    assert not trial.wrong, "\n".join(trial.wrong)
    assert went or name == "fail2ban"  # which forwards nothing
