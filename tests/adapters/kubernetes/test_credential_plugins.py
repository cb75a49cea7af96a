"""Credential plugins of kubeconfigs: nothing from the current folder runs, and bad output is an error."""

import asyncio
from pathlib import Path

import pytest
import yaml

from adapters.kubernetes.api.api_client import ApiError, connect
from engine.errors import ToolMissing

ANSWER = '{"status":{"token":"t"}}'


def program(path: Path, output: str) -> Path:
    """Make a program that notes that it ran, and prints an output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ntouch '{path}.ran'\nprintf '%s' '{output}'\n")
    path.chmod(0o755)
    return path


def ran(path: Path) -> bool:
    """Return whether a program ran."""
    return Path(f"{path}.ran").exists()


def kubeconfig(folder: Path, command: str) -> str:
    """Write a kubeconfig whose user has a plugin, for a server that does not answer."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": command}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {"exec": plugin}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def ask(path: str) -> None:
    """Ask for something by a kubeconfig, which runs the plugin."""

    async def asked() -> None:
        api = connect(path, None)
        try:
            await api.get("/api/v1/pods", {})
        finally:
            await api.close()

    asyncio.run(asked())


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ``aws`` in the current folder, which PATH names by relative folders."""
    path = program(tmp_path / "current" / "aws", ANSWER)
    program(tmp_path / "current" / "bin" / "aws", ANSWER)
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("PATH", ":.:bin::/usr/bin:/bin")
    return path


@pytest.mark.parametrize("command", ["./aws", "bin/aws"])
def test_plugin_path_is_relative_to_kubeconfig(planted: Path, tmp_path: Path, command: str) -> None:
    """As with kubectl; the program of that path in the current folder does not run."""
    own = program(tmp_path / "own" / command, ANSWER)
    with pytest.raises(ApiError, match="not reached"):
        ask(kubeconfig(tmp_path / "own", command))
    assert ran(own)
    assert not ran(planted.parent / command)


def test_plugin_name_is_found_in_absolute_folders(planted: Path, tmp_path: Path) -> None:
    """Relative folders in PATH do not count."""
    with pytest.raises(ToolMissing, match="aws"):
        ask(kubeconfig(tmp_path, "aws"))
    assert not ran(planted)


@pytest.mark.parametrize("output", ["", "no JSON", "[]", "{}"])
def test_plugin_with_bad_output_is_an_error(tmp_path: Path, output: str) -> None:
    """It has no traceback, and is retried like other errors of the API server."""
    plugin = program(tmp_path / "plugin", output)
    with pytest.raises(ApiError, match="no credentials from the plugin"):
        ask(kubeconfig(tmp_path, str(plugin)))
