"""Converts address blocks with exceptions to entries of a ``hash:net`` set that matches the union of the blocks.

Input: `AddressBlock` values (a network without some of its parts) and a `Family`. Output: `PrefixEntry` values, sorted.
In a ``hash:net`` set the most specific entry decides, and it may be an exception (``nomatch``). An exception of one
block may lie inside another block. So it becomes a ``nomatch`` entry only if no other block covers it.

Source: ipset(8), hash:net and ``nomatch``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from engine.ip_types import Network
from engine.rulesets.model import Family


@dataclass(frozen=True, slots=True)
class AddressBlock:
    """Addresses of ``network`` without those of the networks in ``excepted``, all inside it."""

    network: Network
    excepted: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class PrefixEntry:
    """A prefix, and whether addresses for which it is the most specific entry match."""

    network: Network
    matches: bool = True


def family_of(network: Network) -> Family:
    """Return the family of a network."""
    return Family.IPV4 if isinstance(network, IPv4Network) else Family.IPV6


def entries(blocks: Iterable[AddressBlock], family: Family) -> tuple[PrefixEntry, ...]:
    """Return the entries of a longest-prefix set for the union of the blocks of one family, sorted.

    No entry is ``/0``, which ``hash:net`` cannot hold: such a block becomes two halves.
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
        outer = list(enclosing_prefixes(prefix, lengths, network.max_prefixlen))
        covered = any(_covers(block, network) for each in outer for block in by_prefix.get(each, ()))
        surroundings = next((kept[each] for each in outer if each in kept), False)
        # A declared block always gets its entry, even inside another, so that adding one block adds one entry.
        if covered != surroundings or (covered and prefix in by_prefix):
            kept[prefix] = covered
    return tuple(PrefixEntry(named[prefix], matches) for prefix, matches in kept.items())


Prefix = tuple[int, int]
"""First address and prefix length; compares and hashes much faster than ``ipaddress`` networks."""


def prefix_of(network: Network) -> Prefix:
    """Return a network as a prefix."""
    return (int(network.network_address), network.prefixlen)


def enclosing_prefixes(prefix: Prefix, lengths: Sequence[int], width: int) -> Iterator[Prefix]:
    """Yield the prefix itself and its enclosing prefixes of the given lengths, in their order."""
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
    """Return whether a prefix equals or lies inside another; addresses have ``width`` bits."""
    shift = width - outer[1]
    return inner[1] >= outer[1] and inner[0] >> shift == outer[0] >> shift


def single_address(address: str) -> AddressBlock:
    """Return the block of one address; the text must be valid."""
    return AddressBlock(ip_network(address))


def sorted_blocks(blocks: Iterable[AddressBlock]) -> tuple[AddressBlock, ...]:
    """Return the blocks without duplicates in canonical order, IPv4 first."""
    by_order = {block_order(block): block for block in blocks}
    return tuple(by_order[order] for order in sorted(by_order))


def block_order(block: AddressBlock) -> tuple[int, tuple[int, int], tuple[tuple[int, int], ...]]:
    """Return the sort key of a block."""
    return (block.network.version, prefix_of(block.network), tuple(prefix_of(net) for net in block.excepted))
