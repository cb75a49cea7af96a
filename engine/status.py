"""How far the policies for a node are: pending, being realized, realized or failed, and what is to be known of each.

Source: ``docs/reference/semantics.md``, Status. It is what Antrea reports per policy and node; gathering it over a
cluster is the business of whoever sees all nodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from engine.compiler import compile_rules, label_is_cut, log_prefix
from engine.desired import Desired, desired
from engine.errors import Fault
from engine.events import ObjectRefused
from engine.fingerprints import fingerprint
from engine.objects import AppliedTo, ClusterNetworkPolicy, EgressRule, IngressRule, Peer
from engine.outcomes import ApplyFailed, FailedRule, RulesetApplied
from engine.rules import Plane
from engine.ruleset import Ruleset
from engine.state import ClusterState

_POLICY = "ClusterNetworkPolicy"


class Phase(StrEnum):
    """How far a policy is on a node."""

    PENDING = "Pending"
    REALIZING = "Realizing"
    REALIZED = "Realized"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """A policy on a node; ``sequence`` is that of the state in force, ``notes`` are for people."""

    policy: str
    phase: Phase
    sequence: int | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return it as the command line prints it."""
        return {
            "policy": self.policy,
            "phase": self.phase.value,
            "sequence": self.sequence,
            "notes": list(self.notes),
        }


def statuses(state: ClusterState, node: str) -> tuple[PolicyStatus, ...]:
    """Return how far every policy is that is for a node, or was refused, by name.

    Raises:
        UnknownNode: the state has no such node.
    """
    wanted = desired(state, node)
    ours = {rule.policy for rule in wanted.rules if rule.plane is Plane.NODES}
    phase, sequence, words = _phase(state, node, wanted)
    failures = _failures(state, node)
    found = []
    for name in sorted(ours & {*state.policies} | {*_refused(state)}):
        refusal = state.refusals.get(f"{_POLICY}/{name}")
        failed = tuple(each for each in failures if each.policy == name)
        notes = (*_reasons(refusal), *map(_not_in_force, failed), *words, *notes_of(state, wanted, name))
        if name not in ours:
            found.append(PolicyStatus(name, Phase.FAILED, None, notes))
        else:
            found.append(PolicyStatus(name, Phase.FAILED if refusal or failed else phase, sequence, notes))
    return tuple(found)


def _failures(state: ClusterState, node: str) -> tuple[FailedRule, ...]:
    """Return the rules that the kernel refused with the last apply."""
    outcome = state.outcomes.get(node)
    return outcome.failed or () if isinstance(outcome, RulesetApplied) else ()


def _not_in_force(failed: FailedRule) -> str:
    return f"rule {failed.rule} is not in force: {failed.words}"


def _refused(state: ClusterState) -> Iterator[str]:
    return (refusal.name for refusal in state.refusals.values() if refusal.kind == _POLICY)


def _reasons(refusal: ObjectRefused | None) -> Iterator[str]:
    for fault in refusal.faults if refusal else ():
        yield f"refused: {Fault(fault.path, fault.problem, fault.expected)}"


def _phase(state: ClusterState, node: str, wanted: Desired) -> tuple[Phase, int | None, tuple[str, ...]]:
    under_way = state.under_way.get(node)
    notes = (f"an apply of the state at {under_way.wanted} was begun",) if under_way else ()
    match state.outcomes.get(node):
        case RulesetApplied(ruleset=known, realized=sequence):
            same = known == fingerprint(_without_failures(state, node, wanted)) and not under_way
            return (Phase.REALIZED if same else Phase.REALIZING), sequence, notes
        case ApplyFailed(words=words):
            return Phase.FAILED, None, (words, *notes)
        case _:
            return (Phase.REALIZING if under_way else Phase.PENDING), None, notes


def _without_failures(state: ClusterState, node: str, wanted: Desired) -> Ruleset:
    failed = {(each.policy, each.rule) for each in _failures(state, node)}
    if not failed:
        return wanted.ruleset
    return compile_rules([r for r in wanted.rules if (r.policy, r.name) not in failed], wanted.options)


def notes_of(state: ClusterState, wanted: Desired, name: str) -> tuple[str, ...]:
    """Return what is to be known of a policy on a node: what is not there, what is not ours, what is cut."""
    policy = state.policies.get(name)
    if policy is None:
        return ()
    return (*_not_ours(policy), *_missing(policy, state), *_labels(wanted, name), *_nowhere(wanted))


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


def _labels(wanted: Desired, policy: str) -> Iterator[str]:
    for rule in wanted.rules:
        if rule.policy == policy and rule.plane is Plane.NODES and label_is_cut(rule, wanted.options.log):
            prefix = log_prefix(rule, wanted.options.log)
            yield f"logLabel {rule.label} of rule {rule.name} does not fit; it logs as {prefix}"


def _nowhere(wanted: Desired) -> Iterator[str]:
    if wanted.options.interfaces == ():
        yield "the node has no interface that the configuration names, so nothing is judged"
