"""The kernel takes what real firewalls wrote, as nodewall writes it."""

from collections.abc import Iterator

import pytest

from adapters.lab import Namespaces
from adapters.process import SystemRunner
from engine.restore import parse_sets, parse_tables, render_sets, render_tables
from engine.ruleset import Family
from tests.dumps import NAMES, sets_text, text_of

pytestmark = pytest.mark.kernel

TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


@pytest.fixture
def two(kernel: None) -> Iterator[list[SystemRunner]]:  # noqa: ARG001  # asked for its effect
    """Two namespaces without rules."""
    with Namespaces(("theirs", "ours")) as made:
        yield [SystemRunner(made[name]) for name in ("theirs", "ours")]


def saved(runner: SystemRunner, backend: str, family: Family, sets: str, rules: str) -> list[str]:
    """Put sets and rules in force; return what the tools then save, without comments, counters and random numbers."""
    tool = f"{TOOLS[family]}-{backend}"
    runner.run(["ipset", "restore"], sets).or_refused("ipset")
    runner.run([f"{tool}-restore"], rules).or_refused(tool)
    there = runner.run([f"{tool}-save"]).or_refused(tool) + runner.run(["ipset", "save", "-sorted"]).or_refused("ipset")
    lines = (line.partition(" initval ")[0] for line in there.splitlines() if not line.startswith("#"))
    return [line.partition(" [")[0] if line.startswith(":") else line for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_holds_the_same_by_our_words(
    name: str, two: list[SystemRunner], backend: str, family: Family
) -> None:
    """What nodewall writes of a dump is taken by both backends, which then save the same as by the dump itself."""
    sets, rules = sets_text(name), text_of(name, family)
    theirs, ours = two
    by_dump = saved(theirs, backend, family, sets, rules)
    written = render_sets(parse_sets(sets)), render_tables(parse_tables(rules))
    assert saved(ours, backend, family, *written) == by_dump
    assert len(by_dump) > len(rules.splitlines()) // 2
