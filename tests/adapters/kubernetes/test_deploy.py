"""What `deploy/` has is what nodewall prints, and its Containerfile copies and installs what there is."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from adapters.cli import main

DEPLOY = Path("deploy")


@pytest.mark.parametrize(
    "name, words", [("crds.yaml", ["crds"]), ("nodewall.yaml", ["manifests", "--image", "nodewall:0.1.0"])]
)
def test_the_base_is_what_is_printed(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Byte by byte, so that a change of either is a change of both."""
    assert main(words) == 0
    assert (DEPLOY / name).read_text() == capsys.readouterr().out


def test_the_base_names_its_parts() -> None:
    """All resources that kustomize is told of are there."""
    named = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(path.name for path in DEPLOY.glob("*.yaml") if path.name != "kustomization.yaml")


def test_the_image_is_made_of_what_is_pinned() -> None:
    """By the constraints file, with extras that there are, and of the version that the manifests ask for."""
    text = (DEPLOY / "Containerfile").read_text()
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"'\.\[(.*?)\]'", text)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert {"kubernetes", "serve"} <= set(extras.split(","))
    assert text.count("constraints.txt") == 2
    assert f"nodewall:{project['version']}" in text
    assert f"image: nodewall:{project['version']}" in (DEPLOY / "nodewall.yaml").read_text()
