"""docs/reference/netfilter.md lists every match, target and type of sets that the simulator knows, and no other."""

import re
from pathlib import Path

from simulator.matches import GROUPS, OPTIONS
from simulator.netfilter.targets import TARGETS
from simulator.sets.set_types import KINDS

TEXT = (Path(__file__).parents[2] / "docs/reference/netfilter.md").read_text(encoding="utf-8")
FLOW = {"-j", "-g"}
"""Words of the table of targets that name no target."""


def listed(heading: str) -> list[str]:
    """Return the names in the first column of the table under a heading."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_known_match_is_listed_once() -> None:
    """The table of matches has every module that is judged, and the options of every rule."""
    names = [name for name in listed("Matches") if not name.startswith("-")]
    assert sorted(names) == sorted({module for module, _ in OPTIONS if module} | set(GROUPS))


def test_every_known_target_is_listed_once() -> None:
    """The table of targets has every target that is known."""
    names = [name for name in listed("Targets") if name not in FLOW]
    assert sorted(names) == sorted(TARGETS)


def test_every_type_of_sets_is_listed() -> None:
    """The reference names every type of sets."""
    assert set(KINDS) == set(re.findall(r"`((?:hash|bitmap|list):[a-z,]+)`", TEXT))
