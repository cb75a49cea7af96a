"""Rules on sets, parsed from text and evaluated on packets, for the simulator's tests."""

from dataclasses import replace

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.context import PacketContext
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import Packet, protocol_names
from tests.support.packets.packet_builders import packet

MAC = "02:00:00:00:00:01"
HERE = "in=eth0"


def seen(words: str = "") -> Packet:
    """Return an incoming packet; the default is TCP, and protocols with ports go to port 22."""
    told = dict(word.split("=") for word in words.split()).get("proto", "tcp")
    ports = " sport=40000 dport=22" if protocol_names.protocol_number(told) in protocol_names.PORT_PROTOCOLS else ""
    return packet(f"{HERE} {words}", f"src=10.0.0.1 dst=10.0.0.2 proto=tcp{ports}")


class Rules:
    """Rules of the INPUT chain with their sets; all packets share one context."""

    def __init__(self, sets: str, *rules: str) -> None:
        """Parse sets and rules; the family is IPv6 if the first set's is."""
        tables = parse_tables(
            "\n".join(("*filter", ":INPUT ACCEPT", *(f"-A INPUT {rule}" for rule in rules), "COMMIT"))
        )
        found = parse_sets(sets)
        v6 = found[0].family is Family.IPV6
        self._walker = Walker(Ruleset(() if v6 else tables, tables if v6 else (), found))
        self._around = PacketContext()

    def answer(self, seen: Packet) -> Evaluation:
        """Return the evaluation of a packet at INPUT."""
        return self._walker.verdict(seen, Hook.INPUT, self._around)

    def drops(self, words: str = "", at: float | None = None) -> bool:
        """Return True if the packet is dropped; fail if a match had to be assumed."""
        answer = self.answer(replace(seen(words), time=at))
        assert not any("assumed" in what for what in answer.assumptions), answer.assumptions
        return answer.verdict is Verdict.DROP
