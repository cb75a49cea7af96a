"""One real API server for all tests that need it, with nodewall's own definitions and rights."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.kubernetes.api.resources import NODE_FIREWALLS
from adapters.kubernetes.install.crds import crds
from adapters.kubernetes.install.install_manifests import Installation
from tests.kernel.conftest import lacking as lab_lacking
from tests.support.kubernetes.api_objects import PATHS, documents, items, put, remove
from tests.support.kubernetes.api_server import ApiServer, built, lacking
from tests.support.kubernetes.three_nodes import Site, site_of
from tests.support.policies.issue_5671 import NODES, POLICY

RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
SYSTEM = "namespaces/kube-system"
COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ServiceAccount": f"/api/v1/{SYSTEM}/serviceaccounts",
    "ClusterRole": f"{RIGHTS}/clusterroles",
    "ClusterRoleBinding": f"{RIGHTS}/clusterrolebindings",
    "Role": f"{RIGHTS}/{SYSTEM}/roles",
    "RoleBinding": f"{RIGHTS}/{SYSTEM}/rolebindings",
}
"""Kind -> where the API has it; nobody here runs what else there is."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Skip, or fail where NODEWALL_REQUIRE_KERNEL is 1, if there can be no API server here."""
    if reason := lacking():
        if os.environ.get("NODEWALL_REQUIRE_KERNEL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    server = ApiServer(tmp_path_factory.mktemp("api"), built())
    try:
        server.start()
        prepare(server)
        yield server
    finally:
        server.close()


def prepare(server: ApiServer) -> None:
    """Have installed what an administrator installs, as users of the API under whose accounts each part runs."""
    installation = Installation("nodewall:0.1.0", "kube-system", b"a certificate")
    for document in (*crds(), *installation.documents()):
        if path := COLLECTIONS.get(str(document["kind"])):
            server.apply(path, document)
    for part in ("nodewall", "nodewall-controller", "nodewall-webhook"):
        server.account(part)


@pytest.fixture
def cluster(server: ApiServer) -> Iterator[ApiServer]:
    """A server that holds the issue's Nodes and policy, and nothing of them afterwards."""
    for document in (*documents(NODES), *documents(POLICY)):
        put(server, document)
    yield server
    server.start()
    for path in PATHS.values():
        if path not in {PATHS["Service"], PATHS["EndpointSlice"], PATHS["Namespace"]}:
            for item in items(server, path):
                remove(server, path, item)
    for path in (NODE_FIREWALLS.paths[0], "/api/v1/namespaces/default/events"):
        server.ask("DELETE", path)


@pytest.fixture
def site(cluster: ApiServer, tmp_path: Path) -> Iterator[Site]:
    """The cluster of the issue as namespaces, with an agent for each Node."""
    if reason := lab_lacking():
        pytest.fail(reason)
    with site_of(cluster, tmp_path) as site:
        yield site
