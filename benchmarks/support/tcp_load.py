"""Servers in network namespaces, each behind a ruleset, and one client that measures them in turn over veth.

A turn lasts a fraction of a second. All turns run on one processor, because waking another one costs more than any
rule. The client is the C program crr.c, which this module compiles.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters import wiring
from adapters.lab.netns import Namespaces
from adapters.netfilter.backend_name import BackendName
from benchmarks.support.clusters import NODE, node_of
from engine.events import declaration_of
from engine.policy.completed_rules import CompletedRule
from engine.policy.resolve import resolve
from engine.reconcile.refusals import apply_unchecked
from engine.rulesets.model import Family, Ruleset
from engine.state.fold import ClusterState, evolve

SERVERS = ("first", "second", "third", "fourth")
CLIENTS = tuple(
    network for number in range(len(SERVERS)) for network in (f"192.168.{200 + number}.2/32", f"fd01:{number}::/64")
)
"""Source addresses of the client."""

ROUNDS, SECONDS = 60, 0.05


class Lacking(Exception):
    """Raised if a program that the measurement needs is missing."""


class Wire:
    """Namespaces and load program, while the context of :func:`joined` is entered."""

    def __init__(self, program: Path, netns: Mapping[str, str]) -> None:
        self._program = program
        self._netns = netns

    def rates(
        self,
        backend: BackendName,
        rulesets: Sequence[Ruleset],
        port: int,
        kind: str = "crr",
        family: Family = Family.IPV4,
    ) -> list[list[float]]:
        """Return the rates that crr.c measures: one list per round, with one rate per ruleset.

        Each ruleset is loaded in a server of its own, so there may be at most as many as `SERVERS`.
        """
        servers = SERVERS[: len(rulesets)]
        kernels = [wiring.kernel(self._netns[server], backend) for server in servers]
        for kernel, ruleset in zip(kernels, rulesets, strict=True):
            apply_unchecked(ruleset, kernel)
        with ExitStack() as stack:
            addresses = [_address(number, family) for number in range(len(servers))]
            for server, address in zip(servers, addresses, strict=True):
                stack.enter_context(self._serving(server, address, port))
            rounds = self._asked(port, kind, addresses)
        for kernel in kernels:
            apply_unchecked(Ruleset(), kernel)
        return rounds

    @contextmanager
    def _serving(self, server: str, address: str, port: int) -> Iterator[None]:
        words = [*self._on_one_processor(server), "serve", address, str(port)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            try:
                if process.stdout is not None:
                    process.stdout.readline()
                yield
            finally:
                process.kill()

    def _asked(self, port: int, kind: str, addresses: Sequence[str]) -> list[list[float]]:
        words = [*self._on_one_processor("client"), kind, str(port), str(SECONDS), str(ROUNDS), *addresses]
        printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600).stdout
        return [[float(word) for word in line.split()] for line in printed.splitlines()]

    def _on_one_processor(self, host: str) -> list[str]:
        return ["ip", "netns", "exec", self._netns[host], "taskset", "-c", "0", str(self._program)]


@contextmanager
def joined() -> Iterator[Wire]:
    """Create network namespaces of servers, each joined to the client's by veth.

    Raises:
        Lacking: there is no C compiler.
    """
    names = ("client", *SERVERS)
    with TemporaryDirectory() as folder, Namespaces(names) as made:
        program = _built(Path(folder))
        made.batch(["link set lo up"], "client")
        for number, server in enumerate(SERVERS):
            made.batch(["link set lo up", f"link add wire type veth peer name {server} netns {made['client']}"], server)
            for host, within, wire in ((1, server, "wire"), (2, "client", server)):
                made.batch(
                    [
                        f"addr add 192.168.{200 + number}.{host}/24 dev {wire}",
                        f"addr add fd01:{number}::{host}/64 dev {wire} nodad",
                        f"link set {wire} up",
                    ],
                    within,
                )
        yield Wire(program, {name: made[name] for name in names})


def static_rules() -> list[CompletedRule]:
    """Return the rules of a node without any policy."""
    return list(resolve(evolve(ClusterState(), declaration_of(node_of(0))), NODE))


def _built(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Lacking("there is no C compiler")
    program = folder / "crr"
    source = Path(__file__).with_name("crr.c")
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def _address(number: int, family: Family) -> str:
    return f"192.168.{200 + number}.1" if family is Family.IPV4 else f"fd01:{number}::1"
