"""Unions of blocks, as entries of a longest-prefix set."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ip_types import Network
from engine.objects import IPBlock
from engine.policy.prefix_sets import AddressBlock, PrefixEntry, entries, sorted_blocks
from engine.rulesets.model import Family
from tests.support.policies.object_strategies import networks
from tests.support.rulesets.ruleset_builders import block, blocks

WIDTH = {Family.IPV4: 32, Family.IPV6: 128}
FAMILIES = st.sampled_from(Family)


def held(network: Network, address: int) -> bool:
    """Whether an address is in a network."""
    return int(network.network_address) <= address <= int(network.broadcast_address)


def naive(found: list[AddressBlock], address: int) -> bool:
    """The meaning of blocks: in one of them and in none of its exceptions."""
    return any(held(b.network, address) and not any(held(net, address) for net in b.excepted) for b in found)


def looked_up(found: tuple[PrefixEntry, ...], address: int) -> bool:
    """What a ``hash:net`` set answers: its most specific entry decides."""
    holding = [entry for entry in found if held(entry.network, address)]
    return bool(holding) and max(holding, key=lambda entry: entry.network.prefixlen).matches


def boundaries(found: list[AddressBlock], family: Family) -> set[int]:
    """The first and last address of every named network and their neighbours."""
    named = [net for b in found for net in (b.network, *b.excepted)]
    edges = {int(edge) for net in named for edge in (net.network_address, net.broadcast_address)}
    return {near for edge in edges for near in (edge - 1, edge, edge + 1) if 0 <= near < 1 << WIDTH[family]}


@given(FAMILIES.flatmap(lambda f: st.tuples(st.just(f), st.lists(blocks(f), max_size=6))), st.data())
def test_the_longest_prefix_answers_as_the_union(drawn: tuple[Family, list[AddressBlock]], data: st.DataObject) -> None:
    """The most specific entry says of every address whether the union of the blocks holds it."""
    family, found = drawn
    made = entries(found, family)
    random = data.draw(st.lists(st.integers(0, (1 << WIDTH[family]) - 1), max_size=8))
    for address in {*boundaries(found, family), *random, 0, (1 << WIDTH[family]) - 1}:
        assert looked_up(made, address) == naive(found, address)


@given(FAMILIES.flatmap(lambda f: st.tuples(st.just(f), st.lists(blocks(f), max_size=6))), st.randoms())
def test_entries_fit_a_set(drawn: tuple[Family, list[AddressBlock]], random: Random) -> None:
    """No entry is ``/0``, no network stands twice, and the order of the blocks says nothing."""
    family, found = drawn
    made = entries(found, family)
    assert all(entry.network.prefixlen for entry in made)
    assert len({entry.network for entry in made}) == len(made)
    random.shuffle(found)
    assert entries(found, family) == made


@given(st.lists(blocks(Family.IPV4), max_size=6))
def test_one_more_block_is_one_more_entry(drawn: list[AddressBlock]) -> None:
    """A block apart from all others adds exactly its own entry."""
    found = [each for each in drawn if each.network.prefixlen > 2]
    more = block("203.0.113.0/24")
    before, after = (set(entries(b, Family.IPV4)) for b in (found, [*found, more]))
    assert after - before == {PrefixEntry(more.network)}
    assert before <= after


def test_one_more_block_inside_another_is_one_more_entry() -> None:
    """A block inside another one adds exactly its own entry too."""
    outer, inner = block("10.0.0.0/8"), block("10.1.0.0/16")
    assert entries([outer, inner], Family.IPV4) == (PrefixEntry(outer.network), PrefixEntry(inner.network))


@pytest.mark.parametrize(
    "family,whole,halves",
    [(Family.IPV4, "0.0.0.0/0", ("0.0.0.0/1", "128.0.0.0/1")), (Family.IPV6, "::/0", ("::/1", "8000::/1"))],
)
def test_everything_is_two_halves(family: Family, whole: str, halves: tuple[str, str]) -> None:
    """All addresses of a family enter as two halves, which a set can hold."""
    assert entries([block(whole)], family) == tuple(PrefixEntry(ip_network(half)) for half in halves)


def test_half_of_everything_may_be_excepted() -> None:
    """An exception that is one of the two halves leaves the other."""
    assert entries([block("0.0.0.0/0", "128.0.0.0/1")], Family.IPV4) == (PrefixEntry(ip_network("0.0.0.0/1")),)


def test_an_exception_of_one_block_may_be_in_another() -> None:
    """What one block excepts and another declares is held."""
    made = entries([block("10.0.0.0/8", "10.1.0.0/16"), block("10.1.2.0/24")], Family.IPV4)
    answers = [looked_up(made, int(ip_address(text))) for text in ("10.0.0.1", "10.1.0.1", "10.1.2.1", "10.2.0.1")]
    assert answers == [True, False, True, True]


def test_blocks_of_another_family_are_left_out() -> None:
    """Each family has its own entries."""
    assert entries([block("fd00::/8")], Family.IPV4) == ()


def test_blocks_are_sorted_without_repetition() -> None:
    """Equal blocks stand once, IPv4 first."""
    a, b, c = block("fd00::/8"), block("10.0.0.0/8"), block("10.0.0.0/8", "10.1.0.0/16")
    assert sorted_blocks([a, c, b, a]) == (b, c, a)


@given(networks())
def test_a_block_is_read_as_the_library_reads_it(network: IPv4Network | IPv6Network) -> None:
    """The quick way to a network leads to the same."""
    assert IPBlock(cidr=str(network)).network == network
