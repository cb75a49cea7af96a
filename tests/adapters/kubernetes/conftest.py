"""One real API server for all tests that need it, with nodewall's own definitions and rights."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.kubernetes.api.resources import NODE_FIREWALLS
from tests.support.kernel.lab_access import lacking as lab_lacking
from tests.support.kubernetes.api_objects import PATHS, documents, items, put, remove
from tests.support.kubernetes.api_server import ApiServer, built, lacking
from tests.support.kubernetes.installed_server import prepare
from tests.support.kubernetes.three_nodes import Site, site_of
from tests.support.policies.issue_5671 import NODES, POLICY


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
