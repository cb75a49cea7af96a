"""RBAC rules of nodewall's workloads (agent, controller and webhook), each with the least rights that it needs.

Output: the rules of a Role or ClusterRole as JSON values, for the install manifests.
"""

from collections.abc import Iterable

from adapters.kubernetes.api.resources import BY_KIND, CRD_GROUP, NODE_FIREWALLS, OWN_GROUP, RESOURCES, Resource
from adapters.kubernetes.cluster_view import DECLARED

RbacRules = list[dict[str, object]]
"""Rules of a Role or ClusterRole."""


def agent() -> RbacRules:
    """Return the rights of agents: watch every kind that rules depend on, write reports and Events."""
    plural = NODE_FIREWALLS.plural
    return [
        *_heard(RESOURCES),
        _rule(OWN_GROUP, [plural], "create", "patch"),
        _rule(OWN_GROUP, [f"{plural}/status"], "patch"),
        _TELLS,
    ]


def controller() -> RbacRules:
    """Return the cluster-wide rights of controllers: watch policies and reports, write status, delete old reports."""
    return [
        *_heard((*DECLARED, BY_KIND["Node"], NODE_FIREWALLS)),
        _rule(CRD_GROUP, [f"{BY_KIND['ClusterNetworkPolicy'].plural}/status"], "patch"),
        _rule(OWN_GROUP, [NODE_FIREWALLS.plural], "delete"),
        _TELLS,
    ]


def election(lease: str) -> RbacRules:
    """Return the rights of controllers in their namespace: create leases, and renew the one called ``lease``."""
    group = "coordination.k8s.io"
    return [_rule(group, ["leases"], "create"), {**_rule(group, ["leases"], "get", "update"), "resourceNames": [lease]}]


def webhook() -> RbacRules:
    """Return the rights of webhooks: watch the kinds that they check objects against."""
    return _heard(DECLARED)


def _heard(resources: Iterable[Resource]) -> RbacRules:
    groups: dict[str, list[str]] = {}
    for resource in resources:
        groups.setdefault(resource.group, []).append(resource.plural)
    return [_rule(group, plurals, "list", "watch") for group, plurals in groups.items()]


def _rule(group: str, resources: list[str], *verbs: str) -> dict[str, object]:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


_TELLS = _rule("", ["events"], "create", "patch")
