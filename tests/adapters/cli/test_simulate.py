"""``simulate`` on a packet's whole way, and with captures in and out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.packets import Packet, pcap_writer, read_pcap, to_wire
from tests.support.cli.command_line import Run
from tests.support.packets.packet_builders import packet

RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.1.5:8080
-A POSTROUTING -o cni0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j REJECT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -d 10.244.1.5/32 -p tcp -m tcp --dport 8080 -j ACCEPT
COMMIT
"""
ADDRESSES = [
    {"ifname": "eth0", "addr_info": [{"local": "192.0.2.1", "prefixlen": 24}]},
    {"ifname": "cni0", "addr_info": [{"local": "10.244.1.1", "prefixlen": 24}]},
]
ROUTES = [{"dst": "default", "gateway": "192.0.2.254", "dev": "eth0"}]
CLIENT = "in=eth0 src=198.51.100.7 dst=192.0.2.1 proto=tcp sport=40000 dport=30080"
ANSWER = "in=cni0 src=10.244.1.5 dst=10.244.1.1 proto=tcp sport=8080 dport=40000 flags=SYN,ACK"


@pytest.fixture
def node(tmp_path: Path) -> tuple[str, ...]:
    """Return the options that describe a node: its rules, addresses and routes."""
    (tmp_path / "rules").write_text(RULES)
    (tmp_path / "addresses").write_text(json.dumps(ADDRESSES))
    (tmp_path / "routes").write_text(json.dumps(ROUTES))
    return (
        *("--ipv4", str(tmp_path / "rules"), "--all-hooks"),
        *("--addresses", str(tmp_path / "addresses"), "--routes", str(tmp_path / "routes")),
    )


def test_a_packet_goes_its_whole_way(run: Run, node: tuple[str, ...]) -> None:
    """A packet to a published port is rewritten, then filtered, and so is its answer on the way back."""
    code, out, _ = run("simulate", *node, "--packet", CLIENT, "--packet", ANSWER, "-o", "json")
    there, back = (json.loads(line) for line in out.splitlines())
    assert (code, there["verdict"], back["verdict"]) == (0, "accept", "accept")
    assert [step["chain"] for step in there["trace"]] == ["PREROUTING", "FORWARD", "POSTROUTING"]
    assert there["became"] == {"out": "cni0", "src": "10.244.1.1", "dst": "10.244.1.5", "dport": "8080", "ttl": "63"}
    assert back["packet"]["state"] == "established"
    assert back["became"] == {"out": "eth0", "src": "192.0.2.1", "dst": "198.51.100.7", "sport": "30080", "ttl": "63"}


def test_a_program_s_packet_goes_by_output(run: Run, node: tuple[str, ...]) -> None:
    """A packet that has only an out interface is sent by the node; routing says by which interface."""
    words = "out=eth0 src=192.0.2.1 dst=10.244.1.5 proto=udp sport=1 dport=2"
    answer = json.loads(run("simulate", *node, "--packet", words, "-o", "json")[1])
    assert (answer["verdict"], answer["hook"]) == ("accept", "POSTROUTING")


def test_a_state_cannot_be_asked_for_on_the_whole_way(run: Run, node: tuple[str, ...]) -> None:
    """A state that a packet claims is refused, as states follow from the packets before."""
    code, _, faults = run("simulate", *node, "--packet", f"{CLIENT} state=established")
    assert code == 2
    assert "packet 1: found state=established" in faults[0]


@pytest.mark.parametrize("file, text", [("addresses", '[{"ifname": 5}]'), ("routes", '[{"dst": "somewhere"}]')])
def test_what_ip_did_not_print_is_refused(
    run: Run, node: tuple[str, ...], tmp_path: Path, file: str, text: str
) -> None:
    """Addresses and routes that ip does not print are refused by the name of their file."""
    (tmp_path / file).write_text(text)
    code, out, faults = run("simulate", *node, "--packet", CLIENT)
    assert (code, out, len(faults)) == (2, "", 1)
    assert str(tmp_path / file) in faults[0]


def test_a_capture_is_split_by_verdict(run: Run, tmp_path: Path) -> None:
    """Each packet of a capture comes out in the capture of its verdict, with its bytes and its time."""
    (tmp_path / "rules").write_text(RULES)
    seen = [
        replace(packet(words), time=1_700_000_000.5 + place)
        for place, words in enumerate(("dport=22", "dport=22 src=192.0.2.9", "dport=80", "dport=22 flags=ACK"))
    ]
    with pcap_writer(tmp_path / "all.pcap") as write:
        for each in seen:
            write(each)
    out = tmp_path / "new" / "split"
    capture = ("--pcap", str(tmp_path / "all.pcap"), "--in", "eth0", "--split", str(out))
    code, printed, _ = run("simulate", "--ipv4", str(tmp_path / "rules"), *capture, "-o", "json")
    assert (code, len(printed.splitlines())) == (0, 4)
    found = {
        path.stem: [(each.wire, each.time) for each in read_pcap(path) if isinstance(each, Packet)]
        for path in sorted(out.iterdir())
    }
    wanted = {"accept": (0, 3), "drop": (1,), "reject": (2,)}
    assert found == {
        verdict: [(to_wire(seen[place]), seen[place].time) for place in places] for verdict, places in wanted.items()
    }


def test_a_split_that_cannot_be_written_is_refused(run: Run, tmp_path: Path) -> None:
    """A folder that cannot be made is told before anything is judged."""
    (tmp_path / "rules").write_text(RULES)
    with pcap_writer(tmp_path / "all.pcap"):
        pass
    capture = ("--pcap", str(tmp_path / "all.pcap"), "--split", str(tmp_path / "rules"))
    code, out, faults = run("simulate", "--ipv4", str(tmp_path / "rules"), *capture)
    assert (code, out, len(faults)) == (2, "", 1)
    assert "--split" in faults[0]


def test_without_a_trace_many_packets_are_told_the_same(run: Run, node: tuple[str, ...], tmp_path: Path) -> None:
    """A long capture whose packets are taken as new is answered alike with the path and, in batches, without it."""
    path = tmp_path / "many.pcap"
    with pcap_writer(path) as write:
        for number in range(1000):
            write(packet(f"src=10.0.{number // 250}.{number % 250} dport={(22, 80, 81)[number % 3]}"))
    words = ("simulate", *node[:2], "--pcap", str(path), "--in", "eth0", "--stateless", "-o", "json")
    told = [json.loads(line) for line in run(*words)[1].splitlines()]
    for each in told:
        del each["trace"]
    assert [json.loads(line) for line in run(*words, "--no-trace")[1].splitlines()] == told
    assert {each["verdict"] for each in told} == {"accept", "reject", "drop"}
