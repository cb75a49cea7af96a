"""Matches that count: which packets of a sequence they hold for, as the kernel counts."""

import pytest

from engine.rulesets.model import Hook
from simulator.context import PacketContext
from simulator.netfilter import Walker
from tests.support.packets.packet_builders import chain, filtering, match, packet, rule


@pytest.mark.parametrize(
    "every,first,negated,held",
    [(2, 0, False, "1010"), (2, 1, False, "0101"), (3, 0, False, "1001"), (3, 1, False, "0100"), (3, 1, True, "1011")],
)
def test_nth_holds_from_the_packet_that_is_asked_for(every: int, first: int, held: str, *, negated: bool) -> None:
    """Packet 0 of every n-th is the first that comes, and not the last of a round."""
    counted = (
        match("statistic", "mode", "nth"),
        match("statistic", "every", str(every), negated=negated),
        match("statistic", "packet", str(first)),
    )
    walker, around = Walker(filtering(chain("INPUT", rule("DROP", *counted), policy="ACCEPT"))), PacketContext()
    found = [walker.verdict(packet(), Hook.INPUT, around).trace for _ in held]
    assert "".join("1" if steps else "0" for steps in found) == held
