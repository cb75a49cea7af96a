"""Operations of plans as plain values."""

from collections.abc import Iterable

from engine.rulesets.text.operations import Op


def ops_as_json(ops: Iterable[Op]) -> list[dict[str, str]]:
    """Return operations in their order."""
    return [{"tool": op.tool.value, "op": op.op, "object": op.object, "detail": op.detail} for op in ops]
