"""``--all-nodes``: a whole fleet, judged once for each kind of node, here and by workers elsewhere."""

import json
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from distributed import LocalCluster

from adapters.application.selection import declared_state
from simulator.analysis.fleet import compare_fleet, prove_fleet
from simulator.symbolic import Budget
from tests.support.cli.command_line import Run

NODES = 60
NODE = """
apiVersion: v1
kind: Node
metadata: {name: node-NUMBER, labels: {pool: POOL}}
status: {addresses: [{type: InternalIP, address: 10.200.0.NUMBER}]}
---"""
POLICY = """
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: POOL}
spec:
  priority: 5
  appliedTo: [{nodeSelector: {matchLabels: {pool: POOL}}}]
  ingress: [{name: web, action: Drop, ports: [{protocol: TCP, port: PORT}]}]
---"""
POOLS = {"blue": 8080, "green": 8081, "red": 8082}


def manifests(path: Path, nodes: int = NODES, **ports: int) -> str:
    """Write a fleet in three pools, each with a policy of its own."""
    pools = {**POOLS, **ports}
    names = sorted(pools)
    parts = [
        NODE.replace("NUMBER", str(number)).replace("POOL", names[number % len(names)])
        for number in range(1, nodes + 1)
    ]
    parts += [POLICY.replace("POOL", pool).replace("PORT", str(port)) for pool, port in pools.items()]
    path.write_text("".join(parts))
    return str(path)


class Here(Executor):
    """Does work at once, and counts it."""

    def __init__(self) -> None:
        self.done = 0

    def submit(self, fn, /, *arguments, **words):  # type: ignore[no-untyped-def] # noqa: ANN001,ANN002,ANN003,ANN201 - as in Executor
        """Do it."""
        self.done += 1
        future: Future[object] = Future()
        future.set_result(fn(*arguments, **words))
        return future


@pytest.fixture(scope="module")
def workers() -> Iterator[str]:
    """The address of a scheduler that has two workers, processes on this machine."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=False
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


def test_each_kind_is_judged_once(tmp_path: Path) -> None:
    """60 nodes of three kinds take the work of three, compared or proved."""
    old, new = (
        declared_state([manifests(tmp_path / name, **ports)]) for name, ports in (("old", {}), ("new", {"red": 9}))
    )
    executor = Here()

    found = compare_fleet(old, new, executor, Budget())

    assert (executor.done, len(found)) == (3, 3)
    assert [len(each.nodes) for each in found] == [20, 20, 20]
    assert [bool(each.changes) for each in found] == [False, True, False]
    assert prove_fleet(old, (), executor, Budget())
    assert executor.done == 6


@pytest.mark.parametrize("where", ["processes", "dask"])
def test_a_fleet_is_compared_wherever(run: Run, tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    """What changes is told by kind of node, and nodes that came or went are named: exit code 1."""
    executor = request.getfixturevalue("workers") if where == "dask" else where
    sides = manifests(tmp_path / "old"), manifests(tmp_path / "new", NODES + 1, red=9)
    code, out, err = run("diff", *sides, "--all-nodes", "--executor", executor, "-o", "json")

    assert (code, err) == (1, [])
    found = json.loads(out)
    assert (found["equal"], found["nodes"], found["only_old"], found["only_new"]) == (False, 61, [], ["node-61"])
    by_pool = {kind["nodes"][0]: kind for kind in found["kinds"]}
    changes = by_pool["node-11"]["changes"]
    assert sorted((change["from"], change["to"]) for change in changes if change["family"] == "IPv4") == [
        ("accept", "drop"),
        ("drop", "accept"),
    ]
    assert [kind["equal"] for kind in found["kinds"]].count(True) == 2


@pytest.mark.parametrize("where", ["processes", "dask"])
def test_a_fleet_is_proved_wherever(run: Run, tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    """The kinds on which an invariant is broken are told apart from those on which it holds."""
    executor = request.getfixturevalue("workers") if where == "dask" else where
    (tmp_path / "invariants").write_text(
        "[{name: web, hook: INPUT, where: 'tcp dst port 8080 and in eth0 and ctstate new', must: accept}]"
    )
    words = ("prove", "-f", manifests(tmp_path / "world"), "--invariants", str(tmp_path / "invariants"))
    code, out, err = run(*words, "--all-nodes", "--executor", executor, "-o", "json")

    assert (code, err) == (1, [])
    found = json.loads(out)
    assert (found["holds"], found["nodes"], sorted(kind["holds"] for kind in found["kinds"])) == (
        False,
        60,
        [False, True, True],
    )


def test_people_are_told_the_kinds(run: Run, tmp_path: Path) -> None:
    """The first nodes of each kind stand for the others; equal fleets are exit code 0."""
    same = manifests(tmp_path / "old")
    code, out, _ = run("diff", same, same, "--all-nodes")
    assert code == 0
    assert out.splitlines()[0] == "node-1, node-10, node-13 and 17 more"
    assert out.splitlines()[-1] == "3 kinds of nodes"


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("--executor", "threads"), '--executor: found "threads"; expected processes or dask://HOST:PORT'),
        (("--executor", "dask://host"), '--executor: found "dask://host"; expected processes or dask://HOST:PORT'),
        (("--executor", "dask://[::1:1"), "expected processes or dask://HOST:PORT"),
        (("--node", "node-1"), "--node: has no use beside --all-nodes; expected one of the two"),
    ],
)
def test_what_cannot_be_is_said(run: Run, tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    """Faults of the options are errors, exit code 2."""
    same = manifests(tmp_path / "old", 2)
    code, out, err = run("diff", same, same, "--all-nodes", *words)

    assert (code, out) == (2, "")
    assert complaint in err[0]


def test_a_node_s_rules_are_no_fleet(run: Run, tmp_path: Path) -> None:
    """Raw text and kernels have no other nodes."""
    code, _, err = run("diff", "ipv4:rules", manifests(tmp_path / "old", 2), "--all-nodes")

    assert code == 2
    assert "ipv4:rules: is one node's rules, not a cluster; expected manifests or LOG@SEQ" in err[0]


def test_time_is_up_everywhere(run: Run, tmp_path: Path, workers: str) -> None:
    """A limit of time holds for workers elsewhere too."""
    sides = manifests(tmp_path / "old"), manifests(tmp_path / "new", red=9)
    code, out, err = run("diff", *sides, "--all-nodes", "--executor", workers, "--max-seconds", "0")

    assert (code, out) == (2, "")
    assert "out of time" in err[0]


def test_a_scheduler_that_does_not_answer_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the port: one line, exit code 2, soon."""
    monkeypatch.setattr("adapters.system.executors._SECONDS", 1)
    same = manifests(tmp_path / "old", 2)
    code, out, err = run("diff", same, same, "--all-nodes", "--executor", "dask://127.0.0.1:1")

    assert (code, out) == (2, "")
    assert err == ["error: --executor: 127.0.0.1:1: no scheduler answers; expected a Dask scheduler there"]
