"""The how-to of running in a cluster is true: its commands are run, by kubectl, against a real API server and agents."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.lab.netns import DeliveryOutcome, Lab, LabHost
from adapters.system.process import SystemRunner
from tests.support.kubernetes.api_objects import documents, put
from tests.support.kubernetes.api_server import ApiServer, built
from tests.support.kubernetes.kubelet_programs import Kubelet
from tests.support.kubernetes.three_nodes import ADDRESS, NODES, PARTNER, PORT, TCP, comes

pytestmark = pytest.mark.cluster

HOWTO = Path("docs/how-to/run-in-a-cluster.md")
_BLOCK = re.compile(r"^<!-- cluster -->\n```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, list[str]]:
    """The commands of each section, by its heading."""
    parts = re.split(r"^## (.*)\n", HOWTO.read_text(), flags=re.MULTILINE)
    return {heading: _BLOCK.findall(text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


@contextmanager
def bare_cluster(folder: Path) -> Iterator[tuple[ApiServer, Lab]]:
    """An API server that nothing is installed in, and its Nodes."""
    server = ApiServer(folder, built())
    hosts = [*(LabHost(name, (address,)) for name, address in NODES.items()), LabHost(PARTNER, (ADDRESS,))]
    try:
        server.start()
        for document in documents("scenarios/issue-5671/manifests/nodes.yaml"):
            put(server, document)
        with Lab(tuple(hosts)) as lab:
            yield server, lab
    finally:
        server.close()


def test_the_commands_do_what_is_said(tmp_path: Path) -> None:
    """Installed, it enforces; upgraded, it never lets go; switched off on a Node, it does; removed, nothing is left."""
    todo = sections()
    with bare_cluster(tmp_path) as (server, lab), Kubelet(server, lab, tuple(NODES), tmp_path):
        (tmp_path / "scenarios").symlink_to(Path("scenarios").resolve())

        def done(heading: str, number: int | None = None) -> str:
            blocks = todo.pop(heading) if number is None else [todo[heading].pop(0)]
            script = "".join(blocks).replace("/run/nodewall/off", f"/run/nodewall/off-{lab.netns('cp-1')}")
            finished = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "HOME": str(tmp_path),
                    "KUBECONFIG": server.kubeconfig("admin"),
                },
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            said = "\n".join(each.read_text()[-800:] for each in tmp_path.glob("*.said"))
            assert finished.returncode == 0, f"{script}\n{finished.stdout}\n{finished.stderr}\n{said}"
            return finished.stdout

        def outcome() -> DeliveryOutcome:
            return lab.connect(PARTNER, NODES["cp-1"], PORT, TCP, timeout=0.2)

        printed = done("Install")
        assert "nodefirewall" in printed.lower()
        assert "Realized   1" in printed
        assert outcome() is DeliveryOutcome.DROP
        done("Refuse bad policies at kubectl apply")
        done("Upgrade")
        assert outcome() is DeliveryOutcome.DROP
        back = "Get back into a Node that is locked out"
        done(back, 0)
        comes(lambda: outcome() is DeliveryOutcome.ACCEPT)
        done(back)
        assert outcome() is DeliveryOutcome.ACCEPT
        assert "NW-INPUT" in SystemRunner(lab.netns("cp-1")).run(["iptables-nft-save"]).out
        done("Remove")
        for node in NODES:
            assert "NW-" not in SystemRunner(lab.netns(node)).run(["iptables-nft-save"]).out
    assert not [blocks for blocks in todo.values() if blocks]
