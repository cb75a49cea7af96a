"""What real firewalls wrote is modelled, but for what is named here."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters.cli.render.findings import summary
from engine.rulesets.model import Family, Hook, Rule, Ruleset, Table
from simulator.analysis.compare import compare
from simulator.analysis.lint import lint
from simulator.analysis.search import SearchQuestion, search
from simulator.expression import parse
from simulator.matches.base import UNMODELLED
from simulator.netfilter import Verdict
from simulator.netfilter.program import compile_program
from tests.support.rulesets.saved_rulesets import NAMES, ruleset_of

NOT_MODELLED = {
    "connlimit": "it counts the connections of an address that the node tracks, which no packet tells",
    "helper": "what a conntrack helper expects stands in the payload of protocols such as FTP",
}
"""Words of matches and targets that real rulesets have and the simulator has not, and why."""


def unmodelled(ruleset: Ruleset) -> Iterator[str]:
    """Yield each match and target without a model."""
    for family in Family:
        for table in compile_program(ruleset, family).chains.values():
            for rule in (rule for chain in table.values() for rule in chain.rules):
                yield from (test.text for test in rule.tests if test.why == UNMODELLED)
                if UNMODELLED in rule.effect.assumption:
                    yield f"{rule.target}: {rule.effect.assumption}"


@pytest.mark.parametrize("name", NAMES)
def test_all_that_real_firewalls_use_is_modelled(name: str) -> None:
    """Every match and target of a real ruleset has a model, or is on the list with the reason."""
    strange = {text for text in unmodelled(ruleset_of(name)) if not any(word in text for word in NOT_MODELLED)}
    assert strange == set()


def test_what_is_said_not_to_be_modelled_is_not() -> None:
    """The list names nothing that has a model by now."""
    found = {text for name in NAMES for text in unmodelled(ruleset_of(name))}
    assert {word for word in NOT_MODELLED if any(word in text for text in found)} == set(NOT_MODELLED)


# All packets at once


def _thinned(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """Return tables without every fifth rule of each chain."""
    return tuple(
        replace(table, chains=tuple(replace(chain, rules=_without_fifths(chain.rules)) for chain in table.chains))
        for table in tables
    )


def _without_fifths(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for number, rule in enumerate(rules, 1) if number % 5)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_shown_of_them_is_confirmed(name: str) -> None:
    """Searches, comparisons with a thinned version and lint show packets that walks confirm, else they would fail."""
    whole = ruleset_of(name)
    thin = replace(whole, ipv4=_thinned(whole.ipv4), ipv6=_thinned(whole.ipv6))
    for change in compare(whole, thin):
        assert change.was is not change.now
    for finding in lint(whole):
        assert summary(finding).isprintable()
    accepted = [search(whole, SearchQuestion(hook, parse("tcp"), Verdict.ACCEPT)).count for hook in Hook]
    assert all(accepted)
