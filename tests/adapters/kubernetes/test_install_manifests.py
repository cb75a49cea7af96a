"""What nodewall prints for an administrator is taken by kubectl and a real API server."""

from pathlib import Path

import pytest

from adapters.cli import main
from tests.support.kubernetes.api_server import ApiServer
from tests.support.kubernetes.three_nodes import certificate, kubectl
from tests.support.policies.issue_5671 import POLICY

pytestmark = pytest.mark.cluster


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints."""
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_all_manifests_pass_a_dry_run(cluster: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the server's own checks, with webhooks and without, and in another namespace."""
    ca, _ = certificate(tmp_path)
    for more in ((), ("--webhook-ca", str(ca)), ("--namespace", "default")):
        text = printed(capsys, "manifests", "--image", "nodewall:0.1.0", *more)
        said = kubectl(cluster, "apply", "--dry-run=server", "-f", "-", given=text).splitlines()
        assert all(line.endswith("(server dry run)") for line in said)
        assert len(said) == text.count("\nkind: ") + text.startswith("kind: ")
        assert any("daemonset.apps/nodewall created" in line for line in said)
    said = kubectl(cluster, "apply", "--dry-run=server", "-f", "-", given=printed(capsys, "crds")).splitlines()
    assert len(said) == 4
    assert printed(capsys, "crds").endswith(printed(capsys, "crds", "--own"))


def test_kubectl_shows_policies_as_people_want_them(cluster: ApiServer) -> None:
    """By their short names, with columns."""
    kubectl(cluster, "apply", "-f", POLICY)
    heads = kubectl(cluster, "get", "acnp").splitlines()[0].split("  ")
    assert [head.strip() for head in heads if head.strip()] == [
        "NAME",
        "TIER",
        "PRIORITY",
        "DESIRED NODES",
        "CURRENT NODES",
        "AGE",
    ]
    assert kubectl(cluster, "get", "nwf", "-o", "name") == ""


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is printed."""
    junk = tmp_path / "junk"
    junk.write_text("no certificate")
    for path in (junk, tmp_path / "none"):
        assert main(["manifests", "--image", "nodewall:0.1.0", "--webhook-ca", str(path)]) == 2
        assert capsys.readouterr().err.startswith("error: --webhook-ca: ")
