"""Every rule line over the matches and targets of iptables, through the codec and back, as the real tools see it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from adapters.lab.netns import Namespaces
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family
from engine.rulesets.text import parse_tables, render_tables
from tests.support.rulesets.corpus.lines import CHAINS, SETS, UNSURE, Line, corpus

pytestmark = pytest.mark.kernel

AT_LEAST = 3000
"""Lines of each family that each backend must accept, so that what is tested cannot dwindle unseen."""

_AT_ONCE = 64
_COMMENT = re.compile("^#.*\n", re.MULTILINE)
_TABLE = re.compile(r"^\*.*?^COMMIT\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tool:
    """iptables-restore and iptables-save of one backend and family, in one network namespace."""

    program: str
    runner: SystemRunner

    def restores(self, text: str) -> bool:
        """Load a text with its counters, and return whether it was accepted."""
        return self.runner.run([f"{self.program}-restore", "--counters", "-w", "10"], text).status == 0

    def saved(self) -> str:
        """Return what is in force, with counters, tables by name; comments tell the time and are left out."""
        saved = self.runner.run([f"{self.program}-save", "--counters"]).or_refused(self.program)
        return "".join(sorted(_TABLE.findall(_COMMENT.sub("", saved))))


@pytest.fixture
def tools(kernel: None, backend: str, family: Family) -> Iterator[tuple[Tool, Tool]]:  # noqa: ARG001  # kernel: its effect
    """The same tool in two namespaces, with all sets that the lines name."""
    program = f"{'iptables' if family is Family.IPV4 else 'ip6tables'}-{backend}"
    with Namespaces(("given", "again")) as made:
        runners = [SystemRunner(made[name]) for name in ("given", "again")]
        for runner in runners:
            runner.run(["ipset", "restore"], SETS).or_refused("ipset")
        first, second = (Tool(program, runner) for runner in runners)
        yield first, second


def whole(lines: Sequence[Line]) -> str:
    """Return a restore text with these lines."""
    text: list[str] = []
    for table in dict.fromkeys(line.table for line in lines):
        rules = [line.text for line in lines if line.table == table]
        text += [f"*{table}", *(f":{chain} - [0:0]" for chain in CHAINS), *rules, "COMMIT"]
    return "".join(f"{line}\n" for line in text)


def accepted(tool: Tool, lines: Sequence[Line]) -> Iterator[Line]:
    """Yield the lines that the tool accepts; many are tried at once, and halved where one is refused."""
    if tool.restores(whole(lines)):
        yield from lines
    elif len(lines) > 1:
        middle = len(lines) // 2
        yield from accepted(tool, lines[:middle])
        yield from accepted(tool, lines[middle:])


def loaded(tool: Tool, family: Family) -> str:
    """Load every line that is accepted, and return them as one text."""
    lines = corpus(family)
    starts = range(0, len(lines), _AT_ONCE)
    taken = [line for start in starts for line in accepted(tool, lines[start : start + _AT_ONCE])]
    refused = {re.sub(r"^.*-A \S+ ", "", line.text) for line in set(lines) - set(taken)}
    assert refused <= UNSURE
    assert len(taken) >= AT_LEAST
    text = whole(taken)
    assert tool.restores(text)
    return text


def test_saved_lines_are_rendered_and_restored_unchanged(tools: tuple[Tool, Tool], family: Family) -> None:
    """What iptables-save prints of every line reads, is rendered byte for byte, and restores to the same again."""
    given, again = tools
    loaded(given, family)
    saved = given.saved()

    rendered = render_tables(parse_tables(saved, family=family), counters=True)

    assert rendered == saved
    assert again.restores(rendered)
    assert again.saved() == saved


def test_written_lines_mean_what_the_tool_makes_of_them(tools: tuple[Tool, Tool], family: Family) -> None:
    """What people write reads, and what is rendered of it puts the same into force as what they wrote."""
    given, again = tools
    text = loaded(given, family)

    rendered = render_tables(parse_tables(text, family=family), counters=True)

    assert again.restores(rendered)
    assert again.saved() == given.saved()
