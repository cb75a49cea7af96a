"""Rulesets of real firewalls, which the `make` scripts under ``tests/fixtures/rulesets/`` saved."""

from pathlib import Path

from engine.rulesets.model import Family, Ruleset
from engine.rulesets.text import parse_sets, parse_tables

FOLDER = Path(__file__).parents[2] / "fixtures" / "rulesets"
NAMES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/make")))
FILES = {Family.IPV4: "rules.v4", Family.IPV6: "rules.v6"}


def text_of(name: str, family: Family) -> str:
    """Return the output of iptables-save or ip6tables-save."""
    return (FOLDER / name / FILES[family]).read_text()


def sets_text(name: str) -> str:
    """Return the output of ipset save; empty if there were no sets."""
    path = FOLDER / name / "ipset"
    return path.read_text() if path.exists() else ""


def ruleset_of(name: str) -> Ruleset:
    """Return the whole ruleset."""
    tables = {family: parse_tables(text_of(name, family), FILES[family]) for family in Family}
    return Ruleset(tables[Family.IPV4], tables[Family.IPV6], parse_sets(sets_text(name)))
