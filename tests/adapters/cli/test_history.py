"""``nodewall history``: what changed a node as a timeline, in words and in a browser."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import wiring
from adapters.application.past.steps import HistoryWalk
from adapters.application.past.timeline import Timeline
from adapters.cli.history.moments import moments
from engine.errors import LogError
from engine.events.outcomes import ApplyFailed, DriftRepaired, FailedRule, RulesetApplied
from simulator.netfilter import Walker
from simulator.symbolic.context import UNLIMITED
from tests.support.cli.browser_pages import Browser
from tests.support.cli.command_line import Run
from tests.support.eventlog.event_logs import log_of
from tests.support.policies.issue_5671 import BAD, CHANGED, CLIENT, NODES, POLICY, STRANGER
from tests.support.policies.random_clusters import NODE
from tests.support.policies.random_histories import history_of, packets_about, worlds_of
from tests.support.seeds import examples

ACCEPT, DROP = (0x1A, 0x7F, 0x4B), (0xC2, 0x35, 0x2B)
"""The colours of verdicts on the page, where the light is on."""


@pytest.fixture
def log(run: Run, tmp_path: Path) -> str:
    """The issue's history: the partner comes, goes, and everything goes; one version is refused; and what was done."""
    path, wrong = str(tmp_path / "events.db"), tmp_path / "<b>wrong.yaml"
    wrong.write_text(BAD.replace("{name: bad}", "{name: node-policy}").split("---")[0])
    for files in (("-f", NODES, "-f", POLICY), ("-f", CHANGED), ("-f", POLICY)):
        assert run("log", "append", "--log", path, *files)[0] == 0
    assert run("log", "append", "--log", path, "-f", str(wrong))[0] == 2
    failed = (FailedRule(policy="node-policy", rule="a</script><script>", words="no\nroom"),)
    done = (
        RulesetApplied(node="cp-1", realized=6, ruleset="0", operations=3, failed=failed),
        ApplyFailed(node="worker-1", wanted=6, words="of another node"),
        DriftRepaired(node="cp-1", found=("ipset add nw-4-x 10.0.0.0/8",), operations=1),
    )
    events = wiring.event_log(path)
    events.append(done, source="nodewall </script><img src=x onerror=alert(1)>", expected=events.last_sequence())
    assert run("log", "append", "--log", path, "-f", POLICY, "--delete")[0] == 0
    return path


def test_it_tells_who_did_what_and_which_packets_fare_otherwise(run: Run, log: str) -> None:
    """Each event that changed the node's rules, or is about the node; and for each packet when its verdict changed."""
    words = ("history", "--log", log, "--node", "cp-1", "--packet", STRANGER, "--packet", CLIENT, "-o", "json")
    code, out, err = run(*words)
    *entries, stranger, client = map(json.loads, out.splitlines())

    assert (code, err) == (0, [])
    assert [each["sequence"] for each in entries] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert [each["object"] for each in entries[3:5]] == ["ClusterNetworkPolicy/node-policy"] * 2
    partner = entries[4]
    assert partner["source"].startswith("nodewall log append ")
    assert [(each["path"], "after" in each) for each in partner["change"]["fields"]] == [
        ("spec.ingress[0].from[1]", True)
    ]
    assert [(each["from"], each["to"]) for each in partner["changes"]] == [("drop", "accept")]
    assert [(each["packet"]["src"], each["to"]) for each in partner["verdicts"]] == [("203.0.113.7", "accept")]
    assert entries[6]["outcome"][0].startswith("refused: spec.")
    assert entries[7]["outcome"] == [
        "state 6 is in force, by 3 operations",
        "but for node-policy/a</script><script>: no\\nroom",
    ]
    assert [(each["sequence"], each["verdict"]) for each in stranger["turns"]] == [
        (0, "accept"),
        (4, "drop"),
        (5, "accept"),
        (6, "drop"),
        (11, "accept"),
    ]
    assert [each["verdict"] for each in client["turns"]] == ["accept"]


def test_people_read_it_from_top_to_bottom(run: Run, log: str) -> None:
    """A part of it, and the last entries alone."""
    out = run("history", "--log", log, "--node", "cp-1", "--from", "5", "--to", "5", "--packet", STRANGER)[1]
    lines = out.splitlines()
    assert lines[0].startswith("5  ")
    assert lines[1].startswith("    from nodewall log append ")
    assert lines[2:4] == ['    + spec.ingress[0].from[1]: {"ipBlock": {"cidr": "203.0.113.0/24"}}', "    1 op"]
    assert lines[4].startswith("    + INPUT: TCP 6443 from 203.0.113.0/24 changes from drop (policy node-policy")
    assert lines[5].startswith("    drop -> accept  in=eth0")
    assert (lines[7], lines[8][:8]) == ("    0  the beginning  drop", "    5  2")
    last = run("history", "--log", log, "--node", "cp-1", "--limit", "2", "-o", "json")[1].splitlines()
    assert [json.loads(line)["sequence"] for line in last] == [10, 11]
    assert (
        "which packets fare otherwise was not found out"
        in run("history", "--log", log, "--node", "cp-1", "--max-seconds", "0")[1]
    )


@examples(8)
@given(st.integers(0, 10**9))
def test_verdicts_turn_where_replay_says(seed: int) -> None:
    """The turns of each packet are the events at which a walk from the start gives another verdict."""
    worlds = worlds_of(str(seed), 2)
    history, packets = history_of(worlds, str(seed)), packets_about(worlds, 1)
    with TemporaryDirectory() as folder:
        log = log_of(folder, history)
        timeline = Timeline(HistoryWalk(log, NODE).steps(), NODE, packets, None)
        seen = list(moments(HistoryWalk(log, NODE).steps(), lambda rules: list(map(Walker(rules).verdict, packets))))
    for place, turns in enumerate(timeline.turns):
        told = [(each.event.sequence, each.groups[place].after.verdict) for each in seen if each.groups[place].moved]
        assert [(turn.sequence, turn.verdict) for turn in turns[1:]] == told
    assert {each.event.sequence for each in timeline.entries(UNLIMITED)} >= {e.event.sequence for e in seen if e.ops}


@pytest.mark.parametrize(
    "words", [("--node", "nobody"), ("--node", "cp-1", "--from", "soon"), ("--node", "cp-1", "-o", "pdf")]
)
def test_faults_are_exit_2(run: Run, log: str, words: tuple[str, ...]) -> None:
    """A node that never was, a moment and a form that are none."""
    code, out, err = run("history", "--log", log, *words)
    assert (code, out, len(err)) == (2, "", 1)
    with pytest.raises(LogError):
        wiring.event_log(f"{log}-missing").last_sequence()


@pytest.fixture
def page(run: Run, log: str, tmp_path: Path) -> Path:
    """The page of the history, with two packets."""
    words = ("history", "--log", log, "--node", "cp-1", "--packet", STRANGER, "--packet", CLIENT, "--format", "html")
    code, out, err = run(*words)
    assert (code, err) == (0, [])
    path = tmp_path / "history.html"
    path.write_text(out)
    return path


def test_the_page_has_all_that_it_needs(page: Path) -> None:
    """It refers to nothing outside, and forbids itself to load anything."""
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", text.replace("<img src=x", ""))
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) == {"http://www.w3.org/2000/svg"}
    assert text.count("</script>") == 2


def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    """Every entry in order, nothing of what people wrote as markup, and the chosen packet's verdict over time."""
    tree = Browser(tmp_path).elements(page)
    entries = tree.all("li")

    assert tree.all("title")[0].text == "History of cp-1"
    assert [each.attributes["id"] for each in entries] == [f"event-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11)]
    assert all(each.shown for each in entries)
    assert "from nodewall </script><img src=x onerror=alert(1)>" in entries[7].text
    assert "<b>wrong.yaml" in entries[6].text
    assert not tree.all("img")
    assert not tree.all("li")[6].all("b", class_="x")
    assert [each.attributes["class"] for each in tree.all("line", class_="step")] == [
        f"step {verdict}" for verdict in ("accept", "drop", "accept", "drop", "accept")
    ]
    assert len(tree.all("circle", class_="turn")) == 4
    assert tree.all("span", id="count")[0].text == "10 of 10 events"


def test_the_timeline_can_be_filtered_and_another_packet_chosen(page: Path, tmp_path: Path) -> None:
    """By words, by kind, and by whether the chosen packet fared otherwise."""
    browser = Browser(tmp_path)

    def shown(asked: str) -> list[str]:
        return [
            each.attributes["id"].removeprefix("event-")
            for each in browser.elements(page, asked).all("li")
            if each.shown
        ]

    assert shown("text=203.0.113.0%20from") == ["5", "6"]
    assert shown("kinds=gone,wrong") == ["7", "11"]
    assert shown("turns&even") == ["4", "5", "6", "11"]
    assert shown("packet=1&turns") == []
    client = browser.elements(page, "packet=1&turns")
    assert [each.attributes["class"] for each in client.all("line", class_="step")] == ["step accept"]
    assert client.all("p", id="none")[0].shown


def test_it_can_be_looked_at(page: Path, tmp_path: Path) -> None:
    """A screenshot has the colours of the verdicts on a page that is mostly ground; narrow windows lose nothing."""
    browser = Browser(tmp_path)
    wide, narrow = browser.screenshot(page, "even"), browser.screenshot(page, "even", (420, 900))

    for image, size in ((wide, (1000, 900)), (narrow, (420, 900))):
        assert image.size == size
        colours = {colour: count for count, colour in image.getcolors(1 << 24) or []}
        assert colours.get(ACCEPT, 0) > 200
        assert colours.get(DROP, 0) > 200
        assert max(colours.values()) > size[0] * size[1] // 4
        assert len(colours) > 20
    # A page that is wider than its window would be cut off at the right: there only ground may be.
    edge = narrow.crop((narrow.width - 3, 0, narrow.width, narrow.height)).getcolors(1 << 16) or []
    assert max(count for count, _ in edge) > 3 * narrow.height * 0.9
