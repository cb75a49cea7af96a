"""Benchmark of the cost of rules for packets on veth: connections, requests and bits, both layouts and backends.

Clients ask servers through rules of which the last decides. Results are medians of ratios to a Node that has only the
static rules in the same round; a second such Node shows the accuracy.
"""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from adapters.netfilter.backend_name import BackendName
from benchmarks.support.tcp_load import CLIENTS, Lacking, Wire, joined, static_rules
from engine.compiler import DEFAULT_OPTIONS, Layout, compile_rules
from engine.policy.completed_rules import Action, CompletedRule, Direction, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.rulesets.model import Family

COUNTS = (100, 1_000, 5_000)
WANTED = {100: 0.98, 1_000: 0.96, 5_000: 0.96}
FIGURE = (0, 50, 100, 500, 1_000, 5_000)
"""Numbers of rules in the figure of Antrea issue 5671, and a few more."""

ROWS = (*((name, Family.IPV4) for name in ("W1", "W2", "W3", "W4")), ("W4", Family.IPV6))

_ME = tuple(AddressBlock(ip_network(network)) for network in CLIENTS)
_KINDS = {"bit rate": "stream", "TCP_RR": "rr", "TCP_CRR": "crr"}


@dataclass(frozen=True, slots=True)
class Workload:
    """Rules of policies, the last of which decides about the client's packets, and the port that is used."""

    rules: tuple[CompletedRule, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Ratios:
    """Median rates relative to the static rules alone.

    Attributes:
        again: The static rules again, which shows the accuracy.
        linear: The linear layout.
        optimised: The optimised layout.
    """

    again: float
    linear: float
    optimised: float


def main() -> None:
    """Print ratios by workload, number of rules and backend, and draw the figure of the issue."""
    print("packet path: through so many rules, relative to the static rules alone (medians of interleaved rounds)")
    try:
        with joined() as wire:
            for backend in (BackendName.NFT, BackendName.LEGACY):
                for name, family in ROWS:
                    for count in COUNTS:
                        found = measured(wire, backend, workload(name, count), family=family)
                        print(
                            f"  {backend:7} {name} {family:4} {count:5,} rules: TCP_CRR optimised "
                            f"{found.optimised:.3f}   (wanted: {WANTED[count]}), linear {found.linear:.3f}, "
                            f"static once more {found.again:.3f}"
                        )
            _figure(wire)
    except Lacking as error:
        print(f"  left out: {error}")


def _figure(wire: Wire) -> None:
    """Measure and draw the issue's figure: the linear layout, which the issue uses, and the optimised layout."""
    found: dict[str, dict[str, list[float]]] = {}
    for title, kind in _KINDS.items():
        ratios = [measured(wire, BackendName.NFT, workload("W1", count), kind) for count in FIGURE]
        found[title] = {
            "linear": [each.linear for each in ratios],
            "optimised": [each.optimised for each in ratios],
        }
        for layout, some in found[title].items():
            shown = "  ".join(f"{count:,}: {ratio:.3f}" for count, ratio in zip(FIGURE, some, strict=True))
            print(f"  {title:8} {layout:9} {shown}")
    _drawn(found)


def _drawn(found: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only this function needs this extra
    except ModuleNotFoundError:
        print("  no figure: pip install 'nodewall[figures]'")
        return
    figure = Figure(figsize=(12, 4), layout="constrained")
    for place, (title, by_layout) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(1, len(found), place)
        for layout, ratios in by_layout.items():
            axes.plot([str(count) for count in FIGURE], ratios, marker="o", label=layout)
        axes.set(title=title, xlabel="rules", ylabel="relative to static rules", ylim=(0, 1.15))
        axes.legend()
    figure.savefig("packet_path.png", dpi=120)
    print("  drawn: packet_path.png")


def measured(
    wire: Wire, backend: BackendName, work: Workload, kind: str = "crr", family: Family = Family.IPV4
) -> Ratios:
    """Return the median ratios to the static rules."""
    static = static_rules()
    layouts = [
        compile_rules([*static, *work.rules], replace(DEFAULT_OPTIONS, layout=layout))
        for layout in (Layout.LINEAR, Layout.OPTIMISED)
    ]
    rounds = wire.rates(backend, [compile_rules(static), compile_rules(static), *layouts], work.port, kind, family)
    return Ratios(*(statistics.median(rates[number] / rates[0] for rates in rounds) for number in (1, 2, 3)))


# Workloads


def workload(name: str, count: int) -> Workload:
    """Return ``count`` rules of a workload.

    W1: each rule has its own port and sources. W2: one port, own sources, Allow and Drop in turn. W3: like W2 without
    ports. W4: a typical cluster, see :func:`_mixed`.
    """
    if name == "W4":
        return _mixed(count)
    rules = []
    for number in range(count):
        port = {"W1": (20_000 + number,), "W2": (7_000,)}.get(name, ())
        services = tuple(Traffic(Protocol.TCP, (each, each)) for each in port)
        last = number == count - 1
        action = Action.DROP if name != "W1" and number % 2 == 0 and not last else Action.ALLOW
        rules.append(_rule(number, action, (*_sources(number), *(_ME if last else ())), services))
    return Workload(tuple(rules), {"W1": 20_000 + max(count - 1, 0)}.get(name, 7_000))


def _mixed(count: int) -> Workload:
    """Return a mixed workload of TCP, UDP and ICMP, drawn at random.

    Blocked networks and administrators come first, then services for some clients or for all.
    """
    dice, rules = random.Random(5671), list[CompletedRule]()  # noqa: S311 - not for secrets
    for number in range(count - 1):
        share, sources = number / count, _sources(number)
        ports = tuple(
            Traffic(dice.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP)), (port, port))
            for port in sorted({1_000 + dice.randrange(2_000) for _ in range(dice.randint(1, 2))})
        )
        first = 30_000 + 8 * dice.randrange(2_000)
        if share < 0.05:
            rules.append(_rule(number, Action.DROP if share < 0.03 else Action.ALLOW, sources, ()))
        elif (kind := dice.random()) < 0.75:
            rules.append(_rule(number, Action.ALLOW, sources, ports))
        elif kind < 0.9:
            rules.append(_rule(number, Action.DROP if kind < 0.85 else Action.REJECT, sources, ports))
        elif kind < 0.98:
            rules.append(_rule(number, Action.ALLOW, None, (Traffic(Protocol.TCP, (first, first + 7)),)))
        else:
            rules.append(_rule(number, Action.ALLOW, sources, (Traffic(Protocol.ICMP, icmp=(8, -1)),)))
    rules.append(_rule(count - 1, Action.ALLOW, _ME, (Traffic(Protocol.TCP, (2_500, 2_500)),)))
    return Workload(tuple(rules), 2_500)


def _sources(number: int) -> tuple[AddressBlock, ...]:
    four = f"10.{number >> 8}.{number & 255}"
    return (
        *(AddressBlock(ip_network(f"{four}.{host}/32")) for host in range(1, 5)),
        AddressBlock(ip_network(f"fd00:{number:x}::/64")),
    )


def _rule(
    number: int, action: Action, peers: tuple[AddressBlock, ...] | None, services: tuple[Traffic, ...]
) -> CompletedRule:
    name = f"policy-{number:05}"
    return CompletedRule(name, "r", Rank(50, float(number), name, 0), Direction.INGRESS, action, peers, services)
