"""Benchmark of incremental derivation against full recomputation for one event."""

from functools import partial

from benchmarks.support.clusters import NODE, cluster, node_of, policy_of
from benchmarks.support.timing import seconds
from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.desired.incremental import Derivation, derive
from engine.events import EventBody, NodeObserved, PolicyDeclared, PolicyDeleted, TierDeclared
from engine.objects import Tier
from engine.state.fold import evolve

POLICIES, PEERS, REPEATS = 1000, 20, 5


def main() -> None:
    """Print the best times of the incremental and the full computation for each kind of event, and their ratio."""
    tier = {
        "apiVersion": "crd.antrea.io/v1beta1",
        "kind": "Tier",
        "metadata": {"name": "own"},
        "spec": {"priority": 20},
    }
    events: dict[str, EventBody] = {
        "a policy changes": PolicyDeclared(policy=policy_of(7, PEERS + 1)),
        "a policy goes": PolicyDeleted(name="policy-00007"),
        "a node joins": NodeObserved(node=node_of(77)),
        "a tier nobody uses": TierDeclared(tier=Tier.model_validate(tier)),
    }
    start = derive(cluster(POLICIES, PEERS), NODE)
    print(f"lifecycle: {POLICIES:,} policies of {PEERS} CIDRs")
    print(f"  {'event':20}{'kept up':>12}{'anew':>12}{'ratio':>8}")
    for name, body in events.items():
        kept = min(seconds(partial(start.after, body)) for _ in range(REPEATS))
        anew = min(seconds(partial(_anew, start, body)) for _ in range(REPEATS))
        print(f"  {name:20}{kept * 1000:>9.1f} ms{anew * 1000:>9.1f} ms{anew / kept:>8.1f}")


def _anew(start: Derivation, body: EventBody) -> DesiredRuleset:
    return desired_ruleset(evolve(start.state, body), NODE)
