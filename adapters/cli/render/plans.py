"""Converts the operations of a plan, such as new rules or set members, to JSON values for the commands.

Input: :class:`Op` values, each one change of a rule, a chain or a set. Output: dictionaries with the keys ``tool``,
``op``, ``object`` and ``detail``.
"""

from collections.abc import Iterable

from engine.rulesets.text.operations import Op


def ops_as_json(ops: Iterable[Op]) -> list[dict[str, str]]:
    """Return operations as JSON values, in the same order."""
    return [{"tool": op.tool.value, "op": op.op, "object": op.object, "detail": op.detail} for op in ops]
