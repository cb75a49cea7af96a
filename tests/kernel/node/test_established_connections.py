"""With ``enforceEstablished``, an apply ends the connections that its rules no longer admit, and only those."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.lab.netns import Lab
from adapters.netfilter.conntrack import ConnectionTable
from adapters.system.netns_sockets import opened
from adapters.system.process import SystemRunner, namespace_path
from tests.support.kernel.lab_access import HOSTS
from tests.support.rulesets.ruleset_builders import node, policy

pytestmark = pytest.mark.kernel

NODE, CLIENT = (host.addresses for host in HOSTS)
KEPT, LOST = 8080, 9090


@dataclass
class Talk:
    """A connection from the client to the node, both ends non-blocking after it was made."""

    client: socket.socket
    server: socket.socket

    def heard(self) -> bool:
        """Return whether a word still gets from the client to the node."""
        self.client.send(b"word")
        self.server.settimeout(0.4)
        try:
            return self.server.recv(16) == b"word"
        except TimeoutError:
            return False


@pytest.fixture
def talks(lab: Lab) -> Iterator[dict[tuple[str, int], Talk]]:
    """Connections of both families to a port that stays open and to one that will be closed, by address and port."""
    with ExitStack() as stack:
        found = {}
        for family, address in zip((socket.AF_INET, socket.AF_INET6), NODE, strict=True):
            for port in (KEPT, LOST):
                listening = stack.enter_context(opened(namespace_path(lab.netns("node-1")), family, socket.SOCK_STREAM))
                listening.bind((address, port))
                listening.listen()
                listening.settimeout(5)
                client = stack.enter_context(opened(namespace_path(lab.netns("client")), family, socket.SOCK_STREAM))
                client.settimeout(5)
                client.connect((address, port))
                server = stack.enter_context(listening.accept()[0])
                found[address, port] = Talk(client, server)
        yield found


def apply(lab: Lab, backend: str, folder: Path, *rules: dict[str, object], enforce: bool) -> None:
    """Apply rules for what arrives to node-1."""
    objects = (node("node-1", *NODE), policy("p", ingress=rules))
    manifest, config = folder / "world.yaml", folder / "nodewall.yaml"
    manifest.write_text("\n---\n".join(item.model_dump_json(by_alias=True, exclude_none=True) for item in objects))
    config.write_text(f"enforceEstablished: {str(enforce).lower()}\n")
    words = ["apply", "-f", str(manifest), "--node", "node-1", "-c", str(config), "--yes"]
    assert main([*words, "--netns", lab.netns("node-1"), "--backend", backend]) == 0


DROP: dict[str, object] = {"action": "Drop", "ports": [{"port": LOST}]}


@pytest.mark.parametrize("enforce", [True, False])
def test_what_is_no_longer_admitted_ends_if_so_configured(
    lab: Lab,
    backend: str,
    tmp_path: Path,
    enforce: bool,  # noqa: FBT001 - a parameter of the test
    request: pytest.FixtureRequest,
) -> None:
    """A connection that a new policy forbids ends where that is configured; all others go on."""
    apply(lab, backend, tmp_path, enforce=False)  # so that connections are tracked at all
    talks: dict[tuple[str, int], Talk] = request.getfixturevalue("talks")
    table = ConnectionTable(SystemRunner(lab.netns("node-1")))
    before = set(table.flows())
    assert {flow.dport for flow in before} >= {KEPT, LOST}

    apply(lab, backend, tmp_path, DROP, enforce=enforce)

    gone = {flow.dport for flow in before - set(table.flows())}
    assert gone == ({LOST} if enforce else set())
    assert {port: talk.heard() for (_, port), talk in talks.items()} == {KEPT: True, LOST: not enforce}


def test_connections_of_the_node_itself_are_judged_too(lab: Lab, backend: str, tmp_path: Path) -> None:
    """What the node sends is judged by the rules for what leaves; what it forwards is not judged."""
    apply(lab, backend, tmp_path, enforce=False)
    with opened(namespace_path(lab.netns("node-1")), socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", (CLIENT[0], 53))
        out.sendto(b"x", (CLIENT[0], 54))
    table = ConnectionTable(SystemRunner(lab.netns("node-1")))
    rules = policy("p", egress=[{"action": "Drop", "ports": [{"port": 53, "protocol": "UDP"}]}])
    manifest = tmp_path / "out.yaml"
    objects = (node("node-1", *NODE), rules)
    manifest.write_text("\n---\n".join(item.model_dump_json(by_alias=True, exclude_none=True) for item in objects))
    config = tmp_path / "nodewall.yaml"
    config.write_text("enforceEstablished: true\n")
    words = ["apply", "-f", str(manifest), "--node", "node-1", "-c", str(config), "--yes"]

    assert main([*words, "--netns", lab.netns("node-1"), "--backend", backend]) == 0

    assert {flow.dport for flow in table.flows()} & {53, 54} == {54}
