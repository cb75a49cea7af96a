"""The one place where ports meet their adapters."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

from adapters.administrator import administrators
from adapters.clock import SystemClock, SystemIds
from adapters.eventlog import SqliteLog
from adapters.hostfacts import observe_host
from adapters.invariants import invariants_of
from adapters.kernel import Backend, NetfilterKernel
from adapters.notifications import RuleNotifications
from adapters.process import Hold, SystemRunner
from engine.errors import Fault, Refused
from engine.lifelines import lifelines
from engine.state import ClusterState
from simulator.surroundings import Host

if TYPE_CHECKING:
    from adapters.kubernetes.background import Background
    from adapters.kubernetes.recorder import Recorder
    from adapters.legacyrules import LegacyRules
    from adapters.signing import Signer, Trust
    from simulator.guard import Guard  # which `verifier` imports
    from simulator.headerspace import Budget

LOG_WAIT = 5.0
"""Seconds a writer waits for another to finish with the log."""


def event_log(path: str) -> SqliteLog:
    """Return the event log at a path."""
    return SqliteLog(path, SystemClock(), SystemIds(), wait=LOG_WAIT)


def signer(path: str) -> "Signer":
    """Return the private key in a file; raises as :meth:`adapters.signing.Signer.of`, and without the extra."""
    with _extra("signing"):
        from adapters.signing import Signer  # noqa: PLC0415 - the library is an extra

        return Signer.of(path)


def trust(path: str) -> "Trust":
    """Return the public key in a file; raises as :meth:`adapters.signing.Trust.of`, and without the extra."""
    with _extra("signing"):
        from adapters.signing import Trust  # noqa: PLC0415 - the library is an extra

        return Trust.of(path)


def new_key(path: str) -> str:
    """Make a key; see :func:`adapters.signing.made`."""
    with _extra("signing"):
        from adapters.signing import made  # noqa: PLC0415 - the library is an extra

        return made(path)


def background(path: str, kubeconfig: str | None, context: str | None, dice: Random) -> "Background":
    """Return what records a cluster beside other work; raises as `recorder`."""
    with _extra("kubernetes"):
        from adapters.kubernetes.background import Background  # noqa: PLC0415 - the library is an extra

        return Background(recorder(path, kubeconfig, context, dice))


def recorder(path: str, kubeconfig: str | None, context: str | None, dice: Random) -> "Recorder":
    """Return what records a cluster in a log; raises as :func:`adapters.kubernetes.connection.connect`."""
    with _extra("kubernetes"):
        from adapters.kubernetes.connection import connect  # noqa: PLC0415 - the library is an extra
        from adapters.kubernetes.recorder import Recorder  # noqa: PLC0415 - as above

        return Recorder(connect(kubeconfig, context), event_log(path), "nodewall record", dice)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        expected = f"the extra: pip install 'nodewall[{name}]'"
        raise Refused((Fault("", f"the library {error.name} is not installed", expected),)) from None


def kernel(netns: str = "", backend: Backend = Backend.AUTO, held: Hold | None = None) -> NetfilterKernel:
    """Return the kernel of a network namespace, of the one we are in where none is named; once it is ``held``."""
    return NetfilterKernel(SystemRunner(netns, held), backend)


def rule_changes(backend: Backend, netns: str) -> "RuleNotifications | LegacyRules":
    """Return what tells of changes to the rules of a network namespace, whoever makes them."""
    from adapters.legacyrules import LegacyRules  # noqa: PLC0415 - numpy is slow to import, and agents alone need it

    return RuleNotifications(netns) if backend is Backend.NFT else LegacyRules(netns)


def host(netns: str = "") -> Host:
    """Return the addresses and routes of a network namespace, of the one we are in where none is named."""
    return observe_host(SystemRunner(netns))


def verifier(state: ClusterState, node: str, netns: str, budget: "Budget") -> "Guard":
    """Return the lockout guard of a node; whoever works on it from afar in this namespace is not locked out either."""
    from simulator.guard import Guard  # noqa: PLC0415 - slow to import, and most commands judge no plan

    own = [ip_address(a.address) for a in state.nodes[node].status.addresses if a.is_ip]
    lines = (*lifelines(state, node), *(() if netns else administrators(os.environ)))
    return Guard(lines, own, invariants_of(state.config.guard.invariants), budget)


class SystemStopwatch:
    """Measures stages by the system's monotonic clock; ``seconds`` adds up by stage."""

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        self._now = now
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time spent in the context."""
        start = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start
