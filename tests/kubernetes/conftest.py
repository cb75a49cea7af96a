"""One real API server for all tests that need it, with nodewall's own definitions and rights."""

import os
from collections.abc import Iterator

import pytest

from adapters.kubernetes.crds import crds
from adapters.kubernetes.install import rights
from tests.adapters.issue import NODES, POLICY
from tests.kubernetes.objects import PATHS, documents, items, put, remove
from tests.kubernetes.server import ApiServer, built, lacking

DEFINED = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RIGHTS = "/apis/rbac.authorization.k8s.io/v1"


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
    """Define the custom resources, and give the recorder the rights that it needs and no others."""
    for document in crds():
        server.apply(DEFINED, document)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "recorder"}}
    server.apply(f"{RIGHTS}/clusterroles", {**role, "rules": rights()})
    server.apply(
        f"{RIGHTS}/clusterrolebindings",
        {
            **role,
            "kind": "ClusterRoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "recorder"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "recorder"}],
        },
    )


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
