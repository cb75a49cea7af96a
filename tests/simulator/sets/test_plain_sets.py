"""Sets in which nothing but an address is looked up, as most are, take a short way to the same answer."""

from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Family, IpSet
from simulator.context import PacketContext
from simulator.matches import compile_matches
from simulator.packets import Packet
from simulator.sets import read_set
from simulator.sets.dynamic import SetChanges
from tests.support.packets.field_edges import packets, sets
from tests.support.packets.packet_builders import match


@given(sets(Family.IPV4) | sets(Family.IPV6), st.sampled_from(("src", "dst")), st.lists(packets(), max_size=20))
def test_the_short_way_gives_the_same_answer(found: tuple[IpSet, ...], side: str, seen: list[Packet]) -> None:
    """What is found in a set as it was saved is found as well where the search minds that packets may change it."""
    known = {ipset.name: read_set(ipset) for ipset in found}
    for family in Family:
        for name, flags in ((name, flags) for name in known for flags in ((), (match("set", "return-nomatch"),))):
            (test,) = compile_matches((match("set", "match-set", name, side), *flags), family, known)
            assert test.weigh is not None
            for packet in (each for each in seen if each.family is family):
                touched = PacketContext()
                touched.memory.cell(("set", name), SetChanges())
                assert test.weigh(packet, PacketContext()) == test.weigh(packet, touched), (name, packet.words)
