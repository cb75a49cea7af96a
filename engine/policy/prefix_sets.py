"""Unions of address blocks with exceptions, as the fewest stable entries a longest-prefix set needs.

A ``hash:net`` set answers with its most specific entry, which may say *no match*. Entering every block and every
exception as declared would be wrong where an exception of one block lies inside another block; so each prefix that
anybody named is asked whether the union covers it, and is entered only where its surroundings answer differently.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from engine.rulesets.model import Family

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class AddressBlock:
    """The addresses of ``network`` without those of every network in ``excepted``, which lie inside it."""

    network: Network
    excepted: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class PrefixEntry:
    """A prefix, and whether the addresses it is the most specific entry for match."""

    network: Network
    matches: bool = True


def family_of(network: Network) -> Family:
    """Return the family of a network."""
    return Family.IPV4 if isinstance(network, IPv4Network) else Family.IPV6


def entries(blocks: Iterable[AddressBlock], family: Family) -> tuple[PrefixEntry, ...]:
    """Return the entries of a longest-prefix set for the union of the blocks of one family, sorted.

    No entry is ``/0``, which ``hash:net`` cannot hold: such a block enters as its two halves.
    """
    ours = [half for block in blocks if family_of(block.network) is family for half in _halved(block)]
    if not any(block.excepted for block in ours):
        networks = {prefix_of(block.network): block.network for block in ours}
        return tuple(PrefixEntry(networks[prefix]) for prefix in sorted(networks))
    by_prefix: dict[Prefix, list[AddressBlock]] = defaultdict(list)
    for block in ours:
        by_prefix[prefix_of(block.network)].append(block)
    named = {
        **{prefix_of(net): net for b in ours for net in b.excepted},
        **{prefix_of(b.network): b.network for b in ours},
    }
    lengths = sorted({length for _, length in named}, reverse=True)
    kept: dict[Prefix, bool] = {}
    for prefix, network in sorted(named.items()):
        outer = list(around(prefix, lengths, network.max_prefixlen))
        covered = any(_covers(block, network) for each in outer for block in by_prefix.get(each, ()))
        surroundings = next((kept[each] for each in outer if each in kept), False)
        # A declared block always gets its entry, even inside another, so that adding one block adds one entry.
        if covered != surroundings or (covered and prefix in by_prefix):
            kept[prefix] = covered
    return tuple(PrefixEntry(named[prefix], matches) for prefix, matches in kept.items())


Prefix = tuple[int, int]
"""A network as its first address and its length, which compare and hash much faster than the library's objects."""


def prefix_of(network: Network) -> Prefix:
    """Return a network as a prefix."""
    return (int(network.network_address), network.prefixlen)


def around(prefix: Prefix, lengths: Sequence[int], width: int) -> Iterator[Prefix]:
    """Yield the prefix and all around it of the given lengths, in their order."""
    value, own = prefix
    for length in lengths:
        if length <= own:
            shift = width - length
            yield (value >> shift << shift, length)


def _halved(block: AddressBlock) -> Iterator[AddressBlock]:
    if block.network.prefixlen:
        yield block
        return
    for half in block.network.subnets():
        inside = tuple(net for net in block.excepted if net.prefixlen and _contains(half, net))
        yield AddressBlock(half, inside)


def _covers(block: AddressBlock, network: Network) -> bool:
    return not any(_contains(excepted, network) for excepted in block.excepted)


def _contains(outer: Network, inner: Network) -> bool:
    return is_within(prefix_of(inner), prefix_of(outer), outer.max_prefixlen)


def is_within(inner: Prefix, outer: Prefix, width: int) -> bool:
    """Return whether a prefix is another, or in it; addresses have ``width`` bits."""
    shift = width - outer[1]
    return inner[1] >= outer[1] and inner[0] >> shift == outer[0] >> shift


def single(address: str) -> AddressBlock:
    """Return the block of one address, given as text that is known to be one."""
    return AddressBlock(ip_network(address))


def sorted_blocks(blocks: Iterable[AddressBlock]) -> tuple[AddressBlock, ...]:
    """Return the blocks without repetition, IPv4 first, in an order that does not depend on theirs."""
    by_order = {block_order(block): block for block in blocks}
    return tuple(by_order[order] for order in sorted(by_order))


def block_order(block: AddressBlock) -> tuple[int, tuple[int, int], tuple[tuple[int, int], ...]]:
    """Return what blocks are sorted by."""
    return (block.network.version, prefix_of(block.network), tuple(prefix_of(net) for net in block.excepted))
