"""What the kernel counted: packets and bytes by rule of a policy. Source: iptables-save(8), ``--counters``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.kernel import Backend
from adapters.process import Runner
from engine.names import CHAIN_PREFIX, is_merged, names_in, owner_of
from engine.plan import FAMILY_TOOL
from engine.restore.words import tokens
from engine.ruleset import Family

MERGED = "(merged)"
"""Stands where a policy's name would where a kernel rule serves several; the rule then is their names."""

_RULE = re.compile(rf"^\[(\d+):(\d+)\] -A {CHAIN_PREFIX}\S+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted of one rule of a policy in one family; targets of logs count for themselves, not for it."""

    family: Family
    policy: str
    rule: str
    packets: int
    octets: int


def counted(runner: Runner, backend: Backend) -> tuple[Count, ...]:
    """Return what was counted since each rule was made, by family, policy and rule.

    Raises:
        KernelRefused: the tool did not answer.
        ToolMissing: there is no such tool.
    """
    found: list[Count] = []
    for family in Family:
        program = f"{FAMILY_TOOL[family]}-{backend}-save"
        found += counts_in(runner.run([program, "--counters"]).or_refused(program), family)
    return tuple(found)


def counts_in(text: str, family: Family) -> Iterator[Count]:
    """Yield what the text of ``iptables-save --counters`` says of each rule of a policy."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for packets, octets, rest in _RULE.findall(text):
        owner = _owner(tokens(rest, FAMILY_TOOL[family], 0))
        if owner is not None:
            before = sums.get(owner, (0, 0))
            sums[owner] = before[0] + int(packets), before[1] + int(octets)
    for (policy, rule), (packets, octets) in sorted(sums.items()):
        yield Count(family, policy, rule, packets, octets)


def _owner(words: list[str]) -> tuple[str, str] | None:
    """Return whose rule the words are, None where it is nobody's or one that only logs."""
    if "--comment" not in words or {"LOG", "NFLOG"} & set(words):
        return None
    comment = words[words.index("--comment") + 1]
    return (MERGED, names_in(comment)) if is_merged(comment) else owner_of(comment)
