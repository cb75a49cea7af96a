"""Converts the status of policies on a Node to JSON values, for ``nodewall status`` and the support bundle.

Input: :class:`PolicyStatus` values, one per policy. Output: dictionaries with the keys ``policy``, ``phase``,
``sequence`` (that of the applied cluster state) and ``notes``.
"""

from collections.abc import Iterable

from engine.status.policy_status import PolicyStatus


def statuses_as_json(statuses: Iterable[PolicyStatus]) -> list[dict[str, object]]:
    """Return policy statuses as JSON values, in the same order."""
    return [
        {"policy": each.policy, "phase": each.phase.value, "sequence": each.sequence, "notes": list(each.notes)}
        for each in statuses
    ]
