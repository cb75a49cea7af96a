"""Benchmark of each stage before the kernel, by number of policies."""

from time import perf_counter

from benchmarks.support.clusters import NODE, cluster
from engine.compiler import compile_rules
from engine.policy.resolve import resolve
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import make_plan

PEERS = 20


def main() -> None:
    """Print milliseconds per stage at 100 and at 1,000 policies, and the growth between them."""
    small, large = (_stages(policies) for policies in (100, 1000))
    print(f"road: {PEERS} CIDRs a policy; growth of 10.0 is linear")
    print(f"  {'stage':10}{'100 policies':>16}{'1,000 policies':>16}{'growth':>10}")
    for stage, seconds in large.items():
        before = small[stage]
        print(f"  {stage:10}{before * 1000:>13.1f} ms{seconds * 1000:>13.1f} ms{seconds / before:>10.1f}")


def _stages(policies: int) -> dict[str, float]:
    state = cluster(policies, PEERS)
    marks = [perf_counter()]
    rules = resolve(state, NODE)
    marks.append(perf_counter())
    wanted = compile_rules(rules)
    marks.append(perf_counter())
    changes = diff(Ruleset(), wanted)
    marks.append(perf_counter())
    make_plan(changes)
    marks.append(perf_counter())
    diff(wanted, compile_rules(resolve(cluster(policies, PEERS + 1), NODE)))
    marks.append(perf_counter())
    names = ("resolve", "compile", "diff", "plan", "update")
    return {name: after - before for name, before, after in zip(names, marks, marks[1:], strict=False)}
