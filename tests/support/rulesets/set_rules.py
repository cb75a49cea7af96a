"""Rules on sets, from their text to what becomes of packets, for the simulator's tests."""

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
    """Return a packet that arrives: to port 22 if its protocol has ports, by TCP if none is told."""
    told = dict(word.split("=") for word in words.split()).get("proto", "tcp")
    ports = " sport=40000 dport=22" if protocol_names.protocol_number(told) in protocol_names.PORT_PROTOCOLS else ""
    return packet(f"{HERE} {words}", f"src=10.0.0.1 dst=10.0.0.2 proto=tcp{ports}")


class Rules:
    """Rules of the filter table's input and sets, asked by one packet after the other."""

    def __init__(self, sets: str, *rules: str) -> None:
        """Make them ready, in IPv6 where the first set is of it."""
        tables = parse_tables(
            "\n".join(("*filter", ":INPUT ACCEPT", *(f"-A INPUT {rule}" for rule in rules), "COMMIT"))
        )
        found = parse_sets(sets)
        v6 = found[0].family is Family.IPV6
        self._walker = Walker(Ruleset(() if v6 else tables, tables if v6 else (), found))
        self._around = PacketContext()

    def answer(self, seen: Packet) -> Evaluation:
        """Return what becomes of a packet at its input."""
        return self._walker.verdict(seen, Hook.INPUT, self._around)

    def drops(self, words: str = "", at: float | None = None) -> bool:
        """Return whether a packet of these words is dropped, and nothing had to be assumed not to match."""
        answer = self.answer(replace(seen(words), time=at))
        assert not any("assumed" in what for what in answer.assumptions), answer.assumptions
        return answer.verdict is Verdict.DROP
