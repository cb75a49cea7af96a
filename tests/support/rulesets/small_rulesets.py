"""Small rule language whose packets can all be evaluated one by one.

Its values are known, so one packet represents each class of packets, with the number of headers in the class.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address
from itertools import product

import numpy as np

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.batch import VERDICTS, BatchEvaluator, columns_of
from simulator.batch.box_layout import TableEnd
from simulator.batch.columns import BoolColumn
from simulator.expression import holds, parse
from simulator.netfilter import Decision, Verdict, Walker
from simulator.packets import ConnState, Packet, protocol_names
from tests.support.seeds import seeded

BASE = {Family.IPV4: "10.0.0.{}", Family.IPV6: "2001:db8::{}"}
OWN = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8:2::1"}
ELSEWHERE = {Family.IPV4: ("198.51.100.7", "192.0.2.99"), Family.IPV6: ("2001:db8:51::7", "2001:db8:2::99")}
HOSTS = range(4)
PORTS = (22, 80)
ICMP = {Family.IPV4: (protocol_names.ICMP, "icmp", (8, 0)), Family.IPV6: (protocol_names.ICMPV6, "icmpv6", (128, 0))}
STATES = tuple(ConnState)
INTERFACES = ("eth0", "eth1")
MARKS = (0, 1)

GRE = 47

OTHER_PORTS = 65536 - len(PORTS)
OTHER_PROTOCOLS = 256 - len(protocol_names.PORT_PROTOCOLS) - len(protocol_names.ICMP_OF)


@dataclass(frozen=True)
class Header:
    """Header of a packet, and the number of headers that it represents."""

    packet: Packet
    weight: int


def made(packet: Packet, **fields: object) -> Packet:
    """Return the packet with some fields changed."""
    return replace(packet, **fields)  # type: ignore[arg-type] # callers give each field its type


def headers(family: Family) -> Iterator[Header]:
    """Yield one header for each class that the language distinguishes."""
    width = 32 if family is Family.IPV4 else 128
    far, near = (ip_address(text) for text in ELSEWHERE[family])
    sources = [*((ip_address(BASE[family].format(n)), 1) for n in HOSTS), (far, (1 << width) - len(HOSTS))]
    destinations = [(ip_address(OWN[family]), 1), (near, (1 << width) - 1)]
    for (src, src_weight), (dst, dst_weight) in product(sources, destinations):
        for rest, weight in payloads(family):
            packet = Packet(src=src, dst=dst, protocol=0)
            yield Header(made(packet, **rest), src_weight * dst_weight * weight)


@cache
def payloads(family: Family) -> tuple[tuple[Mapping[str, object], int], ...]:
    """Return the fields after the addresses, with weights."""
    found: list[tuple[Mapping[str, object], int]] = []
    others = sorted(protocol_names.PORT_PROTOCOLS - {protocol_names.TCP, protocol_names.UDP})
    for protocol, weight in ((protocol_names.TCP, 1), (protocol_names.UDP, 1), (others[0], len(others))):
        for port, ports in (*((port, 1) for port in PORTS), (9999, OTHER_PORTS)):
            found.append(({"protocol": protocol, "sport": 40000, "dport": port}, 65536 * ports * weight))
    number, _, (kind, code) = ICMP[family]
    (other,) = set(protocol_names.ICMP_OF.values()) - {number}
    found.append(({"protocol": number, "icmp": (kind, code)}, 1))
    found.append(({"protocol": number, "icmp": (3, 1)}, 65535))
    found.append(({"protocol": other, "icmp": (3, 1)}, 65536))
    found.append(({"protocol": GRE}, 1))
    found.append(({"protocol": 253}, OTHER_PROTOCOLS - 1))
    return tuple(found)


class Universe:
    """All packets of a family's small space: each header with every state, interface and mark."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.headers = tuple(headers(family))
        ways = [
            {"state": state, "in_interface": name, "mark": mark}
            for state, name, mark in product(STATES, INTERFACES, MARKS)
        ]
        self.packets = [made(each.packet, **way) for each in self.headers for way in ways]
        self.columns = columns_of(self.packets)[0]
        self._shape = (len(self.headers), len(ways))

    def count(self, rows: BoolColumn) -> int:
        """Return the number of headers that the selected packets represent."""
        there = rows.reshape(self._shape).any(axis=1)
        return sum(self.headers[place].weight for place in np.flatnonzero(there).tolist())

    @cache  # noqa: B019 - both universes live as long as the tests
    def meant(self, expression: str) -> BoolColumn:
        """Return the packets for which an expression holds."""
        parsed = parse(expression)
        return np.asarray([bool(holds(parsed, packet)) for packet in self.packets])


@cache
def universe(family: Family) -> Universe:
    """Return the universe of a family."""
    return Universe(family)


# Rulesets


class Author:
    """Writes random rulesets, and changes them."""

    def __init__(self, seed: str, family: Family) -> None:
        self.dice = seeded(seed)
        self._family = family

    def ruleset(self) -> dict[str, list[str]]:
        """Return random rules by ``TABLE CHAIN``."""
        chains = {"filter INPUT": 6, "filter A": 4, "filter B": 2}
        if self.dice.random() < 0.2:
            chains["mangle INPUT"] = 2
        return {
            place: [self.rule(place) for _ in range(self.dice.randint(most // 2, most))]
            for place, most in chains.items()
        }

    def changed(self, rules: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return the rules with one to four changes."""
        found = {place: list(lines) for place, lines in rules.items()}
        for _ in range(self.dice.randint(1, 4)):
            place = self.dice.choice(sorted(found))
            lines, at = found[place], self.dice.randint(0, len(found[place]))
            if lines and self.dice.random() < 0.4:
                del lines[min(at, len(lines) - 1)]
            elif lines and self.dice.random() < 0.5:
                lines[min(at, len(lines) - 1)] = self.rule(place)
            else:
                lines.insert(at, self.rule(place))
        return found

    def rule(self, place: str) -> str:
        """Return a random rule for a chain."""
        kinds = self.dice.sample([self._source, self._sink, self._payload, self._state, self._way, self._set], 2)
        some = [kind() for kind in kinds[: self.dice.choice((0, 1, 1, 1, 2, 2))]]
        return " ".join([*some, self._target(place)])

    def _not(self) -> str:
        return "! " if self.dice.random() < 0.25 else ""

    def _source(self) -> str:
        text = BASE[self._family].format(self.dice.choice(HOSTS))
        shift = self.dice.choice((0, 0, 1, 2))
        return f"{self._not()}-s {text}/{(32 if self._family is Family.IPV4 else 128) - shift}"

    def _sink(self) -> str:
        return f"{self._not()}-d {OWN[self._family]}"

    def _payload(self) -> str:
        _, name, kind = ICMP[self._family]
        option = "icmp" if self._family is Family.IPV4 else "icmpv6"
        port, inverted = self.dice.choice(PORTS), self._not()
        return self.dice.choice(
            [
                f"-p tcp -m tcp {inverted}--dport {port}",
                f"-p udp -m udp {inverted}--dport {port}",
                f"-p tcp -m multiport {inverted}--dports 22,80",
                f"-p {name} -m {'icmp6' if option == 'icmpv6' else 'icmp'} {inverted}--{option}-type {kind[0]}/{kind[1]}",
                f"{inverted}-p {self.dice.choice(('tcp', 'udp', name, '47'))}",
            ]
        )

    def _state(self) -> str:
        states = self.dice.choice(("NEW", "ESTABLISHED", "INVALID", "NEW,ESTABLISHED"))
        return f"-m conntrack {self._not()}--ctstate {states}"

    def _way(self) -> str:
        mark = f"-m mark {self._not()}--mark 0x1/0x1"
        return self.dice.choice((f"{self._not()}-i eth1", mark))

    def _set(self) -> str:
        return f"-m set {self._not()}--match-set {self.dice.choice(('some', 'most'))} src"

    def _target(self, place: str) -> str:
        ends = ["-j ACCEPT", "-j DROP", "-j RETURN", "-j MARK --set-xmark 0x1/0x1", "-j MARK --set-xmark 0x0/0x1"]
        if place.startswith("mangle"):
            return self.dice.choice(ends)
        further = {"INPUT": ["-j A", "-g A", "-j B"], "A": ["-j B", "-g B"], "B": []}[place.split()[1]]
        return self.dice.choice([*ends, "-j REJECT", "-j DROP", "-j ACCEPT", *further * 3])

    def sets(self) -> str:
        """Return two sets: ``some`` of the hosts, and ``most`` of them with an exception."""
        base, family = BASE[self._family], "inet" if self._family is Family.IPV4 else "inet6"
        length = 30 if self._family is Family.IPV4 else 126
        lines = [f"create some hash:ip family {family}", f"create most hash:net family {family}"]
        lines += [f"add some {base.format(n)}" for n in self.dice.sample(HOSTS[1:], 2)]
        lines += [f"add most {base.format(0)}/{length}", f"add most {base.format(self.dice.choice(HOSTS))} nomatch"]
        return "".join(f"{line}\n" for line in lines)


def text(rules: Mapping[str, Sequence[str]], policy: str) -> str:
    """Return rules in the form of iptables-save; connection tracking is always on, so there are no fragments."""
    lines = []
    for table in sorted({place.split()[0] for place in rules}):
        chains = [place.split()[1] for place in rules if place.startswith(table)]
        lines.append(f"*{table}")
        lines += (
            f":{name} {(policy if table == 'filter' else 'ACCEPT') if name == 'INPUT' else '-'} [0:0]"
            for name in chains
        )
        lines += (f"-A {name} {line}" for name in chains for line in rules[f"{table} {name}"])
        lines.append("COMMIT")
    tracked = "*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT"
    return "\n".join([*lines, tracked, ""])


def read(rules: str, sets: str, family: Family) -> Ruleset:
    """Parse rules and sets."""
    tables = parse_tables(rules, family=family)
    found = parse_sets(sets)
    return Ruleset(ipv4=tables, sets=found) if family is Family.IPV4 else Ruleset(ipv6=tables, sets=found)


# Brute force


class Force:
    """Verdicts and deciders of all packets of the universe, by evaluating each packet."""

    def __init__(self, ruleset: Ruleset, family: Family) -> None:
        judged = BatchEvaluator(Walker(ruleset), family).judge(universe(family).columns, Hook.INPUT)
        self.verdicts, self.deciders = judged.verdicts, judged.deciders
        self._ends = judged.ends

    def decider(self, place: int) -> Decision | None:
        """Return the decision at an index of ``deciders``; None if there is none."""
        end: TableEnd | None = self._ends[place] if place >= 0 else None
        return end.decision if end else None

    def gets(self, verdict: Verdict) -> BoolColumn:
        """Return the packets that get a verdict."""
        found: BoolColumn = self.verdicts == VERDICTS.index(verdict)
        return found
