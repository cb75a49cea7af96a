"""Lifelines of a node: traffic to and from its cluster that must stay possible.

Input: `ClusterState` and a node name. Output: `CompletedRule` values with action Allow, which the lockout guard checks
before each apply. They are the configured static Allow rules plus the built-in ones for API server, kubelet, etcd and
DNS.
"""

from dataclasses import replace

from engine.objects.config import PrivilegedRules as Configured
from engine.policy.completed_rules import Action, CompletedRule
from engine.policy.incremental import QueryCache
from engine.policy.resolve import PrivilegedRulesQuery
from engine.state.fold import ClusterState

BUILT_IN = frozenset({"api-server-in", "api-server-out", "kubelet-in", "kubelet-out", "etcd-in", "etcd-out", "dns-out"})
"""Default static rules that are lifelines even if the configuration replaces them."""


def lifelines(state: ClusterState, node: str) -> tuple[CompletedRule, ...]:
    """Return the rules whose traffic is a lifeline: static Allow rules and the built-in ones, without duplicates."""
    own = _static(state, node)
    unchanged = state.config.model_copy(update={"privileged_rules": Configured()})
    defaults = _static(replace(state, config=unchanged), node)
    meant = {(rule.direction, rule.peers, rule.services) for rule in own}
    lacking = (rule for rule in defaults if rule.name in BUILT_IN)
    return (*own, *(rule for rule in lacking if (rule.direction, rule.peers, rule.services) not in meant))


def _static(state: ClusterState, node: str) -> tuple[CompletedRule, ...]:
    rules = QueryCache(state).ask(PrivilegedRulesQuery(node))
    return tuple(rule for rule in rules if rule.action is Action.ALLOW)
