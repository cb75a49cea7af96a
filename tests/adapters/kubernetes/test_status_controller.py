"""A controller, its lease, reports and notices, on an API server in memory that fails as it is told."""

import asyncio
from collections.abc import Coroutine

import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.kubernetes import report_writer, status_controller
from adapters.kubernetes.api import k8s_events, leader_election, list_watch
from adapters.kubernetes.api.api_client import ApiError, ResourceExpired, WriteVerb
from adapters.kubernetes.api.k8s_events import (
    InvolvedObject,
    KubernetesEvent,
    KubernetesEventRecorder,
    events_for_outcome,
)
from adapters.kubernetes.api.leader_election import Lease
from adapters.kubernetes.api.resources import BY_KIND, NODE_FIREWALLS
from adapters.kubernetes.nodefirewall import document_of, policies_in
from adapters.kubernetes.report_writer import ReportWriter
from adapters.kubernetes.status_controller import StatusController
from adapters.system.clock import CountedIds, FixedClock
from engine.events.outcomes import ApplyFailed, DriftRepaired, FailedRule, OutcomeEvent, RulesetApplied
from engine.state.fold import ClusterState
from engine.status.cluster_status import ClusterStatus
from engine.status.node_report import NodeReport
from engine.status.policy_status import Phase, PolicyStatus, version_of
from tests.support.kubernetes.fake_api import Document, FakeApi
from tests.support.kubernetes.recorded_clusters import comes
from tests.support.kubernetes.recorded_clusters import document_of as document_of_item
from tests.support.policies.random_clusters import drawn
from tests.support.seeds import examples, seeded

POLICIES = BY_KIND["ClusterNetworkPolicy"]
Reports = dict[str, dict[str, PolicyStatus]]
KINDS = ("Tier", "ClusterGroup", "ClusterNetworkPolicy", "Node")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for seconds waits for thousandths."""
    for module, name, seconds in (
        (list_watch, "_FIRST", 0.001),
        (list_watch, "_LONGEST", 0.01),
        (status_controller, "_GATHERED", 0.001),
        (leader_election, "RETRY", 0.01),
        (leader_election, "DEADLINE", 0.1),
        (leader_election, "DURATION", 1),
        (k8s_events, "_EACH", 0.02),
        (report_writer, "_GAP", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)


def played(scene: Coroutine[None, None, None]) -> None:
    """Play a scene to its end, which has to come."""

    async def play() -> None:
        async with asyncio.timeout(60):
            await scene

    asyncio.run(play())


def reported(node: str, *policies: PolicyStatus) -> Document:
    """A node's report as the API has it."""
    report = NodeReport(node, enforced=True, reason="Applied", sequence=7, policies=policies)
    return dict(document_of(report, (), "2026-01-01T00:00:00.000000Z")[0])


def test_a_report_is_read_as_it_was_written() -> None:
    """Phases, versions and words come back; what is no report says nothing."""
    said = PolicyStatus("p", Phase.FAILED, 7, ("no such match", "and more"), "0123")
    assert policies_in(reported("n", said)) == {
        "p": PolicyStatus("p", Phase.FAILED, 7, ("no such match; and more",), "0123")
    }
    assert policies_in({"status": {"policies": "junk"}}) == {}
    assert policies_in({}) == {}


@settings(examples(15), phases=(Stage.explicit, Stage.reuse, Stage.generate))  # to shrink it takes minutes
@given(st.integers(0, 10**9), st.data())
def test_status_becomes_what_nodes_report(seed: int, data: st.DataObject) -> None:
    """Of every policy that is for nodes and of no other, whatever goes wrong on the way; reports of lost nodes go."""
    dice = seeded(seed)
    world = drawn(str(seed))
    state = world.state

    def trouble(*_: str) -> None:
        if dice.random() < 0.05:
            raise dice.choice((ApiError("no"), ApiError("too many", 429, 0.001), ResourceExpired()))

    async def play() -> None:
        api = FakeApi(trouble=trouble)
        for item in world.objects:
            if item.kind in KINDS:
                api.put(BY_KIND[item.kind], document_of_item(item))
        reports: Reports = {}
        told = KubernetesEventRecorder(api, FixedClock(), CountedIds(), dice, "test")
        running = asyncio.ensure_future(StatusController(api, FixedClock(), dice, told).run())
        for _ in range(3):
            for node in [*state.nodes, "lost"]:
                some = data.draw(
                    st.dictionaries(st.sampled_from(sorted(state.policies) or ["p"]), st.sampled_from(Phase))
                )
                reports[node] = {name: _said(state, name, phase) for name, phase in some.items()}
                api.put(NODE_FIREWALLS, reported(node, *reports[node].values()))
            data.draw(st.sampled_from((api.end_watches, api.forget, api.bookmark)))()
            await comes(lambda: _told_right(api, state, reports) and "lost" not in api.objects(NODE_FIREWALLS))
        running.cancel()

    played(play())


def _said(state: ClusterState, name: str, phase: Phase) -> PolicyStatus:
    policy = state.policies.get(name)
    return PolicyStatus(name, phase, 7, (), version_of(policy) if policy else "")


def _told_right(api: FakeApi, state: ClusterState, reports: Reports) -> bool:
    """Whether the API has of every policy what its nodes report."""
    rollup = ClusterStatus()
    for name in state.policies:
        wanted, status = rollup.of(state, name, reports), api.objects(POLICIES)[name].get("status")
        found = status if isinstance(status, dict) else {}
        told = tuple(map(found.get, ("phase", "currentNodesRealized", "desiredNodesRealized")))
        if told != ((wanted.phase, wanted.current, wanted.desired) if wanted else (None, None, None)):
            return False
    return True


def test_what_could_not_be_removed_is_tried_again() -> None:
    """Without waiting for other news, which may never come."""
    failures = [ApiError("no"), ResourceExpired(), ApiError("too many", 429, 0.001)]

    def trouble(verb: str, _: str) -> None:
        if verb == "delete" and failures:
            raise failures.pop()

    async def play() -> None:
        api, dice = FakeApi(trouble=trouble), seeded(0)
        api.put(NODE_FIREWALLS, reported("lost"))
        told = KubernetesEventRecorder(api, FixedClock(), CountedIds(), dice, "test")
        running = asyncio.ensure_future(StatusController(api, FixedClock(), dice, told).run())
        await comes(lambda: "lost" not in api.objects(NODE_FIREWALLS))
        running.cancel()

    played(play())
    assert failures == []


def test_one_of_many_leads_and_is_followed_by_another() -> None:
    """Never two at once; who ends gives it away at once, who hangs loses it, whatever the clocks say."""
    leading: list[str] = []
    most = 0

    async def play() -> None:
        nonlocal most
        api = FakeApi()

        def one(identity: str) -> "asyncio.Task[None]":
            async def work() -> None:
                nonlocal most
                leading.append(identity)
                most = max(most, len(leading))
                try:
                    await asyncio.Event().wait()
                finally:
                    leading.remove(identity)

            # Each has a clock of its own, which all stand at another time.
            clock = FixedClock()
            lease = Lease(api, "ns", "nodewall", identity, clock, seeded(identity))
            return asyncio.ensure_future(lease.lead(work))

        tasks = {name: one(name) for name in ("a", "b", "c")}
        for _ in range(2):
            await comes(lambda: len(leading) == 1)
            leader = leading[0]
            tasks.pop(leader).cancel()
            await comes(lambda leader=leader: leader not in leading)  # type: ignore[misc] # bound now
        await comes(lambda: len(leading) == 1)
        spec = api.others["/apis/coordination.k8s.io/v1/namespaces/ns/leases/nodewall"]["spec"]
        assert isinstance(spec, dict)
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == (leading[0], 4)

    played(play())
    assert most == 1


def test_who_cannot_renew_its_lease_leads_no_longer() -> None:
    """Before others may think so; and goes on once it can, if nobody else has."""

    async def play() -> None:
        api, leading = FakeApi(), [False]

        async def work() -> None:
            leading[0] = True
            try:
                await asyncio.Event().wait()
            finally:
                leading[0] = False

        lease = Lease(api, "ns", "nodewall", "a", FixedClock(), seeded(0))
        running = asyncio.ensure_future(lease.lead(work))
        await comes(lambda: leading[0])

        def gone(*_: str) -> None:
            raise ApiError("not reached")

        api.trouble = gone
        await comes(lambda: not leading[0])
        api.trouble = lambda *_: None
        await comes(lambda: leading[0])
        running.cancel()

    played(play())


def test_reports_are_written_soon_where_phases_differ_and_made_first() -> None:
    """One that is not there yet is made; counts alone wait; what somebody may wait for does not."""

    async def play() -> None:
        api = FakeApi()
        writer = ReportWriter(api, FixedClock(), seeded(0))
        running = asyncio.ensure_future(writer.run())
        first = NodeReport("n", enforced=True, reason="Applied", rules=1)
        writer.take(first)
        await comes(lambda: "n" in api.objects(NODE_FIREWALLS) and "status" in api.objects(NODE_FIREWALLS)["n"])
        assert [how for how, _, _ in api.written] == [WriteVerb.APPLY] * 3
        writer.take(NodeReport("n", enforced=True, reason="Applied", rules=2))
        await asyncio.sleep(0.2)
        assert len(api.written) == 3
        writer.take(NodeReport("n", enforced=False, reason="ApplyFailed", message="no", rules=2))
        await comes(lambda: len(api.written) == 4)
        conditions = api.written[-1][2]["status"]["conditions"]  # type: ignore[index] # is a mapping
        assert [(each["status"], each["message"]) for each in conditions] == [("False", "no")]
        writer.take(None)
        writer.take(NodeReport("n", enforced=False, reason="ApplyFailed", message="no", rules=2))
        await comes(lambda: len(api.written) == 5)  # as it may be gone with its node
        again = api.written[-1][2]["status"]["conditions"]  # type: ignore[index] # as above
        assert again[0]["lastTransitionTime"] == conditions[0]["lastTransitionTime"]
        running.cancel()

    played(play())


def test_the_same_notice_is_counted_and_many_are_spread_out() -> None:
    """Ten at once, then one at a time; one whose Event is gone is told anew."""
    about = InvolvedObject("v1", "Node", "n", "n")

    async def play() -> None:
        api = FakeApi()
        told = KubernetesEventRecorder(api, FixedClock(), CountedIds(), seeded(0), "agent", "n")
        running = asyncio.ensure_future(told.run())
        for _ in range(5):
            told.take(KubernetesEvent(about, "Drift", "again"))
        await comes(lambda: len(api.others) == 1)
        (event,) = api.others.values()
        assert (event["count"], event["type"], event["source"]) == (5, "Warning", {"component": "agent", "host": "n"})
        told.take(KubernetesEvent(about, "Drift", "again"))
        await comes(lambda: next(iter(api.others.values()))["count"] == 6)
        api.others.clear()
        told.take(KubernetesEvent(about, "Drift", "again"))
        await comes(lambda: len(api.others) == 1)
        begun = asyncio.get_running_loop().time()
        for number in range(20):
            told.take(KubernetesEvent(about, "Drift", f"number {number}"))
        await comes(lambda: len(api.others) == 21)
        assert asyncio.get_running_loop().time() - begun > 0.15
        running.cancel()

    played(play())


def test_outcomes_that_people_should_hear_of_become_notices() -> None:
    """What did not come into force and what others changed; nothing of what went well."""
    failed = FailedRule(policy="p", rule="r", words="no such match")
    cases: dict[str, OutcomeEvent] = {
        "FirewallNotApplied": ApplyFailed(node="n", wanted=4, words="it would cut the node off"),
        "FirewallRuleRefused": RulesetApplied(node="n", realized=1, ruleset="", operations=1, failed=(failed,)),
        "FirewallDriftRepaired": DriftRepaired(node="n", found=("iptables -A",), operations=1, pause=5.0),
    }
    for reason, outcome in cases.items():
        (notice,) = events_for_outcome("n", outcome)
        assert (notice.reason, notice.regarding.kind, notice.regarding.uid) == (reason, "Node", "n")
    assert events_for_outcome("n", RulesetApplied(node="n", realized=1, ruleset="", operations=1)) == ()
