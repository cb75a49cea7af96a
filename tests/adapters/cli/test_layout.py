"""The optimised layout on the command line: what is printed, and who is named to decide."""

import json
from pathlib import Path

import pytest

from adapters.cli import main
from tests.support.rulesets.ruleset_builders import cidr, node, policy

RULES = [
    {
        "name": f"r{n}",
        "action": "Drop" if n % 2 else "Allow",
        "from": [cidr(f"10.0.{n}.0/24")],
        "ports": [{"protocol": "TCP", "port": 22}],
    }
    for n in range(12)
]


@pytest.fixture
def world(tmp_path: Path) -> list[str]:
    """A node and a policy of many rules about one port, as options."""
    objects = (node("n1", "192.0.2.1"), policy("p", ingress=RULES))
    path = tmp_path / "world.yaml"
    path.write_text("\n---\n".join(each.model_dump_json(by_alias=True, exclude_none=True) for each in objects))
    return ["-f", str(path), "--node", "n1"]


def test_compile_prints_either_layout(world: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As it is asked for, else as the configuration says."""
    texts = {}
    for words in ([], ["--layout", "linear"], ["--layout", "optimised"]):
        assert main(["compile", *world, *words]) == 0
        texts[" ".join(words)] = capsys.readouterr().out
    assert texts[""] == texts["--layout linear"]
    assert texts[""].count("nodewall p/r") == 12
    assert "nodewall merged:" in texts["--layout optimised"]
    assert "-g NW-I-t" in texts["--layout optimised"]


def test_what_takes_too_long_is_compiled_one_by_one(world: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And that is told, for each direction and family; with time enough nothing is."""
    assert main(["compile", *world, "--layout", "optimised", "--max-seconds", "0"]) == 0
    late = capsys.readouterr()
    assert "note: ingress of IPv4 stays linear: working it out would take too long" in late.err
    assert late.out.count("nodewall p/r") == 12
    assert main(["compile", *world, "--layout", "optimised", "--max-seconds", "60"]) == 0
    assert capsys.readouterr().err == ""


def test_simulate_names_the_one_rule_that_decides(
    world: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a rule in the kernel serves many; the verdict and where it falls are those of that one."""
    packets = [f"in=eth0 proto=tcp src=10.0.{n}.9 dst=192.0.2.1 dport=22" for n in range(9)]
    said = {}
    for layout in ("Linear", "Optimised"):
        monkeypatch.setenv("NODEWALL_LAYOUT", layout)
        assert main(["simulate", *world, *(word for each in packets for word in ("--packet", each)), "-o", "json"]) == 0
        said[layout] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = {
        layout: [(each["verdict"], (each["decided_by"] or {}).get("policy_rule")) for each in found]
        for layout, found in said.items()
    }
    assert names["Linear"] == names["Optimised"]
    assert names["Linear"][3] == ("drop", "r3")
    assert said["Optimised"][3]["decided_by"]["chain"].startswith("NW-I-t-")
