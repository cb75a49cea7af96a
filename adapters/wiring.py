"""Wiring: the one place that chooses an adapter for each interface, such as SQLite for event logs.

Input: a path, a network namespace, or credentials of a cluster. Output: a ready adapter. Heavy libraries are imported
only when a function needs them.

Raises ``Refused`` if an optional dependency (an extra) is not installed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

from adapters.eventlog.sqlite import SqliteLog
from adapters.inputs.invariants_file import invariants_of
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import BACKENDS, RuleWatch, ToolBackend, choose_backend
from adapters.netfilter.hostfacts import observe_host
from adapters.netfilter.ssh_sessions import administrators
from adapters.system.clock import SystemClock, SystemIds
from adapters.system.process import NetnsHold, SystemRunner
from adapters.telemetry.health import HealthCheck
from engine.errors import Fault, Refused
from engine.policy.lifelines import lifelines
from engine.reconcile.log_interfaces import EventLog, RecordedLog
from engine.state.fold import ClusterState
from simulator.context import Host

if TYPE_CHECKING:
    from adapters.eventlog.signing import PublicKey, Signer
    from adapters.kubernetes.admission.webhook import WebhookServer
    from adapters.kubernetes.agent_uplink import AgentUplink
    from adapters.kubernetes.api.api_client import KubernetesApi
    from adapters.kubernetes.api.k8s_events import KubernetesEventRecorder
    from adapters.kubernetes.api.leader_election import Lease
    from adapters.kubernetes.log_recorder import LogRecorder
    from adapters.kubernetes.status_controller import StatusController
    from adapters.telemetry.http import TelemetryServer
    from adapters.telemetry.metrics import NodeMetrics
    from simulator.guard.guard import LockoutGuard  # which `verifier` imports
    from simulator.symbolic import Budget

LOG_WAIT = 5.0
"""Seconds for which a writer waits for another writer to release the log."""


def event_log(path: str) -> EventLog:
    """Return the event log at a path."""
    return SqliteLog(path, SystemClock(), SystemIds(), wait=LOG_WAIT)


def signer(path: str) -> "Signer":
    """Return the private key in a file.

    Raises the errors of :meth:`adapters.eventlog.signing.Signer.of`, and ``Refused`` without the extra ``signing``.
    """
    with _extra("signing"):
        from adapters.eventlog.signing import Signer  # noqa: PLC0415 - the library is an extra

        return Signer.of(path)


def trust(path: str) -> "PublicKey":
    """Return the public key in a file.

    Raises the errors of :meth:`adapters.eventlog.signing.PublicKey.of`, and ``Refused`` without the extra ``signing``.
    """
    with _extra("signing"):
        from adapters.eventlog.signing import PublicKey  # noqa: PLC0415 - the library is an extra

        return PublicKey.of(path)


def new_key(path: str) -> str:
    """Create a key pair, and return its fingerprint; see :func:`adapters.eventlog.signing.made`."""
    with _extra("signing"):
        from adapters.eventlog.signing import made  # noqa: PLC0415 - the library is an extra

        return made(path)


def recorder(log: RecordedLog, api: "KubernetesApi", dice: Random) -> "LogRecorder":
    """Return a recorder that writes the changes of a cluster to a log."""
    from adapters.kubernetes.log_recorder import LogRecorder  # noqa: PLC0415 - the library is an extra

    return LogRecorder(api, log, "nodewall record", dice)


def api(kubeconfig: str | None, context: str | None) -> "KubernetesApi":
    """Return a client of the API server, with credentials from a kubeconfig file or from the Pod.

    Raises the errors of :func:`adapters.kubernetes.api.api_client.connect`, and ``Refused`` without the extra
    ``kubernetes``.
    """
    with _extra("kubernetes"):
        from adapters.kubernetes.api.api_client import connect  # noqa: PLC0415 - the library is an extra

        return connect(kubeconfig, context)


def agent_uplink(
    node: str, log: RecordedLog, kubeconfig: str | None, context: str | None, dice: Random
) -> "AgentUplink":
    """Return the connection of an agent to its cluster: it records objects and reports status. Raises as `api`."""
    server = api(kubeconfig, context)
    from adapters.kubernetes.agent_uplink import AgentUplink  # noqa: PLC0415 - the library is an extra
    from adapters.kubernetes.report_writer import ReportWriter  # noqa: PLC0415 - as above

    reporting, told = (
        ReportWriter(server, SystemClock(), dice),
        event_recorder(server, dice, "nodewall-agent", node),
    )
    return AgentUplink(node, recorder(log, server, dice), reporting, told)


def event_recorder(api: "KubernetesApi", dice: Random, component: str, host: str = "") -> "KubernetesEventRecorder":
    """Return a recorder that writes Kubernetes Events to an API server."""
    from adapters.kubernetes.api.k8s_events import KubernetesEventRecorder  # noqa: PLC0415 - the library is an extra

    return KubernetesEventRecorder(api, SystemClock(), SystemIds(), dice, component, host)


def lease(api: "KubernetesApi", namespace: str, identity: str, dice: Random) -> "Lease":
    """Return the lease that elects one leader among several controllers."""
    from adapters.kubernetes.api.leader_election import Lease  # noqa: PLC0415 - the library is an extra

    return Lease(api, namespace, "nodewall-controller", identity, SystemClock(), dice)


def controller(api: "KubernetesApi", dice: Random) -> "StatusController":
    """Return the controller that maintains the status of a cluster's policies."""
    from adapters.kubernetes.status_controller import StatusController  # noqa: PLC0415 - the library is an extra

    return StatusController(api, SystemClock(), dice, event_recorder(api, dice, "nodewall-controller"))


def webhook(api: "KubernetesApi", dice: Random, address: str, port: int, files: tuple[str, str]) -> "WebhookServer":
    """Return the server of the admission webhook; ``files`` are the paths of its certificate and key.

    Raises:
        Refused: the extra ``serve`` is not installed.
    """
    with _extra("serve"):
        from adapters.kubernetes.admission.webhook import Webhook, WebhookServer  # noqa: PLC0415 - the library is an extra

        return WebhookServer(Webhook(api, dice), address, port, *files)


def node_metrics() -> "NodeMetrics":
    """Return the Prometheus metrics of a node; raises ``Refused`` without the extra ``serve``."""
    with _extra("serve"):
        from adapters.telemetry.metrics import NodeMetrics  # noqa: PLC0415 - the library is an extra

        return NodeMetrics(SystemClock())


def telemetry_server(
    address: str, port: int, health: HealthCheck, readiness: HealthCheck, metrics: Callable[[], bytes] | None = None
) -> "TelemetryServer":
    """Return the HTTP server for probes and Prometheus; raises ``Refused`` without the extra ``serve``."""
    with _extra("serve"):
        from adapters.telemetry.http import TelemetryServer  # noqa: PLC0415 - the library is an extra

        return TelemetryServer(address, port, health, readiness, metrics)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Convert a missing library in the block to a ``Refused`` that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        expected = f"the extra: pip install 'nodewall[{name}]'"
        raise Refused((Fault("", f"the library {error.name} is not installed", expected),)) from None


def kernel(netns: str = "", backend: BackendName = BackendName.AUTO, held: NetnsHold | None = None) -> ToolBackend:
    """Return the backend for the kernel of a network namespace.

    Args:
        netns: the name of the namespace, empty for this process's own.
        backend: the backend; ``auto`` chooses the one with the most foreign rules.
        held: the lock of the namespace, which started tools inherit.
    """
    return choose_backend(SystemRunner(netns, held), backend)


def rule_changes(backend: BackendName, netns: str) -> RuleWatch:
    """Return a watch for rule changes in a network namespace, by any program."""
    return BACKENDS[backend].watch(netns)


def host(netns: str = "") -> Host:
    """Return the addresses and routes of a network namespace; an empty name means this process's own."""
    return observe_host(SystemRunner(netns))


def verifier(state: ClusterState, node: str, netns: str, budget: "Budget") -> "LockoutGuard":
    """Return the lockout guard of a node.

    In this process's own namespace, the guard also protects the SSH connection from which nodewall was started.
    """
    from simulator.guard.guard import LockoutGuard  # noqa: PLC0415 - slow to import, and most commands judge no plan

    own = [ip_address(a.address) for a in state.nodes[node].status.addresses if a.is_ip]
    lines = (*lifelines(state, node), *(() if netns else administrators(os.environ)))
    return LockoutGuard(lines, own, invariants_of(state.config.guard.invariants), budget)


class SystemStopwatch:
    """Stopwatch for the stages of an apply, on the system's monotonic clock.

    ``seconds`` holds the total duration of each stage. ``told`` is called with the name and duration of each stage.
    """

    def __init__(
        self, now: Callable[[], float] = perf_counter, told: Callable[[str, float], None] = lambda *_: None
    ) -> None:
        self._now = now
        self._told = told
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the duration of the block, also if it fails."""
        start = self._now()
        try:
            yield
        finally:
            took = self._now() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            self._told(name, took)
