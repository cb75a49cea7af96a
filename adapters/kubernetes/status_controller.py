"""Status controller: combines the reports of all Nodes into the status of each policy, and writes it to the API server.

Input: policies, tiers, groups, Nodes and NodeFirewall reports from the API server. Output: the status of
ClusterNetworkPolicy objects, and a Kubernetes Event for each refused object. It also deletes the reports of Nodes that
no longer exist.

Enforcement does not depend on the controller. While it does not run, only the status is not updated. Errors of the API
server are logged and retried.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

import structlog

from adapters.kubernetes.api.api_client import ApiError, KubernetesApi, WriteVerb
from adapters.kubernetes.api.k8s_events import InvolvedObject, KubernetesEvent, KubernetesEventRecorder
from adapters.kubernetes.api.list_watch import Backoff, Watcher
from adapters.kubernetes.api.resources import BY_KIND, NODE_FIREWALLS, KubernetesObject
from adapters.kubernetes.cluster_view import ApiObject, ClusterView
from engine.errors import NodewallError
from engine.events import timestamp
from engine.objects.selectors import is_object_name
from engine.reconcile.interfaces import Clock
from engine.status.cluster_status import ClusterStatus, PolicySummary
from engine.status.policy_status import Phase

_LOG = structlog.get_logger(__name__)

_POLICIES = BY_KIND["ClusterNetworkPolicy"]

_GATHERED = 0.1
"""Seconds to collect changes before statuses are written."""

_RATE, _AT_ONCE = 100, 8
"""Largest number of statuses written in a second, and at once."""


@dataclass(slots=True)
class StatusController:
    """Keeps the status of every policy for Nodes up to date; ``notices`` records refusals as Events."""

    api: KubernetesApi
    clock: Clock
    dice: Random
    notices: KubernetesEventRecorder
    _overview: ClusterView = field(default_factory=ClusterView)
    _rollup: ClusterStatus = field(default_factory=ClusterStatus)
    _refused: dict[str, str] = field(default_factory=dict)
    _left: set[str] = field(default_factory=set)
    """Policies whose status could not be written."""

    async def run(self) -> None:
        """Read the cluster from the beginning, and keep statuses up to date until cancelled."""
        self._overview, self._left = ClusterView(), set()
        news, backoff = asyncio.Event(), Backoff(self.dice)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.notices.run())
            for resource in self._overview.resources:
                tasks.create_task(Watcher(self.api, resource, self._overview, news.set, self.dice).run())
            while True:
                await news.wait()
                await asyncio.sleep(_GATHERED)
                news.clear()
                if not self._overview.complete:
                    continue
                names = self._overview.take() | self._left
                self._tell_refusals()
                swept = await self._swept()
                written = await self._written(names)
                if self._left or not swept:
                    await asyncio.sleep(backoff.seconds())
                    news.set()
                else:
                    backoff.reset()
                    await asyncio.sleep(written / _RATE)

    async def _written(self, names: Iterable[str]) -> int:
        """Write the statuses that changed, and return their number; ``_left`` gets the policies that failed."""
        self._left, limit = set(), asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> bool:
            async with limit:
                try:
                    return await self._write(name)
                except NodewallError as error:
                    if not (isinstance(error, ApiError) and error.code == HTTPStatus.NOT_FOUND):
                        self._left.add(name)
                        _LOG.warning("status not written", policy=name, error=str(error))
                    return False

        return sum(await asyncio.gather(*(one(name) for name in sorted(names))))

    async def _write(self, name: str) -> bool:
        seen = self._overview.seen.get((_POLICIES.kind, name))
        summary = self._rollup.of(self._overview.state, name, self._overview.reports)
        if seen is None or summary is None:
            return False
        status = _status_of(summary, seen, timestamp(self.clock.now())[:19] + "Z")
        if status == {key: seen.status.get(key) for key in status}:
            return False
        document = {
            "apiVersion": _POLICIES.version,
            "kind": _POLICIES.kind,
            "metadata": {"name": name},
            "status": status,
        }
        await self.api.write(WriteVerb.APPLY, f"{_POLICIES.paths[0]}/{name}/status", document)
        return True

    def _tell_refusals(self) -> None:
        """Record an Event for each refusal that is new or has other reasons than before."""
        found: dict[str, str] = {}
        for key, refusal in self._overview.state.refusals.items():
            words = "; ".join(map(str, refusal.faults))
            found[key] = words
            seen = self._overview.seen.get((refusal.kind, refusal.name))
            if seen is not None and self._refused.get(key) != words:
                about = InvolvedObject(BY_KIND[refusal.kind].version, refusal.kind, refusal.name, seen.uid)
                self.notices.take(KubernetesEvent(about, "Refused", f"the last good version stays in force: {words}"))
        self._refused = found

    async def _swept(self) -> bool:
        """Delete the reports of Nodes that no longer exist, and return False if a deletion failed."""
        done = True
        # A request without a name would delete all reports.
        for node in filter(is_object_name, sorted(self._overview.reports.keys() - self._overview.state.nodes.keys())):
            try:
                await self.api.write(WriteVerb.DELETE, f"{NODE_FIREWALLS.paths[0]}/{node}", {})
            except NodewallError as error:
                if not (isinstance(error, ApiError) and error.code == HTTPStatus.NOT_FOUND):
                    _LOG.warning("report not removed", node=node, error=str(error))
                    done = False
        return done


def _status_of(summary: PolicySummary, seen: ApiObject, now: str) -> KubernetesObject:
    """Return the status of a policy; a condition gets the time ``now`` if its status changed."""
    accepted = ("Accepted", not summary.refused, "Refused" if summary.refused else "Accepted", summary.refused)
    realized = ("Realized", summary.phase is Phase.REALIZED, summary.phase.value, summary.message)
    return {
        "phase": summary.phase.value,
        "observedGeneration": seen.generation,
        "currentNodesRealized": summary.current,
        "desiredNodesRealized": summary.desired,
        "conditions": [_condition(each, seen, now) for each in (accepted, realized)],
    }


def _condition(said: tuple[str, bool, str, str], seen: ApiObject, now: str) -> KubernetesObject:
    kind, holds, reason, message = said
    status = str(holds)
    before = seen.status.get("conditions")
    since = [
        each["lastTransitionTime"]
        for each in (before if isinstance(before, list) else ())
        if isinstance(each, dict)
        and (each.get("type"), each.get("status")) == (kind, status)
        and isinstance(each.get("lastTransitionTime"), str)
    ]
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        **(
            {"message": message} if message else {}
        ),  # never an empty string, because some servers read an applied one as null
        "lastTransitionTime": since[0] if since else now,
    }
