"""What cannot be printed is escaped in every answer about all packets, wherever it comes from."""

from pathlib import Path

import pytest

from tests.support.cli.command_line import Run

ESCAPE = "\x1b[31m"
OVERRIDE = "\u202e"
RULES = f"""*filter
:INPUT DROP [0:0]
-A INPUT -i "e{ESCAPE}0" -p tcp -m comment --comment "a{ESCAPE}b{OVERRIDE}" -j DROP
-A INPUT -p udp -m string --string "{ESCAPE}" --algo bm -m comment --comment "nodewall p{ESCAPE}/r" -j ACCEPT
-A INPUT -p udp -m string --string "{ESCAPE}" --algo bm -m comment --comment "nodewall q/r{ESCAPE}" -j ACCEPT
COMMIT
"""
OTHERS = RULES.replace("-j ACCEPT", "-j DROP").replace("-j DROP", "-j ACCEPT", 1)


@pytest.fixture
def words(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Commands on rules with all kinds of it."""
    old, new, invariants = (str(tmp_path / name) for name in ("old", "new", "invariants"))
    Path(old).write_text(RULES, encoding="utf-8")
    Path(new).write_text(OTHERS, encoding="utf-8")
    Path(invariants).write_text('[{name: "a\\x1b[31m", hook: INPUT, where: udp, must: block}]', encoding="utf-8")
    return {
        "lint": ("lint", "--ipv4", old),
        "prove": ("prove", "--ipv4", old, "--invariants", invariants),
        "diff": ("diff", f"ipv4:{old}", f"ipv4:{new}"),
        "search": ("search", "--ipv4", old, "--hook", "INPUT", "--where", "udp", "--verdict", "accept"),
        "simulate": ("simulate", "--ipv4", old, "--packet", "in=eth0 src=192.0.2.1 dst=192.0.2.2 proto=udp dport=1"),
    }


@pytest.mark.parametrize("command", ["lint", "prove", "diff", "search", "simulate"])
def test_text_can_be_printed(run: Run, words: dict[str, tuple[str, ...]], command: str) -> None:
    """Every line for people consists of what can be printed."""
    code, out, err = run(*words[command])

    assert code in {0, 1}, err
    assert out
    for line in (*out.splitlines(), *err):
        assert line.isprintable(), ascii(line)
