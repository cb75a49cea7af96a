"""Table of the backends that nodewall writes by, and the choice of one for a node.

A backend is a module with a class that satisfies :class:`ToolBackend`, and a row of ``BACKENDS``.
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
    """Backend that works by the programs that ``runner`` starts, in the network namespace of the runner."""

    @property
    def name(self) -> BackendName:
        """The name of its row in ``BACKENDS``."""
        ...

    @property
    def runner(self) -> Runner:
        """What starts its programs."""
        ...


class RuleWatch(RuleChanges, AbstractContextManager["RuleWatch"], Protocol):
    """Open watch for changes of rules; ``descriptor`` can be read from once there are any, None means to ask."""

    @property
    def descriptor(self) -> int | None:
        """A descriptor for select(2), or None."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """How a backend is made from a runner, and how changes of its rules in a network namespace are watched."""

    make: Callable[[Runner], ToolBackend]
    watch: Callable[[str], RuleWatch]


def _legacy_watch(netns: str) -> RuleWatch:
    from adapters.netfilter.legacy_changes import LegacyRuleChanges  # noqa: PLC0415 - numpy is slow to import, and agents alone need it

    return LegacyRuleChanges(netns)


BACKENDS: Mapping[BackendName, Row] = {
    BackendName.NFT: Row(partial(IptablesBackend, variant=NFT), NftRuleChanges),
    BackendName.LEGACY: Row(partial(IptablesBackend, variant=LEGACY), _legacy_watch),
}
"""The backends; where nothing else tells two apart, the first one is taken."""


def choose_backend(runner: Runner, name: BackendName = BackendName.AUTO) -> ToolBackend:
    """Return the backend of a name; for ``auto`` the one with most rules of others, else with most of ours.

    Raises:
        TextRefused: for ``auto``, what a tool printed does not parse.
    """
    if name is not BackendName.AUTO:
        return BACKENDS[name].make(runner)
    return max((row.make(runner) for row in BACKENDS.values()), key=_rule_counts)


def others_of(backend: ToolBackend) -> tuple[ToolBackend, ...]:
    """Return the backends that could have rules beside those of this one, in the same network namespace."""
    return tuple(row.make(backend.runner) for name, row in BACKENDS.items() if name is not backend.name)


def mixture(backend: ToolBackend) -> str:
    """Return a note where others have rules in several backends, all of which judge packets; else nothing."""
    found = [each.name for each in (backend, *others_of(backend)) if _rule_counts(each)[0] > 0]
    if len(found) < 2:
        return ""
    rest = ", ".join(found[1:])
    return f"others have rules in both backends of iptables; nodewall writes by {found[0]}, and {rest} judges too"


def _rule_counts(backend: Backend) -> tuple[int, int]:
    """Return the number of rules of others and of ours, -1 and 0 where the backend is not on this machine."""
    try:
        tables = [table for family in Family for table in backend.tables(family)]
    except (ToolMissing, KernelRefused):
        return -1, 0  # if it is the one we end up with, the next call says why
    rules = [rule for table in tables for chain in table.chains for rule in chain.rules]
    ours = sum(rule.comment.partition(" ")[0] == comment_of() for rule in rules)
    return len(rules) - ours, ours
