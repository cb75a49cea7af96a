"""Prometheus metrics of an agent and its Node, such as durations, outcomes and packet counters of rules.

Input: calls of the agent's listeners. Output: text in the Prometheus exposition format. The size of the log, the packet
counters and the lag of watches are computed only when Prometheus scrapes. Source of the naming rules:
https://prometheus.io/docs/practices/naming/.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.netfilter.counters import RuleCount
from engine.desired.full import DesiredRuleset
from engine.errors import NodewallError
from engine.events import EventBody
from engine.events.outcomes import ApplyFailed, DriftRepaired, RulesetApplied
from engine.reconcile.interfaces import Clock
from engine.status.node_report import count_rules_and_members

_LOG = structlog.get_logger(__name__)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of histogram buckets, in seconds."""


class NodeMetrics:
    """Metrics of a Node; any thread may call the methods."""

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._stage = Histogram(
            "nodewall_stage_duration_seconds",
            "Time that each stage on the way into force took: compile, diff, verify, apply.",
            ("stage",),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._latency = Histogram(
            "nodewall_event_to_kernel_seconds",
            "Time from when an event was put on record until what it changes was in force.",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._applies = Counter(
            "nodewall_applies_total", "Applies, by what came of them.", ("outcome",), registry=self.registry
        )
        self._operations = Counter(
            "nodewall_operations_total", "Operations on rules and sets that were carried out.", registry=self.registry
        )
        self._drift = Counter(
            "nodewall_drift_repairs_total", "Times that others' changes were put right.", registry=self.registry
        )
        self._refused = Gauge(
            "nodewall_rules_refused", "Rules of policies that the kernel refused last.", registry=self.registry
        )
        self._sequence = Gauge(
            "nodewall_applied_sequence", "Sequence of the event whose state is in force.", registry=self.registry
        )
        self._rules = Gauge("nodewall_rules", "Rules that are wanted in both families.", registry=self.registry)
        self._sets = Gauge("nodewall_sets", "Sets that are wanted.", registry=self.registry)
        self._members = Gauge("nodewall_set_members", "Members of all wanted sets.", registry=self.registry)
        Gauge("nodewall_build_info", "Always 1.", ("version",), registry=self.registry).labels(version("nodewall")).set(
            1
        )
        for outcome in ("applied", "failed"):
            self._applies.labels(outcome)

    def took(self, stage: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._stage.labels(stage).observe(seconds)

    def did(self, body: EventBody) -> None:
        """Count the outcome in an event."""
        match body:
            case RulesetApplied():
                self._applies.labels("applied").inc()
                self._operations.inc(body.operations)
                self._refused.set(len(body.failed or ()))
                self._sequence.set(body.realized)
            case ApplyFailed():
                self._applies.labels("failed").inc()
            case DriftRepaired():
                self._drift.inc()
                self._operations.inc(body.operations)
            case _:
                pass

    def in_force(self, wanted: DesiredRuleset, since: Iterable[datetime]) -> None:
        """Record the enforced ruleset; ``since`` are the times of the events that it includes for the first time."""
        now = self._clock.now()
        for time in since:
            self._latency.observe(max(0.0, (now - time).total_seconds()))
        rules, members = count_rules_and_members(wanted.ruleset)
        self._rules.set(rules)
        self._sets.set(len(wanted.ruleset.sets))
        self._members.set(members)

    def watch(
        self, log: str | None, counted: Callable[[], Iterable[RuleCount]], lag: Callable[[], Mapping[str, float]]
    ) -> None:
        """Register metrics that are computed at each scrape: log size, kernel counters, and watch lag by kind."""
        self.registry.register(_Asked(log, counted, lag))

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class _Asked(Collector):
    """Collector of metrics that are computed at each scrape."""

    def __init__(
        self, log: str | None, counted: Callable[[], Iterable[RuleCount]], lag: Callable[[], Mapping[str, float]]
    ) -> None:
        self._log, self._counted, self._lag = log, counted, lag

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registration does not compute the metrics."""
        return ()

    def collect(self) -> Iterator[Metric]:
        if self._log is not None:
            size = GaugeMetricFamily("nodewall_log_bytes", "Size of the event log.")
            size.add_metric((), sum(file.stat().st_size for file in _files(Path(self._log))))
            yield size
        lag = GaugeMetricFamily(
            "nodewall_watch_lag_seconds", "For how long changes of a kind were not heard.", labels=("kind",)
        )
        for kind, seconds in sorted(self._lag().items()):
            lag.add_metric((kind,), seconds)
        yield lag
        yield from self._of_policies()

    def _of_policies(self) -> Iterator[Metric]:
        labels = ("policy", "rule", "family")
        packets = CounterMetricFamily(
            "nodewall_policy_packets", "Packets that a rule of a policy decided on, since it was made.", labels=labels
        )
        octets = CounterMetricFamily(
            "nodewall_policy_bytes", "Bytes that a rule of a policy decided on, since it was made.", labels=labels
        )
        try:
            for each in self._counted():
                names = (each.policy, each.rule, each.family.name.lower())
                packets.add_metric(names, each.packets)
                octets.add_metric(names, each.octets)
        except NodewallError as error:
            _LOG.warning("not counted", error=str(error))
        yield from (packets, octets)


def _files(log: Path) -> Iterator[Path]:
    """Yield the existing files of a SQLite database: the main file and the write-ahead log."""
    yield from (file for file in (log, log.with_name(f"{log.name}-wal")) if file.exists())
