"""While policies change, no connection ever gets a verdict that neither its old nor its new policy gives."""

import time
from pathlib import Path

import pytest

from adapters import wiring
from adapters.lab.netns import Lab
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.cached import CachedKernel
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from engine.desired.incremental import derive
from engine.reconcile.reconciler import Method, NodeRuleReconciler
from simulator.guard.guard import LockoutGuard
from tests.support.kernel.agent_processes import after, desired_by
from tests.support.kernel.connection_stream import CLIENT, NODE, History, Stream, against
from tests.support.kernel.policy_author import Author
from tests.support.rulesets.ruleset_builders import SOAK, NullWatch, node, world

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

CHANGES = 1000 if SOAK else 60
"""For each backend."""


def test_connections_fare_as_before_a_change_or_as_after_it(backend: str, tmp_path: Path) -> None:
    """Hundreds of connections a second, of both families, allowed and forbidden, while one change follows the other."""
    author = Author(f"stream {backend}")
    current = derive(world(node("cp-1", *NODE.addresses)), "cp-1")
    with Lab((NODE, CLIENT)) as lab, wiring.rule_changes(BackendName(backend), lab.netns("node")) as changes:
        kernel = CachedKernel(wiring.kernel(lab.netns("node"), BackendName(backend)), changes)
        nodes = NodeRuleReconciler(kernel, LockoutGuard(), NullWatch())
        keeper = RulesetEnforcer(kernel, nodes, Journal("cp-1", current.state), time.monotonic)
        keeper.enforce(desired_by(current))
        history = History([current.ruleset])
        methods = dict.fromkeys(Method, 0)
        with Stream(lab, tmp_path) as stream:
            for _ in range(CHANGES):
                current = after(current, author.news())
                with history.becomes(current.ruleset):
                    keeper.enforce(desired_by(current))
                methods[nodes.latest.method] += 1
            seen = against(history, stream.tried())

    print(dict(seen), methods)  # noqa: T201 # for whoever asks for it by -s
    assert min(seen[outcome] for outcome in ("accept", "drop", "reject")) > CHANGES
    assert seen["between two verdicts"] > CHANGES / 4
    assert min(methods.values()) > 0
