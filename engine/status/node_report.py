"""Report of one node: last apply, counts of rules and members, status of each policy, and errors.

Input: `ClusterState` with the outcome events of the node, and its `DesiredRuleset`. Output: `NodeReport`. Errors:
`UnknownNode`.
"""

from dataclasses import dataclass
from typing import assert_never

from engine.desired.full import DesiredRuleset
from engine.events.outcomes import ApplyFailed, RulesetApplied
from engine.rulesets.digest import RulesetDigests
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from engine.status.policy_status import PolicyStatus, node_policy_statuses

_SHOWN = 5
"""Maximum number of refused rules in a message."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Report of a node; counts are those of the desired ruleset, policies are all that apply to the node."""

    node: str
    enforced: bool | None
    """Whether the last apply enforced everything; None before the first apply."""
    reason: str
    """Reason, as one CamelCase word."""
    message: str = ""
    sequence: int | None = None
    ruleset: str = ""
    rules: int = 0
    sets: int = 0
    members: int = 0
    policies: tuple[PolicyStatus, ...] = ()
    refusal: ApplyFailed | None = None
    """The last failed apply, which may be long ago."""

    @property
    def watched_fields(self) -> tuple[object, ...]:
        """The parts that a watcher waits for: phases and errors, not the frequently changing counts."""
        policies = tuple((each.policy, each.phase, each.version, each.notes) for each in self.policies)
        return (self.enforced, self.reason, self.message, policies, self.refusal)


def report_of(
    state: ClusterState,
    node: str,
    wanted: DesiredRuleset,
    refusal: ApplyFailed | None = None,
    fingerprints: RulesetDigests | None = None,
) -> NodeReport:
    """Return the report of a node.

    Args:
        state: the cluster state with the node's outcomes.
        node: the name of the node.
        wanted: its desired ruleset in that state.
        refusal: the last failed apply, if any.
        fingerprints: cached digests.

    Raises:
        UnknownNode: the state has no such node.
    """
    enforced, reason, message, sequence, digest = _outcome(state.outcomes.get(node))
    rules, members = count_rules_and_members(wanted.ruleset)
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
        policies=node_policy_statuses(state, node, wanted, fingerprints),
        refusal=refusal,
    )


def count_rules_and_members(ruleset: Ruleset) -> tuple[int, int]:
    """Return the number of rules of both families and of members of all sets."""
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
