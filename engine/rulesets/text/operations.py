"""Renders the changes of a plan as the operations (ops) that ``nodewall plan`` and ``diff`` show.

Input: `RulesetChange` values or a `Plan`. Output: `Op` values; their JSON keys are part of the command line's contract.
"""

from dataclasses import dataclass

from engine.rulesets.diff import (
    ChainChange,
    JumpPlaced,
    JumpRemoved,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    RuleDeleted,
    RuleInserted,
    RulesetChange,
    SetCreated,
    SetDestroyed,
    SetEdit,
)
from engine.rulesets.plan import Plan, Tool, tool_of
from engine.rulesets.text.tables import render_rule


@dataclass(frozen=True, slots=True)
class Op:
    """One operation for display: the tool, the verb, the object and details."""

    tool: Tool
    op: str
    object: str
    detail: str = ""

    def __str__(self) -> str:
        """Return the operation as one line."""
        return f"{self.tool} {self.op} {self.object} {self.detail}".rstrip()


def ops_of(plan: Plan) -> tuple[Op, ...]:
    """Return all operations of a plan in order."""
    return tuple(map(op_of, plan.changes))


def op_of(change: RulesetChange) -> Op:
    """Return the operation for a change."""
    tool = tool_of(change)
    if isinstance(change, SetEdit):
        return _set_op(tool, change)
    place = f"{change.table}/{change.chain}"
    match change:
        case ChainChange():
            return Op(tool, "new-chain" if change.created else "delete-chain", place)
        case RuleInserted():
            return Op(tool, "insert", place, f"{change.position}:{render_rule(change.rule)}")
        case RuleDeleted():
            return Op(tool, "delete", place, f"{change.position}:{render_rule(change.rule)}")
        case JumpPlaced(last=True):
            return Op(tool, "append", place, render_rule(change.rule).strip())
        case JumpPlaced():
            return Op(tool, "insert", place, f"1:{render_rule(change.rule)}")
        case JumpRemoved():
            return Op(tool, "delete", place, render_rule(change.rule).strip())


def _set_op(tool: Tool, change: SetEdit) -> Op:
    match change:
        case SetCreated(item):
            return Op(tool, "create", item.name, item.type)
        case SetDestroyed(name):
            return Op(tool, "destroy", name)
        case MemberAdded(name, member):
            return Op(tool, "add", name, " ".join(member))
        case MemberChanged(name, member):
            return Op(tool, "change", name, " ".join(member))
        case MemberRemoved(name, member):
            return Op(tool, "del", name, " ".join(member))
