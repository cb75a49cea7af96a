"""What no packet's verdict shows: where jumps stand, what is left of a family, and what arrives at a listener."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.lab.netns import Lab
from adapters.system.netns_sockets import opened
from adapters.system.process import namespace_path
from tests.support.kernel.lab_access import HOSTS
from tests.support.kernel.node_namespaces import NodeUnderTest, drop_all
from tests.support.rulesets.ruleset_builders import node, policy

pytestmark = pytest.mark.kernel

NODE = HOSTS[0].addresses


def apply(under_test: NodeUnderTest, config: str, *more: str) -> int:
    """Apply a default deny with a configuration; return the number of ops, after a second plan found nothing to do."""
    under_test.folder.joinpath("nodewall.yaml").write_text(config)
    words = ("-f", under_test.manifests(drop_all()), "--node", "cp-1", "-c", str(under_test.folder / "nodewall.yaml"))
    found = under_test.json("apply", *words, *more, "--yes")
    assert under_test.json("plan", *words)["ops"] == []
    ops = found["ops"]
    assert isinstance(ops, int)
    return ops


def jumps(under_test: NodeUnderTest, hook: str = "INPUT") -> list[str]:
    """Return the rules of a built-in chain, ours as the chain they lead to, with the interface."""
    lines = under_test.run("iptables-save -t filter").splitlines()
    rules = [line.split() for line in lines if line.startswith(f"-A {hook} ")]
    return [" ".join((*words[2:4], words[-1])) if "NW-" in words[-1] else "other" for words in rules]


@pytest.mark.parametrize("start", ["First", "Last"])
def test_jumps_stand_where_they_are_told_to_and_are_put_back(busy: NodeUnderTest, start: str) -> None:
    """Jumps stand first or last, move when told to, and come back when others moved in before or behind them."""
    other = {"First": "Last", "Last": "First"}[start]
    place = {"First": 0, "Last": -1}
    apply(busy, f"jumpPosition: {start}\n")
    assert jumps(busy)[place[start]] == "-m comment NW-INPUT"
    assert jumps(busy).count("other") == 3

    assert apply(busy, f"jumpPosition: {other}\n") == 6  # a jump goes and comes in each chain that has others' rules
    assert jumps(busy)[place[other]] == "-m comment NW-INPUT"

    busy.run("iptables -A INPUT -j KUBE-FIREWALL" if other == "Last" else "iptables -I INPUT 1 -j KUBE-FIREWALL")
    assert apply(busy, f"jumpPosition: {other}\n") == 2
    assert jumps(busy)[place[other]] == "-m comment NW-INPUT"
    assert jumps(busy).count("other") == 4


def test_interfaces_have_a_jump_each(busy: NodeUnderTest) -> None:
    """A jump stands for each name of an interface, all in order and in front of others."""
    apply(busy, "interfaces: [eth*, ens160]\n")
    assert jumps(busy)[:2] == ["-i ens160 NW-INPUT", "-i eth+ NW-INPUT"]
    assert jumps(busy, "OUTPUT")[:2] == ["-o ens160 NW-OUTPUT", "-o eth+ NW-OUTPUT"]
    assert apply(busy, "") > 0
    assert jumps(busy)[:2] == ["-m comment NW-INPUT", "other"]


def test_what_is_not_managed_is_taken_away(busy: NodeUnderTest) -> None:
    """A family that is no longer managed loses all that is nodewall's, and a shut gate takes away the rest."""
    before = busy.texts()
    apply(busy, "")
    apply(busy, "families: [IPv6]\n")
    assert busy.texts()["iptables-save"] == before["iptables-save"]
    assert any("NW-INPUT" in line for line in busy.texts()["ip6tables-save"])
    assert not any("nw-4" in line for line in busy.texts()["ipset save"])

    # The host's own rules drop what comes by IPv6, so without nodewall's the API server is out of reach.
    apply(busy, "featureGates: {NodeNetworkPolicy: false}\n", "--force-unsafe")

    assert busy.texts() == before


def test_interfaces_that_are_there_are_seen_and_put_on_record(fresh: NodeUnderTest) -> None:
    """A glob that iptables does not know stands for the interfaces that are there, which history then knows as well."""
    fresh.run("ip link add eth0 type veth peer name wan1")
    (fresh.folder / "nodewall.yaml").write_text("interfaces: ['et?0', 'wan[12]']\n")
    log = str(fresh.folder / "events.db")
    append = [
        "log",
        "append",
        "--log",
        log,
        "-f",
        fresh.manifests(drop_all()),
        "-c",
        str(fresh.folder / "nodewall.yaml"),
    ]
    assert main(append) == 0
    world = ("--log", log, "--node", "cp-1")

    fresh.json("apply", *world, "--yes")
    assert jumps(fresh) == ["-i eth0 NW-INPUT", "-i wan1 NW-INPUT"]
    assert fresh.json("plan", *world)["ops"] == []
    fresh.run("ip link add wan2 type veth peer name eth1")
    assert fresh.json("plan", *world)["ops"] != []
    fresh.json("apply", *world, "--yes")

    fresh.capsys.readouterr()
    assert main(["log", "show", "--log", log]) == 0
    shown = fresh.capsys.readouterr().out
    assert shown.count("host.observed") == 2
    assert main(["compile", *world]) == 0
    assert fresh.capsys.readouterr().out.count("-i wan2") == 2
    assert fresh.json("apply", *world, "--yes")["ops"] == 0


NETLINK_NETFILTER, NFLOG_CONFIG, NFLOG_PACKET, PREFIX = 12, 0x401, 0x400, 10
"""The protocol, the messages of its subsystem 4 (ULOG), and the attribute for the prefix: linux/netfilter/nfnetlink_log.h."""


@contextmanager
def listening(netns: str, group: int) -> Iterator[socket.socket]:
    """Listen to what NFLOG sends to a group in a network namespace."""
    with opened(namespace_path(netns), socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as made:
        # nlmsghdr; nfgenmsg with the group; attribute NFULA_CFG_CMD (1): bind (1)
        command = struct.pack("=HHB3x", 5, 1, 1)
        body = struct.pack("=BBH", 0, 0, socket.htons(group)) + command
        made.send(struct.pack("=IHHII", 16 + len(body), NFLOG_CONFIG, 0x5, 1, 0) + body)
        yield made


def prefixes(source: socket.socket) -> list[str]:
    """Return the prefixes of all packets that were logged since the last look."""
    found = []
    source.settimeout(2)  # the kernel gathers for a second
    try:
        while True:
            found += list(_prefixes(source.recv(65535)))
    except TimeoutError:
        return found


def _prefixes(data: bytes) -> Iterator[str]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        attributes = data[20:length]
        while kind == NFLOG_PACKET and len(attributes) >= 4:
            size, name = struct.unpack_from("=HH", attributes)
            if name & 0x3FFF == PREFIX:
                yield attributes[4:size].rstrip(b"\0").decode()
            attributes = attributes[(size + 3) & ~3 :]
        data = data[(length + 3) & ~3 :]


def test_logged_packets_arrive_at_a_listener_within_the_limit(lab: Lab, backend: str, tmp_path: Path) -> None:
    """A listener on the group hears of matching packets by their prefix, and of no more than the burst at once."""
    rule = {
        "name": "probe",
        "action": "Drop",
        "ports": [{"port": 4444, "protocol": "UDP"}],
        "enableLogging": True,
        "logLabel": "seen",
    }
    quiet = {"name": "quiet", "action": "Drop", "ports": [{"port": 5555, "protocol": "UDP"}]}
    objects = (node("node-1", *NODE), policy("p", ingress=[rule, quiet]))
    (tmp_path / "world.yaml").write_text(
        "\n---\n".join(o.model_dump_json(by_alias=True, exclude_none=True) for o in objects)
    )
    (tmp_path / "nodewall.yaml").write_text("logging: {group: 77, rate: 1/minute, burst: 3}\n")
    words = [
        "apply",
        "-f",
        str(tmp_path / "world.yaml"),
        "--node",
        "node-1",
        "-c",
        str(tmp_path / "nodewall.yaml"),
        "--yes",
    ]
    assert main([*words, "--netns", lab.netns("node-1"), "--backend", backend]) == 0

    with listening(lab.netns("node-1"), 77) as source:
        with opened(namespace_path(lab.netns("client")), socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(8):
                out.sendto(b"x", (NODE[0], 4444))
                out.sendto(b"x", (NODE[0], 5555))
        found = prefixes(source)

    assert found == ["I:Drop:seen:p/probe"] * 3
