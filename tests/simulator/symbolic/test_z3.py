"""A solver that knows nothing of decision diagrams finds packets where searches do, and none where they find none.

Rulesets are written twice from the same draws: as text, and as terms of bit vectors whose meaning is told here alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from ipaddress import IPv4Address, IPv6Address

import pytest
import z3

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.analysis.search import SearchQuestion, search
from simulator.expression import parse
from simulator.netfilter import Verdict, Walker
from simulator.packets import ConnState, Packet, protocol_names
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

RULESETS = 300 if SOAK else 8
QUERIES = 10
"""For each ruleset and family: 300 in all."""

WIDTH = {Family.IPV4: 32, Family.IPV6: 128}
START = {Family.IPV4: int(IPv4Address("10.0.0.0")), Family.IPV6: int(IPv6Address("2001:db8::"))}
STATES = tuple(ConnState)
NUMBERS = {"tcp": protocol_names.TCP, "udp": protocol_names.UDP}
CHAINS = ("INPUT", "A", "B", "C")


class Fields:
    """A packet as bit vectors."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.src, self.dst = (z3.BitVec(name, WIDTH[family]) for name in ("src", "dst"))
        self.sport, self.dport = (z3.BitVec(name, 16) for name in ("sport", "dport"))
        self.protocol, self.state, self.mark = z3.BitVec("protocol", 8), z3.BitVec("state", 3), z3.BitVec("mark", 8)
        # One of many protocols without ports stands for all; a packet has at least an address to come from.
        self.sound = z3.And(
            z3.Or(self.protocol == protocol_names.TCP, self.protocol == protocol_names.UDP, self.protocol == 47),
            z3.ULT(self.state, len(STATES)),
        )

    def ported(self, protocol: str) -> z3.BoolRef:
        """Of a protocol, which has ports."""
        return self.protocol == NUMBERS[protocol]


@dataclass(frozen=True)
class Condition:
    """A condition: as matches of iptables, as an expression (or none), and as a term."""

    text: str
    expression: str
    term: z3.BoolRef


class Author:
    """Draws conditions and rules."""

    def __init__(self, seed: str, fields: Fields) -> None:
        self.dice = seeded(seed)
        self.fields = fields

    def condition(self) -> Condition:
        """Return a condition on one or two fields."""
        return self.dice.choice([self._network, self._network, self._ports, self._ports, self._state, self._mark])()

    def _network(self) -> Condition:
        side, option, vector = self.dice.choice((("src", "-s", self.fields.src), ("dst", "-d", self.fields.dst)))
        width = WIDTH[self.fields.family]
        length = width - self.dice.randint(0, 12)
        shift = width - length
        start = (START[self.fields.family] | self.dice.randint(0, 0xFFF)) >> shift << shift
        kind = IPv4Address if self.fields.family is Family.IPV4 else IPv6Address
        term = z3.LShR(vector, shift) == (start >> shift)
        text = f"{kind(start)}/{length}"
        return self._inverted(f"{option} {text}", f"{side} net {text}", term)

    def _ports(self) -> Condition:
        protocol = self.dice.choice(("tcp", "udp"))
        side, vector = self.dice.choice((("sport", self.fields.sport), ("dport", self.fields.dport)))
        low = self.dice.randint(0, 600)
        high = low + self.dice.choice((0, 0, 5, 300))
        within = z3.And(z3.UGE(vector, low), z3.ULE(vector, high))
        inverted = self.dice.random() < 0.2
        term = z3.And(self.fields.ported(protocol), z3.Not(within) if inverted else within)
        text = f"-p {protocol} -m {protocol} {'! ' if inverted else ''}--{side} {low}:{high}"
        word = f"{protocol} {'src' if side == 'sport' else 'dst'} portrange {low}-{high}"
        return Condition(text, f"{protocol} and not {word}" if inverted else word, term)

    def _state(self) -> Condition:
        chosen = self.dice.sample(STATES, self.dice.randint(1, 2))
        term = z3.Or(*(self.fields.state == STATES.index(state) for state in chosen))
        word = " or ".join(f"ctstate {state.lower()}" for state in chosen)
        return self._inverted(f"--ctstate {','.join(chosen)}", f"({word})", term, "-m conntrack ")

    def _mark(self) -> Condition:
        value, mask = self.dice.randint(0, 3), self.dice.choice((1, 2, 3))
        term = (self.fields.mark & mask) == (value & mask)
        return self._inverted(f"--mark {value & mask:#x}/{mask:#x}", f"mark {value & mask}/{mask}", term, "-m mark ")

    def _inverted(self, text: str, expression: str, term: z3.BoolRef, before: str = "") -> Condition:
        if self.dice.random() < 0.25:
            return Condition(f"{before}! {text}", f"not {expression}", z3.Not(term))
        return Condition(before + text, expression, term)


@dataclass(frozen=True)
class Rule:
    """A rule: conditions on a packet as it is then, and a target."""

    conditions: Sequence[Condition]
    target: str

    @property
    def text(self) -> str:
        """The rule as iptables-save has it, each option once."""
        return " ".join([*(each.text for each in self.conditions), self.target])


def drawn(author: Author) -> dict[str, list[Rule]]:
    """Return chains of rules."""
    found = {}
    for place, name in enumerate(CHAINS):
        further = [f"-{how} {other}" for how in "jg" for other in CHAINS[place + 1 :]]
        targets = ["-j ACCEPT", "-j DROP", "-j REJECT", "-j RETURN", "-j MARK --set-xmark 0x1/0x1", *further]
        found[name] = [Rule(_conditions(author), author.dice.choice(targets)) for _ in range(10)]
    return found


def _conditions(author: Author) -> list[Condition]:
    first, second = author.condition(), author.condition()
    words = {word for word in first.text.split() if word.startswith("-")} & set(second.text.split())
    return [first] if words or author.dice.random() < 0.4 else [first, second]


def text(chains: Mapping[str, Sequence[Rule]], policy: str) -> str:
    """Return chains as iptables-save has them."""
    heads = [f":{name} {policy if name == 'INPUT' else '-'} [0:0]" for name in chains]
    lines = [f"-A {name} {rule.text}" for name, rules in chains.items() for rule in rules]
    return "\n".join(["*filter", *heads, *lines, "COMMIT", ""])


# What rules mean


@dataclass(frozen=True)
class Ends:
    """Which packets end how in a chain, those that come back, and what marks have become."""

    verdicts: Mapping[str, z3.BoolRef]
    back: z3.BoolRef
    mark: z3.BitVecRef


def walked(
    chains: Mapping[str, Sequence[Rule]], name: str, coming: z3.BoolRef, fields: Fields, mark: z3.BitVecRef
) -> Ends:
    """Return how packets that come to a chain end."""
    verdicts: dict[str, z3.BoolRef] = {}
    back: z3.BoolRef = z3.BoolVal(val=False)
    for rule in chains[name]:
        terms = [z3.substitute(each.term, (fields.mark, mark)) for each in rule.conditions]
        hit = z3.And(coming, *terms)
        how, target = rule.target.split()[:2]
        if target == "MARK":
            mark = z3.If(hit, mark | 1, mark)
        elif target == "RETURN":
            back, coming = z3.Or(back, hit), z3.And(coming, z3.Not(hit))
        elif target in chains:
            inner = walked(chains, target, hit, fields, mark)
            verdicts = joined(verdicts, inner.verdicts)
            mark, rest = inner.mark, z3.And(coming, z3.Not(hit))
            back, coming = (back, z3.Or(rest, inner.back)) if how == "-j" else (z3.Or(back, inner.back), rest)
        else:
            verdicts = joined(verdicts, {target.lower(): hit})
            coming = z3.And(coming, z3.Not(hit))
    return Ends(verdicts, z3.Or(back, coming), mark)


def joined(left: Mapping[str, z3.BoolRef], right: Mapping[str, z3.BoolRef]) -> dict[str, z3.BoolRef]:
    """Return the union by verdict."""
    no = z3.BoolVal(val=False)
    return {key: z3.Or(left.get(key, no), right.get(key, no)) for key in left.keys() | right.keys()}


def packet_of(model: z3.ModelRef, fields: Fields) -> Packet:
    """Return the packet of a solution."""

    def number(vector: z3.BitVecRef) -> int:
        return int(model.eval(vector, model_completion=True).as_long())

    kind = IPv4Address if fields.family is Family.IPV4 else IPv6Address
    ported = number(fields.protocol) in NUMBERS.values()
    return Packet(
        src=kind(number(fields.src)),
        dst=kind(number(fields.dst)),
        protocol=number(fields.protocol),
        sport=number(fields.sport) if ported else None,
        dport=number(fields.dport) if ported else None,
        state=STATES[number(fields.state)],
        mark=number(fields.mark),
        in_interface="eth0",
    )


@pytest.mark.parametrize("family", Family)
def test_a_solver_agrees(family: Family) -> None:
    """Where a search finds a packet so does the solver, whose packet gets the verdict in a walk; else it proves none."""
    fields, outcomes = Fields(family), set[bool]()
    for number in range(RULESETS):
        author = Author(f"z3 {family} {number}", fields)
        chains, policy = drawn(author), author.dice.choice(("ACCEPT", "DROP"))
        tables = parse_tables(text(chains, policy), family=family)
        ruleset = Ruleset(ipv4=tables) if family is Family.IPV4 else Ruleset(ipv6=tables)
        ends = walked(chains, "INPUT", fields.sound, fields, fields.mark)
        verdicts = joined(ends.verdicts, {policy.lower(): ends.back})
        for _ in range(QUERIES):
            asked = [author.condition() for _ in range(author.dice.randint(1, 4))]
            verdict = author.dice.choice(tuple(Verdict))
            where = reduce(lambda left, right: f"{left} and {right}", (each.expression for each in asked))
            found = search(ruleset, SearchQuestion(Hook.INPUT, parse(where), verdict), (family,))
            solver = z3.Solver()
            solver.add(verdicts.get(verdict, z3.BoolVal(val=False)), *(each.term for each in asked))
            solved = solver.check() == z3.sat
            outcomes.add(solved)
            assert bool(found.count) == solved, (number, where, verdict, text(chains, policy))
            if solved:
                answer = Walker(ruleset).verdict(packet_of(solver.model(), fields), Hook.INPUT)
                assert answer.verdict is verdict, (number, where, text(chains, policy))
    assert outcomes == {False, True}
