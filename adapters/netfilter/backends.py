"""Table of the backends (iptables-nft, iptables-legacy) that read and write rules, and the choice of one for a Node.

Input: a :class:`Runner`, which starts programs in a network namespace, and a :class:`BackendName`. Output: a
:class:`ToolBackend`, which runs the iptables programs. For ``auto``, the backend with the most rules of other programs
is chosen.

A new backend needs a class that satisfies :class:`ToolBackend`, and a row in ``BACKENDS``. Raises ``TextRefused`` if
the output of a tool does not parse.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.cached import RuleChanges
from adapters.netfilter.iptables import LEGACY, NFT, IptablesBackend
from adapters.netfilter.nft_changes import NftRuleChanges
from adapters.system.process import Runner
from engine.errors import KernelRefused, ToolMissing
from engine.reconcile.interfaces import Backend
from engine.rulesets.model import Family
from engine.rulesets.ownership import comment_of


class ToolBackend(Backend, Protocol):
    """Backend that runs programs, in the network namespace of its ``runner``."""

    @property
    def name(self) -> BackendName:
        """Name of the backend's row in ``BACKENDS``."""
        ...

    @property
    def runner(self) -> Runner:
        """Runner that starts the programs."""
        ...


class RuleWatch(RuleChanges, AbstractContextManager["RuleWatch"], Protocol):
    """Open watch for rule changes; its ``descriptor`` becomes readable after a change, None means to poll."""

    @property
    def descriptor(self) -> int | None:
        """File descriptor for select(2), or None."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """Constructors of a backend, from a runner, and of a watch for its rules, from a network namespace."""

    make: Callable[[Runner], ToolBackend]
    watch: Callable[[str], RuleWatch]


def _legacy_watch(netns: str) -> RuleWatch:
    from adapters.netfilter.legacy_changes import LegacyRuleChanges  # noqa: PLC0415 - numpy is slow to import, and agents alone need it

    return LegacyRuleChanges(netns)


BACKENDS: Mapping[BackendName, Row] = {
    BackendName.NFT: Row(partial(IptablesBackend, variant=NFT), NftRuleChanges),
    BackendName.LEGACY: Row(partial(IptablesBackend, variant=LEGACY), _legacy_watch),
}
"""All backends; the first one wins a tie of ``choose_backend``."""


def choose_backend(runner: Runner, name: BackendName = BackendName.AUTO) -> ToolBackend:
    """Return the backend with a name; for ``auto``, the one with the most foreign rules, then the most own rules.

    Raises:
        TextRefused: for ``auto``, the output of a tool does not parse.
    """
    if name is not BackendName.AUTO:
        return BACKENDS[name].make(runner)
    return max((row.make(runner) for row in BACKENDS.values()), key=_rule_counts)


def others_of(backend: ToolBackend) -> tuple[ToolBackend, ...]:
    """Return all other backends, for the same network namespace."""
    return tuple(row.make(backend.runner) for name, row in BACKENDS.items() if name is not backend.name)


def mixed_backends_note(backend: ToolBackend) -> str:
    """Return a note if foreign rules exist in several backends, which all judge packets; else an empty string."""
    found = [each.name for each in (backend, *others_of(backend)) if _rule_counts(each)[0] > 0]
    if len(found) < 2:
        return ""
    rest = ", ".join(found[1:])
    return f"others have rules in both backends of iptables; nodewall writes by {found[0]}, and {rest} judges too"


def _rule_counts(backend: Backend) -> tuple[int, int]:
    """Return the numbers of foreign and own rules; -1 and 0 if the backend is not installed."""
    try:
        tables = [table for family in Family for table in backend.tables(family)]
    except (ToolMissing, KernelRefused):
        return -1, 0  # if this backend is chosen, the next call raises the error
    rules = [rule for table in tables for chain in table.chains for rule in chain.rules]
    ours = sum(rule.comment.partition(" ")[0] == comment_of() for rule in rules)
    return len(rules) - ours, ours
