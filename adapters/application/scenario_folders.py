"""Reads scenario folders, and writes their expected rulesets; used by ``nodewall scenario`` and ``nodewall demo``.

A scenario is a test case: manifests, a Node, packets, and the expected verdicts and rules. Input: folders with
``scenario.yaml``, manifests and the folder ``expected``. Output: :class:`scenarios.case.Scenario` values.

Raises ``Refused`` with all faults of the files.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from adapters.application.selection import changes_of, declared_state
from adapters.inputs.configfile import load
from adapters.inputs.yaml_reader import read_yaml
from engine.errors import Fault, Refused
from engine.events import ConfigDeclared, HostObserved
from engine.rulesets.plan import Tool
from engine.state.fold import ClusterState, evolve
from scenarios.case import RefusedManifest, Scenario, ScenarioFile

CASE = "scenario.yaml"
_EXPECTED = "expected"


def folders(paths: Iterable[str]) -> tuple[Path, ...]:
    """Return the scenario folders among the paths and one level below them, sorted within each path.

    Raises:
        Refused: a path is not a scenario folder and contains none.
    """
    found: list[Path] = []
    faults: list[Fault] = []
    for path in map(Path, paths):
        here = [path] if (path / CASE).is_file() else sorted(case.parent for case in path.glob(f"*/{CASE}"))
        found += here
        if not here:
            faults.append(Fault("", f"{path}: no {CASE} here or one level below", "a scenario folder"))
    if faults:
        raise Refused(tuple(faults))
    return tuple(found)


def load_scenario(folder: Path) -> Scenario:
    """Return the scenario in a folder.

    Raises:
        Refused: the files have faults; the error lists them.
    """
    source = str(folder / CASE)
    documents = read_yaml((folder / CASE).read_text(encoding="utf-8", errors="surrogateescape"), source)
    if len(documents) != 1:
        raise Refused((Fault("", f"{source}: {len(documents)} documents", "one"),))
    try:
        case = ScenarioFile.model_validate(documents[0].value)
    except ValidationError as error:
        raise Refused(documents[0].faults(error)) from None
    state = declared_state(str(folder / manifest) for manifest in case.manifests)
    if case.config:
        state = evolve(state, ConfigDeclared(config=load(str(folder / case.config), {}).config))
    state = evolve(state, HostObserved(node=case.node, interfaces=case.interfaces))
    unrefused = tuple(line for refused in case.refused for line in _unrefused(folder, refused, state))
    expected = {tool: _golden(folder, tool) for tool in Tool}
    texts = {tool: path.read_text(encoding="utf-8") for tool, path in expected.items() if path.exists()}
    return Scenario(folder.name, case, state, texts, unrefused)


def _unrefused(folder: Path, refused: RefusedManifest, state: ClusterState) -> Iterator[str]:
    """Yield a message for each fault that the scenario expects of a manifest, and that was not found."""
    try:
        changes_of(state, [str(folder / refused.manifest)])
        found: tuple[str, ...] = ()
    except Refused as error:
        found = tuple(str(replace(fault, place=None)) for fault in error.faults)
    for wanted in refused.faults:
        if not any(line.startswith(wanted) for line in found):
            yield f"{refused.manifest}: not refused for {wanted}; refused for {list(found)}"


def write_expected(folder: Path, texts: Mapping[Tool, str]) -> None:
    """Write the compiled texts as the expected ones."""
    (folder / _EXPECTED).mkdir(exist_ok=True)
    for tool, text in texts.items():
        _golden(folder, tool).write_text(text, encoding="utf-8")


def _golden(folder: Path, tool: Tool) -> Path:
    return folder / _EXPECTED / f"{tool}.restore"
