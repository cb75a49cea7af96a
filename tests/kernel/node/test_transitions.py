"""On the way through a plan every packet gets its old verdict or its new one, in kernels too.

Rules of random peers and ports replace each other. Each state that a plan leads through, sets member by member, is made
in the kernel, which is asked about packets at the edges of all that the rules name.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from adapters.lab.packet_injection import InjectionRig
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.compiler import compile_rules
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.policy.resolve import sort_rules
from engine.reconcile.reconciler import Method, propose
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.plan import Plan, Step, Tool
from engine.rulesets.text.steps import render_step
from simulator.guard.guard import LockoutGuard
from simulator.packets import Packet, protocol_names, to_wire
from tests.support.policies.random_clusters import ADDRESSES
from tests.support.rulesets.ruleset_builders import SOAK, NullWatch, block, completed
from tests.support.seeds import seeded

pytestmark = pytest.mark.kernel

PLANS = 1000 if SOAK else 50
"""For each combination of backend and family."""

PACKETS = 100

NETWORKS = {
    Family.IPV4: (
        "10.1.0.0/28",
        "10.1.0.0/30",
        "10.1.0.4/30",
        "10.1.0.2/31",
        "10.1.0.3/32",
        "10.1.0.8/29",
        "10.1.0.12/32",
    ),
    Family.IPV6: ("2001:db8::/124", "2001:db8::/126", "2001:db8::4/126", "2001:db8::2/127", "2001:db8::3/128"),
}
FIRST = {Family.IPV4: ip_address("10.1.0.0"), Family.IPV6: ip_address("2001:db8::")}
ACTIONS = (Action.ALLOW, Action.ALLOW, Action.DROP, Action.DROP, Action.REJECT, Action.PASS)
PORTS = (80, 443)


class Author:
    """Writes rules, and changes some of those that there are."""

    def __init__(self, seed: str, family: Family) -> None:
        self.dice = seeded(seed)
        self._family = family

    def changed(self, rules: Sequence[CompletedRule]) -> tuple[CompletedRule, ...]:
        """Return rules of which one to all were written anew, and some went or came."""
        names_of = self.dice.sample("abcde", self.dice.randint(2, 5))
        known = {rule.policy: rule for rule in rules}
        kept = set(self.dice.sample(names_of, self.dice.randint(0, len(names_of) - 1)))
        return tuple(known[name] if name in kept and name in known else self._rule(name) for name in names_of)

    def _rule(self, name: str) -> CompletedRule:
        ports = self.dice.choice(((), (80,), (443,), (80, 443)))
        blocks = tuple(self._block() for _ in range(self.dice.randint(1, 3)))
        return replace(
            completed(name, priority=self.dice.uniform(1, 9), action=self.dice.choice(ACTIONS)),
            peers=blocks if self.dice.random() < 0.9 else None,
            services=tuple(Traffic(Protocol.TCP, (port, port)) for port in ports),
            direction=Direction.INGRESS,
        )

    def _block(self) -> AddressBlock:
        outer, *others = self.dice.sample(NETWORKS[self._family], 3)
        inside = (text for text in others if self.dice.random() < 0.5)
        whole = block(outer)
        return replace(
            whole,
            excepted=tuple(
                net
                for net in (block(text).network for text in inside)
                if net != whole.network
                and net.network_address in whole.network
                and net.prefixlen > whole.network.prefixlen
            ),
        )

    def packets(self) -> list[Packet]:
        """Return packets from every address of the rules and around them, each of a flow of its own."""
        own = next(address for address in map(ip_address, ADDRESSES) if f"IPv{address.version}" == self._family)
        found = []
        for number in range(PACKETS):
            far = FIRST[self._family] + number % 18
            found.append(
                Packet(
                    src=far,
                    dst=own,
                    protocol=protocol_names.TCP,
                    sport=self.dice.randint(1024, 30000) + 30000 * (number % 2),
                    dport=(*PORTS, 8080)[number // 18 % 3],
                    flags=frozenset({"SYN"}),
                    in_interface="eth0",
                )
            )
        return list({(each.src, each.sport, each.dport): each for each in found}.values())


def single_steps(plan: Plan) -> Iterator[Step]:
    """Yield the steps of a plan, those of ipset one by one as it carries them out."""
    for step in plan.steps:
        if step.tool is not Tool.IPSET:
            yield step
            continue
        yield from (Step(step.tool, (change,)) for change in step.changes)


def wanted_by(rules: Sequence[CompletedRule]) -> Ruleset:
    """Return what rules compile to."""
    return compile_rules(sort_rules(rules))


def test_on_the_way_packets_get_their_old_verdict_or_their_new_one(
    oracle: InjectionRig, backend: str, family: Family
) -> None:
    """In every state of every plan, made in the kernel one by one, each packet fares as before or as after."""
    kernel = choose_backend(SystemRunner(oracle.netns), BackendName(backend))
    author = Author(f"passages {backend} {family}", family)
    packets = author.packets()
    wires = [to_wire(packet) for packet in packets]

    def asked() -> list[DeliveryOutcome]:
        oracle.forget()
        return oracle.judge(Hook.INPUT, wires)

    rules: tuple[CompletedRule, ...] = ()
    methods = Counter[Method]()
    states, before = 0, asked()
    for _ in range(PLANS):
        following = author.changed(rules)
        proposal = propose(wanted_by(following), kernel, LockoutGuard(), NullWatch())
        assert proposal.judgement.safe, proposal.judgement.reasons
        methods[proposal.method] += 1
        seen = []
        for step in single_steps(proposal.plan):
            kernel.run(step)
            seen.append((step, asked()))
        after = seen[-1][1] if seen else before
        states += len(seen)
        for step, outcomes in seen:
            for packet, old, now, new in zip(packets, before, outcomes, after, strict=True):
                assert now in {old, new}, (packet.words, old, now, new, render_step(step), rules, following)
        rules, before = following, after

    assert states > 5 * PLANS
    assert min(methods[method] for method in Method) > 0, methods
