"""ARCHITECTURE.md names every module and no other, links in documents lead somewhere, and nothing names a machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "simulator", "adapters", "scenarios")

_MADE = frozenset("__pycache__ build dist node_modules".split())
_HERE = Path(__file__).name  # it has to say what it looks for
_MACHINE = re.compile(r"(?<![\w.~/-])/(?:work|root|home)/\w|/tmp/v\b|files\.pythonhosted\.org|\bpypi\.org|index-url =")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def modules() -> set[str]:
    """Return the path of every module in the packages."""
    return {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def named() -> set[str]:
    """Return every path of a Python file that ARCHITECTURE.md names."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return set(re.findall(r"`((?:\w[\w.-]*/)+\w+\.py)`", text))


def project_files() -> Iterator[Path]:
    """Yield every text file of the project; what tools make and git ignores is none of it."""
    for path in sorted(ROOT.iterdir()):
        inside = [path] if path.is_file() else path.rglob("*")
        if path.name.startswith(".") and path.name not in {".ci", ".gitignore"}:
            continue
        yield from (each for each in inside if each.is_file() and _MADE.isdisjoint(each.parts) and each.name != _HERE)


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    return [path for path in project_files() if path.suffix == ".md"]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_module_is_named_in_the_architecture() -> None:
    """Every module of the packages is named in ARCHITECTURE.md."""
    assert modules() - named() == set()


def test_every_module_named_in_the_architecture_exists() -> None:
    """Every Python file that ARCHITECTURE.md names exists."""
    assert {path for path in named() if not (ROOT / path).is_file()} == set()


def test_every_folder_named_in_the_architecture_exists() -> None:
    """Every folder that ARCHITECTURE.md names exists."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = set(re.findall(r"`((?:\w[\w.-]*/)+)`", text))

    assert {folder for folder in folders if not (ROOT / folder).is_dir()} == set()


def test_no_file_names_a_machine_or_a_registry() -> None:
    """No file names a path of somebody's machine or the host of a package registry."""
    found = []
    for path in project_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in _MACHINE.finditer(text)]

    assert found == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link leads to a file, and to a heading in it."""
    broken = []
    for target, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        there = (document.parent / target).resolve() if target else document
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(f"{target}#{anchor}")

    assert broken == []
