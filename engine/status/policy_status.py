"""Status of each policy on one node: pending, realizing, realized or failed, with notes for the operator.

Input: `ClusterState` and a node name. Output: `PolicyStatus` values. A policy is realized if the digest of the last
apply equals that of the desired ruleset. Notes name missing groups, cut log labels and entries for Pods. Errors:
`UnknownNode`.

Source: ``docs/reference/semantics.md``, Status; the phases are those that Antrea reports per policy and node.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from engine.compiler import Layout, compile_rules, label_is_cut, log_prefix
from engine.desired.full import DesiredRuleset, desired_ruleset, linear_ruleset
from engine.events import ObjectRefused, body_as_json, canonical, declaration_of
from engine.events.outcomes import ApplyFailed, FailedRule, RulesetApplied
from engine.objects import AppliedTo, ClusterNetworkPolicy, EgressRule, IngressRule, Peer
from engine.policy.completed_rules import CompletedRule, Plane
from engine.rulesets.digest import RulesetDigests, ruleset_digest
from engine.rulesets.ownership import digest
from engine.state.fold import ClusterState

_POLICY = "ClusterNetworkPolicy"


class Phase(StrEnum):
    """How far a policy is on a node."""

    PENDING = "Pending"
    REALIZING = "Realizing"
    REALIZED = "Realized"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Status of a policy on a node; ``sequence`` is that of the applied state, ``notes`` are text for people.

    ``version`` is the result of :func:`version_of`, empty if no accepted version exists.
    """

    policy: str
    phase: Phase
    sequence: int | None = None
    notes: tuple[str, ...] = ()
    version: str = ""


def version_of(policy: ClusterNetworkPolicy) -> str:
    """Return a digest of a policy that identifies its version: 16 hexadecimal digits."""
    return digest(canonical(body_as_json(declaration_of(policy))).decode())


def node_policy_statuses(
    state: ClusterState, node: str, wanted: DesiredRuleset | None = None, fingerprints: RulesetDigests | None = None
) -> tuple[PolicyStatus, ...]:
    """Return the status of every policy that applies to a node or was refused, by name.

    Args:
        state: the cluster state.
        node: the name of the node.
        wanted: its desired ruleset in that state, if already computed.
        fingerprints: cached digests.

    Raises:
        UnknownNode: the state has no such node.
    """
    wanted = wanted or desired_ruleset(state, node)
    by_policy: dict[str, list[CompletedRule]] = {}
    for rule in wanted.rules:
        if rule.plane is Plane.NODES:
            by_policy.setdefault(rule.policy, []).append(rule)
    phase, sequence, words = _phase(state, node, wanted, fingerprints or RulesetDigests())
    failures = _failures(state, node)
    found = []
    for name in sorted(by_policy.keys() & {*state.policies} | {*_refused(state)}):
        refusal = state.refusals.get(f"{_POLICY}/{name}")
        failed = tuple(each for each in failures if each.policy == name)
        own = _notes(state, wanted, name, by_policy.get(name, ()))
        notes = (*_reasons(refusal), *map(_not_in_force, failed), *words, *own)
        if name not in by_policy:
            found.append(PolicyStatus(name, Phase.FAILED, None, notes))
        else:
            reached = Phase.FAILED if refusal or failed else phase
            found.append(PolicyStatus(name, reached, sequence, notes, version_of(state.policies[name])))
    return tuple(found)


def _failures(state: ClusterState, node: str) -> tuple[FailedRule, ...]:
    """Return the rules that the kernel refused in the last apply."""
    outcome = state.outcomes.get(node)
    return outcome.failed or () if isinstance(outcome, RulesetApplied) else ()


def _not_in_force(failed: FailedRule) -> str:
    return f"rule {failed.rule} is not in force: {failed.words}"


def _refused(state: ClusterState) -> Iterator[str]:
    return (refusal.name for refusal in state.refusals.values() if refusal.kind == _POLICY)


def _reasons(refusal: ObjectRefused | None) -> Iterator[str]:
    for fault in refusal.faults if refusal else ():
        yield f"refused: {fault}"


def _phase(
    state: ClusterState, node: str, wanted: DesiredRuleset, fingerprints: RulesetDigests
) -> tuple[Phase, int | None, tuple[str, ...]]:
    under_way = state.under_way.get(node)
    notes = (f"an apply of the state at {under_way.wanted} was begun",) if under_way else ()
    match state.outcomes.get(node):
        case RulesetApplied(ruleset=known, realized=sequence):
            tried = _without_failures(state, node, wanted)
            same = known == fingerprints.of(tried.ruleset)
            one_by_one = (
                not same
                and tried.options.layout is not Layout.LINEAR
                and known == ruleset_digest(linear_ruleset(tried))
            )
            reached = (same or one_by_one) and not under_way
            notes = (*notes, _ONE_BY_ONE) if one_by_one else notes
            return (Phase.REALIZED if reached else Phase.REALIZING), sequence, notes
        case ApplyFailed(words=words):
            return Phase.FAILED, None, (words, *notes)
        case _:
            return (Phase.REALIZING if under_way else Phase.PENDING), None, notes


_ONE_BY_ONE = "in force by one rule after the other, not by the optimised layout: the agent's log says why"


def _without_failures(state: ClusterState, node: str, wanted: DesiredRuleset) -> DesiredRuleset:
    failed = {(each.policy, each.rule) for each in _failures(state, node)}
    if not failed:
        return wanted
    rules = tuple(r for r in wanted.rules if (r.policy, r.name) not in failed)
    return DesiredRuleset(rules, wanted.options, compile_rules(rules, wanted.options))


def notes_of(state: ClusterState, wanted: DesiredRuleset, name: str) -> tuple[str, ...]:
    """Return notes on a policy on a node: missing groups, entries for Pods, cut labels, missing interfaces."""
    return _notes(state, wanted, name, [r for r in wanted.rules if r.policy == name and r.plane is Plane.NODES])


def _notes(state: ClusterState, wanted: DesiredRuleset, name: str, rules: Iterable[CompletedRule]) -> tuple[str, ...]:
    policy = state.policies.get(name)
    if policy is None:
        return ()
    return (*_not_ours(policy), *_missing(policy, state), *_labels(wanted, rules), *_nowhere(wanted))


def _not_ours(policy: ClusterNetworkPolicy) -> Iterator[str]:
    if any(entry.node_selector is None and entry.group is None for entry in _applied_to(policy)):
        yield "entries of appliedTo that select Pods are left to the data plane of Pods"


def _applied_to(policy: ClusterNetworkPolicy) -> Iterator[AppliedTo]:
    yield from policy.spec.applied_to
    for rule in (*policy.spec.ingress, *policy.spec.egress):
        yield from rule.applied_to


def _missing(policy: ClusterNetworkPolicy, state: ClusterState) -> Iterator[str]:
    rules: tuple[IngressRule | EgressRule, ...] = (*policy.spec.ingress, *policy.spec.egress)
    entries: list[Peer | AppliedTo] = [*_applied_to(policy), *(peer for rule in rules for peer in rule.peers)]
    for name in sorted({entry.group for entry in entries if entry.group is not None}):
        group = state.groups.get(name)
        if group is None:
            yield f"group {name} is not there, so it means nobody"
            continue
        for child in group.spec.child_groups:
            if child not in state.groups:
                yield f"child group {child} of {name} is not there, so it means nobody"


def _labels(wanted: DesiredRuleset, rules: Iterable[CompletedRule]) -> Iterator[str]:
    for rule in rules:
        if label_is_cut(rule, wanted.options.log):
            prefix = log_prefix(rule, wanted.options.log)
            yield f"logLabel {rule.label} of rule {rule.name} does not fit; it logs as {prefix}"


def _nowhere(wanted: DesiredRuleset) -> Iterator[str]:
    if wanted.options.interfaces == ():
        yield "the node has no interface that the configuration names, so nothing is judged"
