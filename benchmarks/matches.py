"""Benchmark of the cost per packet of each kind of rule that does not match, by backend.

The first packet of a connection meets all rules. The extra time per connection is divided by the number of rules.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from math import log

from adapters.netfilter.backend_name import BackendName
from benchmarks.support.tcp_load import SERVERS, Lacking, Wire, joined, static_rules
from engine.compiler import compile_rules
from engine.compiler.optimised.port_tree import FANOUT, MAX_LEAF_CELLS
from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target

PORT = 7_000
MANY = 200
SHAPES = ((4, 4), (8, 4), (16, 4), (32, 4), (64, 4), (16, 2), (16, 8), (16, 16))
"""Shapes of a port tree: the most cells of a port range that is not split, and the number of parts of a split."""

PORTS = (100, 1_000, 5_000)

_TCP = Match("", "protocol", ("tcp",))


def main() -> None:
    """Print nanoseconds of each kind of rule, and the resulting costs of port trees."""
    print(f"matches: what a rule costs a packet that goes by (medians, of {MANY} rules)")
    try:
        with joined() as wire:
            for backend in (BackendName.NFT, BackendName.LEGACY):
                _shown(backend, _costs(wire, backend))
    except Lacking as error:
        print(f"  left out: {error}")


def _shown(backend: BackendName, costs: Mapping[str, float]) -> None:
    for name, nanoseconds in costs.items():
        print(f"  {backend:7} {name:28} {nanoseconds:6.1f} ns")
    for ports in PORTS:
        by_shape = "  ".join(f"{'x'.join(map(str, shape))}: {_of_tree(ports, *shape, costs):5.0f}" for shape in SHAPES)
        print(
            f"  {backend:7} a tree over {ports:5,} ports by shape, in ns (taken: {MAX_LEAF_CELLS}x{FANOUT})  {by_shape}"
        )


def _of_tree(ports: int, fewest: int, fanout: int, costs: Mapping[str, float]) -> float:
    """Return the average nanoseconds of a packet in a port tree: half of the rules of each chain on its path.

    A chain of cells has ``fewest`` of them on average, because ranges of up to ``fanout`` times as many are split.
    """
    levels = log(max(1.0, ports / fewest), fanout)
    inner = (fanout + 1) / 2 * costs["a range of ports"] + costs["a chain and back"]
    return min(fewest, ports) / 2 * costs["a port"] + levels * inner


def _costs(wire: Wire, backend: BackendName) -> dict[str, float]:
    """Return the nanoseconds per rule, by kind of rule."""
    kinds: dict[str, Callable[[], Ruleset]] = {
        "a port": lambda: _with([Rule((_TCP, Match("tcp", "dport", ("1",))), Target("DROP"))] * MANY),
        "a range of ports": lambda: _with([Rule((_TCP, Match("tcp", "dport", ("1:2",))), Target("DROP"))] * MANY),
        "a chain and back": _hops,
        "a set of 1,000": lambda: _with(_look_ups("few"), _set("few", 1_000)),
        "a set of 100,000": lambda: _with(_look_ups("many"), _set("many", 100_000)),
        "a set of 24 lengths": lambda: _with(_look_ups("deep"), _deep()),
    }
    found: dict[str, float] = {}
    names = list(kinds)
    for begin in range(0, len(names), len(SERVERS) - 1):
        some = names[begin : begin + len(SERVERS) - 1]
        rounds = wire.rates(backend, [compile_rules(static_rules()), *(kinds[name]() for name in some)], PORT)
        for number, name in enumerate(some, start=1):
            found[name] = statistics.median(1 / rates[number] - 1 / rates[0] for rates in rounds) / MANY * 1e9
    return found


def _with(rules: list[Rule], *sets: IpSet, chains: tuple[Chain, ...] = ()) -> Ruleset:
    """Return the static ruleset with more rules at the end of the input chain, and with these sets and chains."""
    ruleset = compile_rules(static_rules())
    (table,) = ruleset.ipv4
    longer = (replace(c, rules=(*c.rules, *rules)) if c.name == "NW-INPUT" else c for c in table.chains)
    return replace(ruleset, ipv4=(Table(table.name, (*longer, *chains)),), sets=sets)


def _hops() -> Ruleset:
    """Return rules that each jump to an empty chain of their own, which returns.

    The chains are not nested, because nf_tables allows at most 16 nested jumps.
    """
    names = [f"NW-HOP-{number}" for number in range(MANY)]
    return _with([Rule((), Target(name)) for name in names], chains=tuple(map(Chain, names)))


def _look_ups(name: str) -> list[Rule]:
    return [Rule((Match("set", "match-set", (f"nw-4-{name}", "src")),), Target("DROP"))] * MANY


def _set(name: str, count: int) -> IpSet:
    """Return a set of ``count`` addresses, none of which a benchmark host has."""
    first = int(ip_address("10.0.0.0"))
    members = tuple(sorted((str(ip_address(first + number)),) for number in range(count)))
    return IpSet(f"nw-4-{name}", "hash:net", Family.IPV4, members, (("maxelem", "1048576"),))


def _deep() -> IpSet:
    """Return a set of networks of 24 prefix lengths, in none of which a benchmark host is."""
    first = int(ip_address("10.0.0.0"))
    members = tuple(sorted((f"{ip_address(first)}/{length}",) for length in range(8, 32)))
    return IpSet("nw-4-deep", "hash:net", Family.IPV4, members, (("maxelem", "1048576"),))
