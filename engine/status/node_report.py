"""What a node reports of itself: what is in force, how far each policy is, and what goes wrong."""

from dataclasses import dataclass
from typing import assert_never

from engine.desired.full import DesiredRuleset
from engine.events.outcomes import ApplyFailed, RulesetApplied
from engine.rulesets.digest import RulesetDigests
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from engine.status.policy_status import PolicyStatus, statuses

_SHOWN = 5
"""Refused rules whose words are shown."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node in a state of its cluster: counts are of what is wanted there, policies of all that are for it."""

    node: str
    enforced: bool | None
    """Whether all that is wanted is in force, by the last apply; None before the first."""
    reason: str
    """Why, as one word in camel case."""
    message: str = ""
    sequence: int | None = None
    ruleset: str = ""
    rules: int = 0
    sets: int = 0
    members: int = 0
    policies: tuple[PolicyStatus, ...] = ()
    refusal: ApplyFailed | None = None
    """The last state that was not brought into force, which may be long ago."""

    @property
    def gist(self) -> tuple[object, ...]:
        """What somebody may wait for: phases and what goes wrong, not counts that change all the time."""
        policies = tuple((each.policy, each.phase, each.version, each.notes) for each in self.policies)
        return (self.enforced, self.reason, self.message, policies, self.refusal)


def report_of(
    state: ClusterState,
    node: str,
    wanted: DesiredRuleset,
    refusal: ApplyFailed | None = None,
    fingerprints: RulesetDigests | None = None,
) -> NodeReport:
    """Return what a node has to report in a state in which it wants something, and the last that it refused.

    Raises:
        UnknownNode: the state has no such node.
    """
    enforced, reason, message, sequence, digest = _outcome(state.outcomes.get(node))
    rules, members = counts(wanted.ruleset)
    return NodeReport(
        node=node,
        enforced=enforced,
        reason=reason,
        message=message,
        sequence=sequence,
        ruleset=digest,
        rules=rules,
        sets=len(wanted.ruleset.sets),
        members=members,
        policies=statuses(state, node, wanted, fingerprints),
        refusal=refusal,
    )


def counts(ruleset: Ruleset) -> tuple[int, int]:
    """Return how many rules of both families there are, and how many members in all sets."""
    rules = sum(len(chain.rules) for _, _, chain in ruleset.chains())
    return rules, sum(len(item.members) for item in ruleset.sets)


def _outcome(outcome: RulesetApplied | ApplyFailed | None) -> tuple[bool | None, str, str, int | None, str]:
    match outcome:
        case None:
            return None, "NothingApplied", "", None, ""
        case ApplyFailed(words=words):
            return False, "ApplyFailed", words, None, ""
        case RulesetApplied(failed=failed, realized=sequence, ruleset=digest):
            if not failed:
                return True, "Applied", "", sequence, digest
            refused = [f"rule {each.rule} of {each.policy}: {each.words}" for each in failed[:_SHOWN]]
            return False, "RulesRefused", "; ".join(refused), sequence, digest
        case _:
            assert_never(outcome)
