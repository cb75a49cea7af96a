"""Children of this process import nothing that somebody planted in the current folder or in the environment."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import adapters
from adapters.node.commit_confirm import MODULE
from adapters.system.child_python import child_python
from adapters.system.executors import PROCESSES, executor_of
from adapters.system.process import SystemRunner
from tests.support.cli.planted_modules import Planted

ROOT = Path(__file__).parents[3]
HELPER = Path("adapters/system/child_python.py")
PROBE = "import json, os, sys; print(json.dumps([sys.argv[1:], __file__, sys.path, os.getcwd(), sorted(os.environ)]))\n"
STARTERS = {("sys", "executable"), ("sys", "orig_argv"), ("sys", "_base_executable")}
POOLS = {"multiprocessing", "ProcessPoolExecutor"}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A current folder, and variables of Python, full of code that tells when it runs."""
    made = Planted(tmp_path / "planted")
    monkeypatch.chdir(made.folder)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def run(module: str, *words: str) -> str:
    """What a module prints as a child."""
    child = child_python(module, *words)
    done = subprocess.run(
        child.words, env=child.environment, cwd=child.folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_child_ignores_planted_modules(planted: Planted) -> None:
    """A whole command runs, and nothing of the folder or the environment is imported."""
    assert run("adapters.cli", "--version").startswith("nodewall ")
    assert planted.ran() == []


def test_planted_modules_would_run(planted: Planted) -> None:
    """The plants are live: a plain ``python -m`` from the same folder runs them."""
    subprocess.run([sys.executable, "-m", MODULE], capture_output=True, check=False)
    assert planted.ran() != []


def test_confirmation_watchdog_ignores_planted_modules(planted: Planted) -> None:
    """The process that takes an apply back; without a network namespace of that name it only says so."""
    child = child_python(MODULE, "no-such-namespace", "nft", "1")
    done = subprocess.run(
        child.words, env=child.environment, cwd=child.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.partition(";")[0]) == (1, 'no network namespace "no-such-namespace"')
    assert planted.ran() == []


def test_worker_processes_ignore_planted_modules(planted: Planted) -> None:
    """Neither they nor multiprocessing's tracker of resources; the environment is as before in the end."""
    before = dict(os.environ)
    with executor_of(PROCESSES) as executor:
        assert executor.submit(sum, [1, 2]).result(60) == 3
    assert planted.ran() == []
    assert dict(os.environ) == before


def test_child_has_fixed_folder_and_environment(planted: Planted, tmp_path: Path) -> None:
    """A checkout that is only on the import path is found; nothing else of the parent goes over but the words."""
    package = tmp_path / "checkout" / "adapters"
    (package / "system").mkdir(parents=True)
    for name in ("__init__.py", "system/__init__.py", "system/process.py", "system/child_python.py"):
        (package / name).write_bytes((ROOT / "adapters" / name).read_bytes())
    (package / "probe_of_test.py").write_text(PROBE)
    code = (
        f"import sys; sys.path[:0] = [{str(package.parent)!r}]; from adapters.system.child_python import child_python\n"
        "import subprocess; child = child_python('adapters.probe_of_test', 'a b', '-c', '')\n"
        "subprocess.run(child.words, env=child.environment, cwd=child.folder, check=True)"
    )
    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout

    words, file, path, folder, environment = json.loads(told)
    assert (words, file) == (["a b", "-c", ""], str(package / "probe_of_test.py"))
    assert (folder, set(environment) <= {"PATH", "LC_ALL", "LC_CTYPE", "XTABLES_LOCKFILE"}) == ("/", True)
    assert all(Path(each).is_absolute() and not Path(each).is_relative_to(planted.folder) for each in path)


def test_programs_ignore_current_folder(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run in the root folder, and a relative folder of PATH counts for nothing."""
    monkeypatch.setenv("PATH", f":.:bin:{os.environ['PATH']}:")
    (planted.folder / "bin").mkdir()
    for name in ("pwd", "bin/pwd"):
        (planted.folder / name).write_text("#!/bin/sh\necho planted\n")
        (planted.folder / name).chmod(0o755)

    assert SystemRunner().run(["pwd"]).out == "/\n"
    assert SystemRunner().run(["sh", "-c", "pwd; echo $PATH"]).out.startswith("/\n/")


def test_watchdog_module_exists() -> None:
    """Its name is a text, which nothing else would check."""
    assert find_spec(MODULE) is not None
    assert find_spec(MODULE.partition(".")[0]) is not None
    assert Path(adapters.__file__).parents[1] == ROOT


def test_only_helper_starts_python() -> None:
    """No other module of the packages knows the interpreter's path, or starts processes of multiprocessing."""
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("engine", "simulator", "adapters", "scenarios", "nodewall", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if path.relative_to(ROOT) != HELPER
        for name in starters(ast.parse(path.read_bytes()))
    }
    assert found == set()


def test_scan_finds_every_spelling() -> None:
    """The scan sees attributes, imports of names, modules and their parts."""
    for text in (
        "import sys; sys.executable",
        "from sys import executable",
        "import multiprocessing.spawn",
        "from multiprocessing import get_context",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures; concurrent.futures.ProcessPoolExecutor()",
        "['python3', '-m', 'adapters.cli']",
    ):
        assert list(starters(ast.parse(text)))


def starters(tree: ast.AST) -> Iterator[str]:
    """Yield what a module has that starts a Python."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in STARTERS:
                yield f"{module}.{name}"
            case ast.Attribute(attr=name) if name in POOLS:
                yield name
            case ast.ImportFrom(module=module, names=names):
                yield from (f"{module}.{each.name}" for each in names if (module, each.name) in STARTERS)
                yield from (each.name for each in names if each.name in POOLS)
                if str(module).partition(".")[0] in POOLS:
                    yield str(module)
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in POOLS)
            case ast.List(elts=[ast.Constant(value="python" | "python3" as word), *_]):
                yield str(word)
            case ast.Tuple(elts=[ast.Constant(value="python" | "python3" as word), *_]):
                yield str(word)
            case _:
                pass
