"""``simulate --pcap`` with captures that are not as they should be: a line says what is wrong, and what is sound is judged."""

import struct
from pathlib import Path

import pytest

from tests.support.cli.command_line import Run

ETHERNET = bytes.fromhex("020000000002 020000000001")
SYN = bytes.fromhex(  # from 203.0.113.7 port 40001 to 192.168.77.1 port 22
    "0800 4500002800010000 4006 311e cb007107c0a84d01 9c410016 0000000000000000 5002 2000 a7b5 0000"
)
RULES = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
FOREIGN = HEADER[:20] + struct.pack("<I", 105)


def record(frame: bytes) -> bytes:
    """Return a record of a pcap file."""
    return struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame


WHOLE = record(ETHERNET + SYN)


@pytest.fixture
def rules(tmp_path: Path) -> str:
    """Rules that accept ssh."""
    path = tmp_path / "rules.v4"
    path.write_text(RULES)
    return str(path)


@pytest.mark.parametrize(
    "content, accepted, said",
    [
        (HEADER, 0, []),
        (HEADER + WHOLE + WHOLE[:9], 1, ["skipped: frame 2: the file ends inside its record header"]),
        (HEADER + WHOLE[:40], 0, ["skipped: frame 1: the file ends inside it"]),
        (HEADER + record((ETHERNET + SYN)[:30]) + WHOLE, 1, ["skipped: frame 1: cut inside the IPv4 header"]),
        (FOREIGN + WHOLE, 0, ["skipped: frame 1: link type 105 is not known"]),
        (
            HEADER + record(ETHERNET + bytes.fromhex("0806") + bytes(28)) + WHOLE,
            1,
            ["skipped: frame 1: no IP packet, but type 0x0806"],
        ),
        (HEADER + record(ETHERNET + bytes.fromhex("8100 0007") + SYN), 1, []),
    ],
)
def test_what_is_sound_is_judged(
    tmp_path: Path, run: Run, rules: str, content: bytes, accepted: int, said: list[str]
) -> None:
    """Frames that give no packet are named on standard error; the others are judged, and that is no failure."""
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    code, out, err = run("simulate", "--ipv4", rules, "--pcap", str(path), "--in", "eth0", "--no-trace")
    assert (code, out.count("accept"), err) == (0, accepted, said)


@pytest.mark.parametrize("content", [b"", b"just text\n", HEADER[:3], HEADER[:20], None])
def test_what_is_no_capture_is_refused(tmp_path: Path, run: Run, rules: str, content: bytes | None) -> None:
    """A file that is empty, text, cut inside its header or missing is refused in one line."""
    path = tmp_path / "a.pcap"
    if content is not None:
        path.write_bytes(content)
    code, out, (line,) = run("simulate", "--ipv4", rules, "--pcap", str(path), "--in", "eth0")
    assert (code, out) == (2, "")
    assert "a.pcap: cannot be read: " in line
