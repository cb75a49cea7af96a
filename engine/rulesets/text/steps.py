"""Renders the steps of a plan as input text of restore commands.

Input: `Step` values of :mod:`engine.rulesets.plan`, or a whole `Ruleset`. Output: text for ``ipset restore``,
``iptables-restore`` and ``ip6tables-restore``. Errors: ``ValueError`` for a word that no restore line can express.
Sources: iptables-restore(8), ipset(8).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.rulesets.canonical import portable_rule
from engine.rulesets.diff import (
    ChainChange,
    ChainEdit,
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
    diff,
)
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import Step, Tool, make_plan
from engine.rulesets.text.ipsets import render_create, render_member
from engine.rulesets.text.quoting import plain_name
from engine.rulesets.text.tables import render_rule


def portable(step: Step) -> Step:
    """Return a step whose rules every release of iptables reads.

    Without /etc/protocols no release knows ``igmp``, so such protocols become numbers.
    """
    changes = tuple(map(_portable, step.changes))
    return step if changes == step.changes else replace(step, changes=changes)


def _portable(change: RulesetChange) -> RulesetChange:
    if isinstance(change, RuleInserted | RuleDeleted | JumpPlaced | JumpRemoved):
        rule = portable_rule(change.rule)
        return change if rule is change.rule else replace(change, rule=rule)
    return change


def render_step(step: Step) -> str:
    """Return the input text of the step's restore command.

    Raises:
        ValueError: a name or a value has a character that no restore line can express.
    """
    if step.tool is Tool.IPSET:
        lines = [_set_line(change) for change in step.changes if isinstance(change, SetEdit)]
    else:
        lines = list(_table_lines([change for change in step.changes if isinstance(change, ChainEdit)]))
    return "".join(f"{line}\n" for line in lines)


def full_text(wanted: Ruleset) -> dict[Tool, str]:
    """Return by tool the restore text that creates a whole ruleset in an empty kernel."""
    texts = dict.fromkeys(Tool, "")
    for step in make_plan(diff(Ruleset(), wanted)).steps:
        texts[step.tool] += render_step(step)
    return texts


def _set_line(change: SetEdit) -> str:
    match change:
        case SetCreated(item):
            return render_create(item)
        case SetDestroyed(name):
            return f"destroy {plain_name(name)}"
        case MemberAdded(name, member) | MemberChanged(name, member):
            # -exist makes ipset overwrite the flags of an element that is there. Every line bears it, because ipset
            # sends the lines of one set together, under the flags of only one of them.
            return f"add {plain_name(name)} {render_member(member)} -exist"
        case MemberRemoved(name, member):
            return f"del {plain_name(name)} {render_member(member[:1])}"


def _table_lines(changes: Sequence[ChainEdit]) -> Iterator[str]:
    for table in sorted({change.table for change in changes}):
        ours = [change for change in changes if change.table == table]
        chains = [change for change in ours if isinstance(change, ChainChange)]
        gone = sorted(plain_name(change.chain) for change in chains if not change.created)
        yield f"*{plain_name(table)}"
        yield from (f":{plain_name(change.chain)} - [0:0]" for change in chains if change.created)
        # Emptied first and removed last, so that chains which jump to each other can go together.
        yield from (f"-F {name}" for name in gone)
        yield from (_rule_line(change) for change in ours if not isinstance(change, ChainChange))
        yield from (f"-X {name}" for name in gone)
        yield "COMMIT"


def _rule_line(change: RuleInserted | RuleDeleted | JumpPlaced | JumpRemoved) -> str:
    chain = plain_name(change.chain)
    match change:
        case RuleInserted(at_end=True):
            return f"-A {chain}{render_rule(change.rule)}"
        case RuleInserted():
            return f"-I {chain} {change.position}{render_rule(change.rule)}"
        case RuleDeleted():
            return f"-D {chain} {change.position}"
        case JumpPlaced(last=True):
            return f"-A {chain}{render_rule(change.rule)}"
        case JumpPlaced():
            return f"-I {chain} 1{render_rule(change.rule)}"
        case JumpRemoved():
            # By its words, never by a number: the chain is not ours and may have changed since it was read.
            return f"-D {chain}{render_rule(change.rule)}"
