"""What the kernel tests share: both backends, both families, a lab, an oracle, and a way to load rules."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.lab.netns import Lab, Namespaces
from adapters.lab.packet_injection import InjectionRig
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family
from tests.support.kernel.lab_access import HOSTS, Load, lacking
from tests.support.kernel.node_namespaces import NodeUnderTest
from tests.support.policies.random_clusters import ADDRESSES


@pytest.fixture(scope="session")
def kernel() -> None:
    """Skip, or fail where NODEWALL_REQUIRE_KERNEL is 1, if the kernel cannot be tested here."""
    if reason := lacking():
        if os.environ.get("NODEWALL_REQUIRE_KERNEL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(params=["nft", "legacy"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which of the two iptables there are."""
    return str(request.param)


@pytest.fixture(params=list(Family))
def family(request: pytest.FixtureRequest) -> Family:
    """Both address families in turn."""
    return Family(request.param)


@pytest.fixture
def lab(kernel: None) -> Iterator[Lab]:  # noqa: ARG001  # asked for its effect
    """A network of two hosts, node-1 and client."""
    with Lab(HOSTS) as made:
        yield made


@pytest.fixture
def oracle(kernel: None) -> Iterator[InjectionRig]:  # noqa: ARG001  # asked for its effect
    """A node whose kernel gives verdicts."""
    with InjectionRig(ADDRESSES) as made:
        yield made


@pytest.fixture
def load(backend: str, family: Family) -> Load:
    """Load rules by the backend's iptables-restore of the family."""
    program = f"{'iptables' if family is Family.IPV4 else 'ip6tables'}-{backend}-restore"

    def put(netns: str, rules: str) -> None:
        text = f"*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n{rules}\nCOMMIT\n"
        SystemRunner(netns).run([program], text).or_refused(program)

    return put


@pytest.fixture
def fresh(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[NodeUnderTest]:
    """A namespace in which nothing ever was."""
    with Namespaces(("node",)) as made:
        yield NodeUnderTest(made["node"], backend, tmp_path, capsys)


@pytest.fixture
def busy(fresh: NodeUnderTest) -> NodeUnderTest:
    """A namespace with the rules, chains and sets of others."""
    fresh.load_foreign()
    return fresh
