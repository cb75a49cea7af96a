"""Unions of address blocks with exceptions, as the fewest stable entries a longest-prefix set needs.

A ``hash:net`` set answers with its most specific entry, which may say *no match*. Entering every block and every
exception as declared would be wrong where an exception of one block lies inside another block; so each prefix that
anybody named is asked whether the union covers it, and is entered only where its surroundings answer differently.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from engine.ruleset import Family

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Block:
    """The addresses of ``network`` without those of every network in ``excepted``, which lie inside it."""

    network: Network
    excepted: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A prefix, and whether the addresses it is the most specific entry for match."""

    network: Network
    matches: bool = True


def family_of(network: Network) -> Family:
    """Return the family of a network."""
    return Family.IPV4 if isinstance(network, IPv4Network) else Family.IPV6


def entries(blocks: Iterable[Block], family: Family) -> tuple[Entry, ...]:
    """Return the entries of a longest-prefix set for the union of the blocks of one family, sorted.

    No entry is ``/0``, which ``hash:net`` cannot hold: such a block enters as its two halves.
    """
    ours = [half for block in blocks if family_of(block.network) is family for half in _halved(block)]
    by_network: dict[Network, list[Block]] = defaultdict(list)
    for block in ours:
        by_network[block.network].append(block)
    named = sorted({*by_network, *(net for block in ours for net in block.excepted)}, key=_order)
    kept: dict[Network, bool] = {}
    for network in named:
        covered = any(_covers(block, network) for up in _upward(network) for block in by_network.get(up, ()))
        surroundings = next((kept[up] for up in _upward(network) if up in kept), False)
        # A declared block always gets its entry, even inside another, so that adding one block adds one entry.
        if covered != surroundings or (covered and network in by_network):
            kept[network] = covered
    return tuple(Entry(network, matches) for network, matches in kept.items())


def _order(network: Network) -> tuple[int, int]:
    return (int(network.network_address), network.prefixlen)


def _halved(block: Block) -> Iterator[Block]:
    if block.network.prefixlen:
        yield block
        return
    for half in block.network.subnets():
        inside = tuple(net for net in block.excepted if net.prefixlen and _contains(half, net))
        yield Block(half, inside)


def _upward(network: Network) -> Iterator[Network]:
    # Walks outward through every prefix length, so a look-up costs 32 or 128 steps however many entries there are.
    value, width = int(network.network_address), network.max_prefixlen
    for length in range(network.prefixlen, 0, -1):
        yield _prefix(value >> (width - length) << (width - length), length, width)


def _prefix(value: int, length: int, width: int) -> Network:
    return IPv4Network((value, length)) if width == 32 else IPv6Network((value, length))


def _covers(block: Block, network: Network) -> bool:
    return not any(_contains(excepted, network) for excepted in block.excepted)


def _contains(outer: Network, inner: Network) -> bool:
    shift = outer.max_prefixlen - outer.prefixlen
    same = int(outer.network_address) >> shift == int(inner.network_address) >> shift
    return same and inner.prefixlen >= outer.prefixlen


def single(address: str) -> Block:
    """Return the block of one address, given as text that is known to be one."""
    return Block(ip_network(address))


def sorted_blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Return the blocks without repetition, IPv4 first, in an order that does not depend on theirs."""
    return tuple(sorted(set(blocks), key=_block_order))


def _block_order(block: Block) -> tuple[int, tuple[int, int], tuple[tuple[int, int], ...]]:
    return (block.network.version, _order(block.network), tuple(_order(net) for net in block.excepted))
