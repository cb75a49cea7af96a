"""Packet and byte counters of each policy rule, read from the kernel.

Input: a :class:`Runner`, which starts ``iptables-save --counters`` and ``ipset save``, and the backend. Output: a
:class:`RuleCount` for each family, policy and rule.

One kernel rule can serve several policy rules. Then the set members have the counters, and the comment of a member
names its policy rule.

Raises ``KernelRefused`` if a tool fails, and ``ToolMissing`` if it is not installed. Sources: iptables-save(8),
ipset(8).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.iptables import save_output
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
    """Counters of one policy rule in one family; packets that only its log target matched are not included."""

    family: Family
    policy: str
    rule: str
    packets: int
    octets: int


def counted(runner: Runner, backend: BackendName) -> tuple[RuleCount, ...]:
    """Return the counters since each kernel rule was created, sorted by family, policy and rule.

    Raises:
        KernelRefused: a tool failed.
        ToolMissing: a tool is not installed.
    """
    rules = {family: save_output(runner, f"{FAMILY_TOOL[family]}-{backend}-save", "--counters") for family in Family}
    return counts(rules, save_output(runner, "ipset", "save"))


def counts(rules: Mapping[Family, str], sets: str) -> tuple[RuleCount, ...]:
    """Sum the counters of each policy rule in the output of ``iptables-save --counters`` and ``ipset save``."""
    sums: dict[tuple[Family, str, str], tuple[int, int]] = {}
    for owner, packets, octets in chain(_by_rules(rules), _by_members(sets)):
        before = sums.get(owner, (0, 0))
        sums[owner] = before[0] + packets, before[1] + octets
    return tuple(RuleCount(*owner, *sums[owner]) for owner in sorted(sums))


_Counted = tuple[tuple[Family, str, str], int, int]


def _by_rules(rules: Mapping[Family, str]) -> Iterator[_Counted]:
    for family, text in rules.items():
        for packets, octets, rest in _RULE.findall(text):
            if (owner := _owner(tokens(rest, FAMILY_TOOL[family], 0))) is not None:
                yield (family, *owner), int(packets), int(octets)


def _by_members(sets: str) -> Iterator[_Counted]:
    for name, packets, octets, comment in _MEMBER.findall(sets):
        if (owner := owner_of_member(comment)) is not None:
            yield (Family.IPV4 if name == "4" else Family.IPV6, *owner), int(packets), int(octets)


def _owner(words: list[str]) -> tuple[str, str] | None:
    """Return policy and rule of a kernel rule; None if it has no single owner or only logs."""
    if "--comment" not in words or {"LOG", "NFLOG"} & set(words):
        return None
    return owner_of(words[words.index("--comment") + 1])
