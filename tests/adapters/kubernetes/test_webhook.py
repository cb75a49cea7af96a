"""What agents would refuse is refused at kubectl apply, by a webhook that a real API server asks."""

import base64
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.kernel.agent_processes import NODEWALL
from tests.support.kubernetes.api_objects import PATHS, POLICIES, Json, policy_with
from tests.support.kubernetes.api_server import ApiServer, free_port
from tests.support.kubernetes.three_nodes import certificate, comes, kubectl, process
from tests.support.policies.issue_5671 import POLICY

pytestmark = pytest.mark.cluster

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@contextmanager
def webhook(server: ApiServer, folder: Path) -> Iterator[tuple[int, Path]]:
    """Have a webhook that the server asks; gives its port, and what it says."""
    (crt, key), port, said = certificate(folder), free_port(), folder / "webhook.said"
    files = ("--tls-cert", str(crt), "--tls-key", str(key))
    words = ("-v", "webhook", "--kubeconfig", server.kubeconfig("nodewall-webhook"), *files)
    with process(*words, "--serve", f"127.0.0.1:{port}", said=said):
        comes(lambda: _answers(port))
        hook: Json = {
            "name": "nodewall.crd.antrea.io",
            "clientConfig": {"url": f"https://127.0.0.1:{port}/validate", "caBundle": _text(crt)},
            "rules": [
                {
                    "apiGroups": ["crd.antrea.io"],
                    "apiVersions": ["*"],
                    "resources": ["clusternetworkpolicies", "tiers", "clustergroups"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        server.apply(HOOKS, {**kind, "metadata": {"name": "nodewall"}, "webhooks": [hook]})
        try:
            comes(lambda: _refuses(server))  # the server takes a moment to heed it
            yield port, said
        finally:
            server.ask("DELETE", f"{HOOKS}/nodewall")


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _answers(port: int) -> bool:
    try:
        ssl.get_server_certificate(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _refuses(server: ApiServer) -> bool:
    return "nowhere" in refusal(server, _bad())


def _bad() -> Json:
    bad = policy_with(7000)
    assert isinstance(bad["spec"], dict)
    return {**bad, "metadata": {"name": "other"}, "spec": {**bad["spec"], "tier": "nowhere"}}


def refusal(server: ApiServer, document: Json, *words: str) -> str:
    """What kubectl says as it is refused, nothing where it is not."""
    try:
        kubectl(server, *(words or ("apply", "--dry-run=server", "-f", "-")), given=document)
    except AssertionError as error:
        return str(error)
    return ""


def test_what_agents_would_refuse_is_refused_at_apply(cluster: ApiServer, tmp_path: Path) -> None:
    """With every reason; what is good is taken, a policy right behind its tier too, and a tier in use stays."""
    tier = {
        "apiVersion": "crd.antrea.io/v1beta1",
        "kind": "Tier",
        "metadata": {"name": "nowhere"},
        "spec": {"priority": 77},
    }
    with webhook(cluster, tmp_path):
        kubectl(cluster, "apply", "-f", POLICY)
        assert 'spec.tier: found \\"nowhere\\"' in refusal(cluster, _bad()) or "nowhere" in refusal(cluster, _bad())
        wrong = policy_with(7000)
        assert isinstance(wrong["spec"], dict)
        wrong["spec"]["toServices"] = [{"name": "x"}]
        assert "spec.toServices" in refusal(cluster, wrong)
        for _ in range(5):  # at once, before it can be heard of
            cluster.apply(PATHS["Tier"], tier)
            cluster.apply(POLICIES, _bad())
            assert "in use" in refusal(cluster, {}, "delete", "tier", "nowhere")
            kubectl(cluster, "delete", "acnp", "other")
            kubectl(cluster, "delete", "tier", "nowhere")
        assert refusal(cluster, {}, "delete", "tier", "nowhere")  # which is gone


def test_a_new_certificate_is_used_without_a_restart(cluster: ApiServer, tmp_path: Path) -> None:
    """Once its key fits; until then the old one stays."""
    with webhook(cluster, tmp_path) as (port, said):
        before = ssl.get_server_certificate(("127.0.0.1", port))
        other = tmp_path / "other"
        other.mkdir()
        crt, key = certificate(other)
        shutil.copy(crt, tmp_path / "tls.crt")
        comes(lambda: "new certificate not taken" in said.read_text())
        assert ssl.get_server_certificate(("127.0.0.1", port)) == before
        shutil.copy(key, tmp_path / "tls.key")
        comes(lambda: ssl.get_server_certificate(("127.0.0.1", port)) != before)
        time.sleep(0.1)
        assert ssl.get_server_certificate(("127.0.0.1", port)).split() == crt.read_text().split()


def test_no_webhook_begins_without_its_certificate(cluster: ApiServer, tmp_path: Path) -> None:
    """Exit code 2 and one line, as where its port is taken."""
    _, key = certificate(tmp_path)
    for files in ((key, key), (tmp_path / "none", key)):
        words = [*NODEWALL, "webhook", "--tls-cert", str(files[0]), "--tls-key", str(files[1])]
        done = subprocess.run(
            [*words, "--kubeconfig", cluster.kubeconfig("nodewall-webhook"), "--serve", f"127.0.0.1:{free_port()}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith("error: --tls-cert: ")
