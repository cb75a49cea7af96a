"""What real firewalls wrote is read without loss."""

import pytest

from engine.rulesets.model import Family
from engine.rulesets.text import parse_sets, parse_tables, render_sets, render_tables
from tests.support.rulesets.saved_rulesets import NAMES, ruleset_of, sets_text, text_of


def significant(text: str) -> list[str]:
    """The lines of a text but for comments."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def in_words(text: str) -> list[list[str]]:
    """The words of each line, sorted."""
    return sorted(sorted(line.split()) for line in significant(text))


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", NAMES)
def test_rules_are_written_as_they_were_read(name: str, family: Family) -> None:
    """Rules come out as the very text they were read from, and are read from it as the same."""
    text = text_of(name, family)
    tables = parse_tables(text)
    assert significant(render_tables(tables)) == significant(text)
    assert parse_tables(render_tables(tables)) == tables


@pytest.mark.parametrize("name", [name for name in NAMES if sets_text(name)])
def test_sets_are_written_as_they_were_read(name: str) -> None:
    """Sets come out with the same words, though create options in another order."""
    sets = parse_sets(sets_text(name))
    assert in_words(render_sets(sets)) == in_words(sets_text(name))
    assert parse_sets(render_sets(sets)) == sets


@pytest.mark.parametrize("name", NAMES)
def test_every_set_that_rules_look_into_is_there(name: str) -> None:
    """The dumps are whole."""
    ruleset = ruleset_of(name)
    used = {used for _, _, chain in ruleset.chains() for rule in chain.rules for used in rule.set_names}
    assert used <= {found.name for found in ruleset.sets}
