"""Status of policies on a node as plain values."""

from collections.abc import Iterable

from engine.status.policy_status import PolicyStatus


def statuses_as_json(statuses: Iterable[PolicyStatus]) -> list[dict[str, object]]:
    """Return the status of each policy, in their order."""
    return [
        {"policy": each.policy, "phase": each.phase.value, "sequence": each.sequence, "notes": list(each.notes)}
        for each in statuses
    ]
