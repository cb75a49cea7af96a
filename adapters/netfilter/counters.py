"""What the kernel counted: packets and bytes by rule of a policy. Sources: iptables-save(8), ``--counters``; ipset(8).

A kernel rule that serves several looks into a set whose members count, each for the rule that its comment names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from adapters.netfilter.backend_name import BackendName
from adapters.system.process import Runner
from engine.rulesets.model import Family
from engine.rulesets.ownership import CHAIN_PREFIX, SET_PREFIX, owner_of, owner_of_member
from engine.rulesets.plan import FAMILY_TOOL
from engine.rulesets.text.quoting import tokens

_MEMBER = re.compile(
    rf'^add {SET_PREFIX}([46])\S+ \S+ packets (\d+) bytes (\d+) comment "(.*)"$',
    re.MULTILINE,
)
_RULE = re.compile(rf"^\[(\d+):(\d+)\] -A {CHAIN_PREFIX}\S+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What was counted of one rule of a policy in one family; targets of logs count for themselves, not for it."""

    family: Family
    policy: str
    rule: str
    packets: int
    octets: int


def counted(runner: Runner, backend: BackendName) -> tuple[RuleCount, ...]:
    """Return what was counted since each rule was made, by family, policy and rule.

    Raises:
        KernelRefused: the tool did not answer.
        ToolMissing: there is no such tool.
    """
    programs = {family: f"{FAMILY_TOOL[family]}-{backend}-save" for family in Family}
    saved = {family: runner.run([program, "--counters"]).or_refused(program) for family, program in programs.items()}
    return counts(saved, runner.run(["ipset", "save"]).or_refused("ipset"))


def counts(saved: Mapping[Family, str], sets: str) -> tuple[RuleCount, ...]:
    """Return what the texts of ``iptables-save --counters`` and of ``ipset save`` say of each rule of a policy."""
    sums: dict[tuple[Family, str, str], tuple[int, int]] = {}
    for owner, packets, octets in chain(_by_rules(saved), _by_members(sets)):
        before = sums.get(owner, (0, 0))
        sums[owner] = before[0] + packets, before[1] + octets
    return tuple(RuleCount(*owner, *sums[owner]) for owner in sorted(sums))


_Counted = tuple[tuple[Family, str, str], int, int]


def _by_rules(saved: Mapping[Family, str]) -> Iterator[_Counted]:
    for family, text in saved.items():
        for packets, octets, rest in _RULE.findall(text):
            if (owner := _owner(tokens(rest, FAMILY_TOOL[family], 0))) is not None:
                yield (family, *owner), int(packets), int(octets)


def _by_members(sets: str) -> Iterator[_Counted]:
    for name, packets, octets, comment in _MEMBER.findall(sets):
        if (owner := owner_of_member(comment)) is not None:
            yield (Family.IPV4 if name == "4" else Family.IPV6, *owner), int(packets), int(octets)


def _owner(words: list[str]) -> tuple[str, str] | None:
    """Return whose rule the words are, None where it is nobody's, of several, or one that only logs."""
    if "--comment" not in words or {"LOG", "NFLOG"} & set(words):
        return None
    return owner_of(words[words.index("--comment") + 1])
