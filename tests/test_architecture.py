"""Contracts of the code base: layout, names, docstrings, links, and no trace of a machine."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "simulator", "adapters", "scenarios", "nodewall")

_MADE = frozenset("__pycache__ build dist node_modules".split())
_HERE = Path(__file__).name  # it has to say what it looks for
_MACHINE = re.compile(r"(?<![\w.~/-])/(?:work|root|home)/\w|/tmp/v\b|files\.pythonhosted\.org|\bpypi\.org|index-url =")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def modules() -> list[Path]:
    """Return every module of the packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def packages() -> set[str]:
    """Return every package two levels deep, and the top level of the rest, as ARCHITECTURE.md names them."""
    return {path.parent.name for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")}


def public_types() -> Iterator[tuple[str, str]]:
    """Yield the name and the module of every public class and type alias."""
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    if not re.match(r"[A-Z]+[a-z]", name):
                        continue
                case _:
                    continue
            if not name.startswith("_"):
                yield name, str(path.relative_to(ROOT))


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


def test_architecture_names_every_package() -> None:
    """ARCHITECTURE.md names every package, in at most 200 lines."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

    assert {name for name in packages() if f"`{name}`" not in text} == set()
    assert text.count("\n") <= 200


def test_architecture_names_existing_paths() -> None:
    """Every folder and module that ARCHITECTURE.md names exists."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w[\w.-]*/)+(?:\w+\.py)?)`", text))
    places = [ROOT, *(ROOT / package for package in PACKAGES), *(ROOT / "adapters").iterdir(), ROOT / "engine/compiler"]
    places.append(ROOT / "simulator/analysis")

    assert {path for path in named if not any((place / path).exists() for place in places)} == set()


def test_module_docstrings_say_a_role() -> None:
    """No module docstring is missing or begins with a question word (writing style: role first)."""
    odd = []
    for path in modules():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "Missing"
        if re.match(r"(What|Who|Whom|Whose|How|Whether|All|Where|Missing)\b", docstring):
            odd.append(f"{path.relative_to(ROOT)}: {docstring.splitlines()[0]}")

    assert odd == []


def test_public_type_names_are_unique() -> None:
    """No public type name is defined in two modules: one name has one meaning."""
    places: dict[str, list[str]] = {}
    for name, module in public_types():
        places.setdefault(name, []).append(module)

    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_folders_hold_fifteen_modules() -> None:
    """No folder of the packages, of benchmarks or of test helpers holds more than 15 modules beside its own."""
    folders = [*(ROOT / package for package in PACKAGES), ROOT / "benchmarks", ROOT / "tests/support"]
    counts = Counter(path.parent for folder in folders for path in folder.rglob("*.py") if path.name != "__init__.py")

    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > 15} == {}


def test_test_modules_import_no_other() -> None:
    """No test module imports another test module or a conftest; helpers stand in tests/support."""
    pattern = re.compile(r"^\s*from tests\.(?!support)[\w.]*(?:test_\w+|conftest) import", re.MULTILINE)
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]

    assert [str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("mark", ["kernel", "cluster"])
def test_marked_tests_are_collected(mark: str) -> None:
    """The folders that tox gives pytest for a mark hold every test module with that mark."""
    command = re.search(rf"-m {mark} \{{posargs:(.+)\}}", (ROOT / "tox.ini").read_text(encoding="utf-8"))
    assert command is not None
    folders = [ROOT / folder for folder in command[1].split()]
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if f"mark.{mark}\n" in path.read_text("utf-8")]

    assert marked
    assert [str(path) for path in marked if not any(path.is_relative_to(folder) for folder in folders)] == []


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
