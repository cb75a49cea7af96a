"""Sets of every type, held against the kernel: what is saved of them, and which packets they hold."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import inf

import pytest

from adapters.lab.packet_injection import InjectionRig, parsed
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family, Hook, IpSet, Ruleset
from engine.rulesets.text import parse_sets, parse_tables, render_sets
from simulator.context import PacketContext
from simulator.netfilter import Verdict, Walker
from simulator.packets import Packet
from simulator.sets import read_set
from simulator.sets.registry import current_set
from simulator.sets.set_types import KINDS
from simulator.sets.static import SetEntries, SetEntry
from tests.support.kernel.lab_access import Load
from tests.support.policies.random_clusters import ADDRESSES
from tests.support.rulesets.random_sets import INTERFACES, SetDice
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

pytestmark = pytest.mark.kernel

WORLDS = 4 * (20 if SOAK else 1)
RULES, PACKETS = 60, 24
HOOKS = (Hook.INPUT, Hook.OUTPUT)
CHANGES = 150
"""How often packets are sent to rules that look into sets, or change them."""

EVERYWHERE = frozenset({"bitmap:ip", "bitmap:port", "hash:ip", "hash:net", "hash:ip,port", "hash:net,port", "list:set"})
"""Types that no kernel with ipset is known to be built without."""


@pytest.fixture
def node(kernel: None) -> Iterator[InjectionRig]:  # noqa: ARG001  # asked for its effect
    """A node with two interfaces whose kernel gives verdicts."""
    with InjectionRig(ADDRESSES, INTERFACES) as made:
        yield made


def offered(runner: SystemRunner, family: Family) -> list[str]:
    """Return the types of sets that the kernel has for a family."""
    found = []
    for name, kind in KINDS.items():
        limits = {True: ("range", "0-9" if name == "bitmap:port" else "10.0.0.0/24"), False: ("maxelem", "9")}
        words = ("size", "9") if name == "list:set" else limits[kind.bitmap]
        if family is Family.IPV4 or kind.of_both_families or not kind.bitmap:
            made = runner.run(["ipset", "create", "probe", name, *words])
            found += [name] if made.status == 0 else []
            runner.run(["ipset", "-quiet", "destroy", "probe"])
    assert set(found) >= {name for name in EVERYWHERE if family is Family.IPV4 or name != "bitmap:ip"}
    return found


def saved(runner: SystemRunner) -> tuple[IpSet, ...]:
    """Return the sets that the kernel has, as they are saved."""
    return parse_sets(runner.run(["ipset", "save"]).or_refused("ipset"))


def replaced(runner: SystemRunner, sets: tuple[IpSet, ...]) -> tuple[IpSet, ...]:
    """Put sets in the place of all others, and return what the kernel saves of them."""
    runner.run(["ipset", "flush"]).or_refused("ipset")
    runner.run(["ipset", "destroy"]).or_refused("ipset")
    runner.run(["ipset", "-exist", "restore"], render_sets(sets)).or_refused("ipset")
    return saved(runner)


def without_time(sets: tuple[IpSet, ...]) -> list[object]:
    """Return sets without what a second that passes between two saves may change."""
    found: list[object] = []
    for item in sets:
        members = [[word for word in member if not word.isdecimal()] for member in item.members]
        found.append((item.name, item.kind, item.options, members))
    return found


@pytest.mark.parametrize("seed", range(WORLDS))
def test_sets_are_saved_and_restored_without_loss(node: InjectionRig, family: Family, seed: int) -> None:
    """What ipset saves of random sets is restored as the same sets, and holds the members that were asked for."""
    runner = SystemRunner(node.netns)
    drawn = SetDice(seeded(f"{family} {seed}"), family).sets(offered(runner, family))
    first = replaced(runner, drawn)
    assert without_time(replaced(runner, first)) == without_time(first)
    for asked, found in zip(sorted(drawn), sorted(first), strict=True):
        ours, kernels = read_set(asked), read_set(found)
        assert ours is not None
        assert kernels is not None
        assert {key: level.keys() for key, level in ours.levels.items()} == {
            key: level.keys() for key, level in kernels.levels.items()
        }, asked


def complaint(rule: str, packet: Packet, did: DeliveryOutcome, sets: tuple[IpSet, ...]) -> str:
    """Return all that is needed to see a mismatch again."""
    by_name = {item.name: item for item in sets}
    named = [by_name[word] for word in rule.split() if word in by_name]
    below = [by_name[name] for item in named for name in item.set_names]
    return f"{rule}\n{packet.words}\nkernel did: {did}\n{render_sets((*named, *below))}"


class Trial:
    """A world of sets and rules, one for each hop limit, in the kernel and in the simulator."""

    def __init__(self, node: InjectionRig, load: Load, backend: str, family: Family, seed: str) -> None:
        """Draw the sets and put them in force."""
        self._node, self._load, self._backend, self._family = node, load, backend, family
        self._runner = SystemRunner(node.netns)
        self.dice = SetDice(seeded(seed), family)
        load(node.netns, "")
        self.sets = replaced(self._runner, self.dice.sets(offered(self._runner, family)))
        self.fitting = [item for item in self.sets if item.family in {None, family} or family is Family.IPV4]
        self._around = PacketContext()
        self.rules: list[str] = []
        self._walker = Walker(Ruleset())

    def put(self, rules: list[str]) -> None:
        """Put a rule in force for each hop limit from 1 on."""
        hops = "-m ttl --ttl-eq" if self._family is Family.IPV4 else "-m hl --hl-eq"
        self.rules = [f"-A {hook} {hops} {number} {rule}" for hook in HOOKS for number, rule in enumerate(rules, 1)]
        self._load(self._node.netns, "\n".join(self.rules))
        tool = f"{'iptables' if self._family is Family.IPV4 else 'ip6tables'}-{self._backend}-save"
        tables = parse_tables(self._runner.run([tool]).or_refused(tool))
        ipv4, ipv6 = (tables, ()) if self._family is Family.IPV4 else ((), tables)
        self._walker = Walker(Ruleset(ipv4, ipv6, self.sets))

    def send(self, number: int, count: int, hook: Hook = Hook.INPUT) -> Iterator[Verdict]:
        """Send packets to the rule of a number, and yield what became of them, in the kernel and simulated alike."""
        interface = self.dice.dice.choice(INTERFACES)
        packets = _apart(self.dice.packets(number, count, interface, arriving=hook is Hook.INPUT))
        did = self._node.judge(hook, [packet.wire or b"" for packet in packets], interface)
        for packet, outcome in zip(packets, did, strict=True):
            answer = self._walker.verdict(packet, hook, self._around)
            # No rule rejects; it is an answer to an earlier, accepted packet between the same ports.
            dropped = outcome is not DeliveryOutcome.ACCEPT
            told = complaint(self.rules[number - 1], packet, outcome, self.sets)
            assert (answer.verdict is Verdict.DROP) is dropped, told
            assert not any("assumed" in what for what in answer.assumptions), answer.assumptions
            yield answer.verdict

    def compare(self) -> None:
        """Hold the sets that the kernel saves by now against those of the simulator."""
        for found, before in zip(saved(self._runner), self.sets, strict=True):
            kernels, ours = read_set(found), read_set(before)
            assert kernels is not None
            assert ours is not None
            held = current_set(ours, self._around.memory)
            told = f"kernel has:\n{render_sets((found,))}saved before:\n{render_sets((before,))}"
            assert sum(kernels.sizes.values()) == sum(held.size(prefixes) for prefixes in held.order), told
            for prefixes, level in kernels.levels.items():
                for key, entries in level.items():
                    assert timeless(held.entries(prefixes, key)) == timeless(entries), told


def timeless(entries: SetEntries) -> list[SetEntry]:
    """Return members without their timeouts, of which a save prints the seconds left, by their interfaces.

    The kernel puts a member that comes into the place of one that went.
    """
    return sorted((replace(entry, until=inf) for entry in entries), key=lambda entry: (entry.tail, entry.wildcard))


def _apart(packets: Iterator[Packet]) -> list[Packet]:
    """Keep packets that the rig can tell apart."""
    found: dict[bytes, Packet] = {}
    for packet in packets:
        wire = parsed(packet.wire or b"")
        found.setdefault(wire.identity[:-4] if wire.protocol == 6 else wire.identity, packet)
    return list(found.values())


def test_the_kernel_finds_what_the_simulator_finds(
    node: InjectionRig, load: Load, backend: str, family: Family
) -> None:
    """Random rules on random sets of every type drop just the packets that the simulator drops, counters and all."""
    outcomes = Counter[Verdict]()
    for world in range(WORLDS):
        trial = Trial(node, load, backend, family, f"{backend} {family} {world}")
        queries = [trial.dice.query(trial.dice.dice.choice(trial.fitting)) for _ in range(RULES)]
        trial.put([f"-m set {query} -j DROP" for query in queries])
        for number in range(1, RULES + 1):
            outcomes.update(trial.send(number, PACKETS))
        trial.compare()
    assert min(outcomes.values()) > outcomes.total() // 10, outcomes


def test_the_kernel_finds_what_leaves_too(node: InjectionRig, load: Load, backend: str, family: Family) -> None:
    """The same holds for what the node sends, which has no interface to come in by; sets of MAC addresses apart."""
    outcomes = Counter[Verdict]()
    for world in range(WORLDS // 2):
        trial = Trial(node, load, backend, family, f"out {backend} {family} {world}")
        macs = {item.name for item in trial.sets if "mac" in item.type}
        known = [item for item in trial.fitting if item.name not in macs and macs.isdisjoint(item.set_names)]
        trial.put([f"-m set {trial.dice.query(trial.dice.dice.choice(known))} -j DROP" for _ in range(RULES)])
        for number in range(1, RULES + 1):
            outcomes.update(trial.send(number, PACKETS, Hook.OUTPUT))
        trial.compare()
    assert min(outcomes.values()) > outcomes.total() // 10, outcomes


def test_rules_change_sets_as_simulated(node: InjectionRig, load: Load, backend: str, family: Family) -> None:
    """What rules add to random sets and delete from them is found there, or not, by later packets, as simulated."""
    outcomes = Counter[Verdict]()
    for world in range(WORLDS):
        trial = Trial(node, load, backend, family, f"change {backend} {family} {world}")
        # Of each set one rule that looks into it, and two that change it, by the same sides.
        rules = [rule for item in trial.fitting for rule in trial.dice.changes(item)]
        trial.put(rules)
        for _ in range(CHANGES):
            outcomes.update(trial.send(trial.dice.dice.randrange(1, len(rules) + 1), 6))
        trial.compare()
    assert min(outcomes.values()) > outcomes.total() // 20, outcomes
