"""What rules cost a packet: connections, requests and bits on veth through many rules, in both layouts and backends.

A server in one namespace is asked from another, through rules of which the last one decides on it. Three rulesets (the
static rules alone, and the policies' in either layout) take turns in every round, and what is printed are medians of
ratios to the static rules of the same round. The program that connects is crr.c, built here.
"""

import random
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters import wiring
from adapters.kernel import Backend, NetfilterKernel
from adapters.lab import Namespaces
from benchmarks.worlds import NODE, node_of
from engine.addresses import Block
from engine.compiler import DEFAULT_OPTIONS, Layout, compile_rules
from engine.diff import diff
from engine.events import declared
from engine.plan import make_plan
from engine.resolve import resolve
from engine.rules import Action, CompletedRule, Direction, Protocol, Rank, Service
from engine.ruleset import Ruleset
from engine.state import ClusterState, evolve

SERVER, CLIENT = "192.168.200.1", "192.168.200.2"
COUNTS = (100, 1_000, 5_000)
WANTED = {100: 0.98, 1_000: 0.96, 5_000: 0.96}
FIGURE = (0, 50, 100, 500, 1_000, 5_000)
"""Rules of the figure in Antrea issue 5671, and a few more."""

ROUNDS, SECONDS = 6, 0.5
_ME = Block(ip_network(f"{CLIENT}/32"))
_KINDS = {"bit rate": "stream", "TCP_RR": "rr", "TCP_CRR": "crr"}


@dataclass(frozen=True, slots=True)
class Workload:
    """Rules of policies, the last of which decides on the client, and the port that is asked."""

    rules: tuple[CompletedRule, ...]
    port: int


def main() -> None:
    """Print ratios by workload, number of rules and backend, and those of the issue's figure, which is drawn too."""
    print("packet path: through so many rules, relative to the static rules alone (medians of interleaved rounds)")
    with TemporaryDirectory() as folder, suppress(_Lacking):
        program = _built(Path(folder))
        with _pair() as netns:
            for backend in (Backend.NFT, Backend.LEGACY):
                for name in ("W1", "W2", "W3", "W4"):
                    for count in COUNTS:
                        found = _measured(program, netns, backend, workload(name, count), "crr")
                        print(
                            f"  {backend:7} {name} {count:5,} rules: TCP_CRR optimised {found[Layout.OPTIMISED]:.3f}   "
                            f"(wanted: {WANTED[count]}), linear {found[Layout.LINEAR]:.3f}"
                        )
            _figure(program, netns)


class _Lacking(Exception):
    """What is needed to measure is not on this machine."""


def _built(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("  left out: there is no C compiler")
        raise _Lacking
    program = folder / "crr"
    source = Path(__file__).with_name("crr.c")
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def _figure(program: Path, netns: Mapping[str, str]) -> None:
    """Measure what the figure of the issue shows, as the issue lays rules out and as they are here."""
    found: dict[str, dict[Layout, list[float]]] = {}
    for title, kind in _KINDS.items():
        found[title] = {layout: [] for layout in Layout}
        for count in FIGURE:
            ratios = _measured(program, netns, Backend.NFT, workload("W1", count), kind)
            for layout in Layout:
                found[title][layout].append(ratios[layout])
        for layout in Layout:
            shown = "  ".join(f"{n:,}: {r:.3f}" for n, r in zip(FIGURE, found[title][layout], strict=True))
            print(f"  {title:8} {layout:9} {shown}")
    _drawn(found)


def _drawn(found: Mapping[str, Mapping[Layout, Sequence[float]]]) -> None:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - of an extra that only this needs
    except ModuleNotFoundError:
        print("  no figure: pip install 'nodewall[figures]'")
        return
    figure = Figure(figsize=(12, 4), layout="constrained")
    for place, (title, by_layout) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(1, len(found), place)
        for layout, ratios in by_layout.items():
            axes.plot([str(count) for count in FIGURE], ratios, marker="o", label=layout.value)
        axes.set(title=title, xlabel="rules", ylabel="relative to static rules", ylim=(0, 1.15))
        axes.legend()
    figure.savefig("packet_path.png", dpi=120)
    print("  drawn: packet_path.png")


def _measured(
    program: Path, netns: Mapping[str, str], backend: Backend, work: Workload, kind: str
) -> dict[Layout, float]:
    """Return the median ratio of each layout to the static rules."""
    kernel = wiring.kernel(netns["server"], backend)
    rulesets: dict[Layout | None, Ruleset] = {None: compile_rules(_static())}
    for layout in Layout:
        rulesets[layout] = compile_rules([*_static(), *work.rules], replace(DEFAULT_OPTIONS, layout=layout))
    ratios: dict[Layout, list[float]] = {layout: [] for layout in Layout}
    with _serving(program, netns["server"], work.port):
        for number in range(ROUNDS):
            rates: dict[Layout | None, float] = {}
            # Another one first each time, as what was loaded before still costs the one after it.
            turns = [*rulesets.items()]
            for taken, ruleset in turns[number % len(turns) :] + turns[: number % len(turns)]:
                _load(kernel, ruleset)
                rates[taken] = _asked(program, netns["client"], work.port, kind)
            for layout in Layout:
                ratios[layout].append(rates[layout] / rates[None])
    _load(kernel, Ruleset())
    return {layout: statistics.median(some) for layout, some in ratios.items()}


def _load(kernel: NetfilterKernel, wanted: Ruleset) -> None:
    for step in make_plan(diff(kernel.observe(), wanted)).steps:
        kernel.run(step)


@contextmanager
def _serving(program: Path, netns: str, port: int) -> Iterator[None]:
    words = ["ip", "netns", "exec", netns, "taskset", "-c", "0", str(program), "serve", SERVER, str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        try:
            if server.stdout is not None:
                server.stdout.readline()
            yield
        finally:
            server.kill()


def _asked(program: Path, netns: str, port: int, kind: str) -> float:
    words = ["ip", "netns", "exec", netns, "taskset", "-c", "1", str(program), kind, SERVER, str(port), str(SECONDS)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)


@contextmanager
def _pair() -> Iterator[Mapping[str, str]]:
    """Two namespaces joined by veth."""
    with Namespaces(("server", "client")) as made:
        made.batch(
            [
                "link set lo up",
                f"link add wire type veth peer name wire netns {made['client']}",
                f"addr add {SERVER}/24 dev wire",
                "link set wire up",
            ],
            "server",
        )
        made.batch(["link set lo up", f"addr add {CLIENT}/24 dev wire", "link set wire up"], "client")
        yield {name: made[name] for name in ("server", "client")}


# Workloads


def _static() -> list[CompletedRule]:
    return list(resolve(evolve(ClusterState(), declared(node_of(0))), NODE))


def workload(name: str, count: int) -> Workload:
    """Return so many rules of a workload.

    W1: a port and sources of its own each. W2: one port, sources of their own, Allow and Drop in turn. W3: the same
    without ports. W4: what clusters have, see :func:`_mixed`.
    """
    if name == "W4":
        return _mixed(count)
    rules = []
    for number in range(count):
        port = {"W1": (20_000 + number,), "W2": (7_000,)}.get(name, ())
        services = tuple(Service(Protocol.TCP, (each, each)) for each in port)
        last = number == count - 1
        action = Action.DROP if name != "W1" and number % 2 == 0 and not last else Action.ALLOW
        rules.append(_rule(number, action, (*_sources(number), *((_ME,) if last else ())), services))
    return Workload(tuple(rules), {"W1": 20_000 + max(count - 1, 0)}.get(name, 7_000))


def _mixed(count: int) -> Workload:
    """Blocked networks and administrators first, then services for some clients or for all, TCP, UDP and ICMP."""
    dice, rules = random.Random(5671), list[CompletedRule]()  # noqa: S311 - no secret
    for number in range(count - 1):
        share, sources = number / count, _sources(number)
        ports = tuple(
            Service(dice.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP)), (port, port))
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
            rules.append(_rule(number, Action.ALLOW, None, (Service(Protocol.TCP, (first, first + 7)),)))
        else:
            rules.append(_rule(number, Action.ALLOW, sources, (Service(Protocol.ICMP, icmp=(8, -1)),)))
    rules.append(_rule(count - 1, Action.ALLOW, (_ME,), (Service(Protocol.TCP, (2_500, 2_500)),)))
    return Workload(tuple(rules), 2_500)


def _sources(number: int) -> tuple[Block, ...]:
    four = f"10.{number >> 8}.{number & 255}"
    return (
        *(Block(ip_network(f"{four}.{host}/32")) for host in range(1, 5)),
        Block(ip_network(f"fd00:{number:x}::/64")),
    )


def _rule(number: int, action: Action, peers: tuple[Block, ...] | None, services: tuple[Service, ...]) -> CompletedRule:
    name = f"policy-{number:05}"
    return CompletedRule(name, "r", Rank(50, float(number), name, 0), Direction.INGRESS, action, peers, services)
