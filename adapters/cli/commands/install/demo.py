"""``nodewall demo``: applies the policy of Antrea issue 5671 and tests it with real connections.

Runs once with iptables-nft and once with iptables-legacy. Uses scratch network namespaces, for ordinary users inside a
user namespace, so the rules of the host stay unchanged.

Output: each command with its result, then a table with the expected verdict, the simulator's and the kernels'. The exit
code is 1 if they disagree.
"""

import shlex
import sys
import tempfile
from pathlib import Path

import click

import adapters.cli
from adapters.application.scenario_folders import load_scenario
from adapters.application.scenario_lab import scenario_network
from adapters.cli.render.agreement import all_agree, packet_table
from adapters.lab.netns import DeliveryOutcome
from adapters.netfilter.backend_name import BackendName
from adapters.system.usernamespace import in_user_namespace
from scenarios.case import Scenario
from scenarios.run import run
from simulator.packets import Packet, parse_spec

SCENARIOS = Path(__file__).resolve().parents[4] / "scenarios"
BEFORE, AFTER = SCENARIOS / "issue-5671", SCENARIOS / "issue-5671-changed"
_BACKENDS = (BackendName.NFT, BackendName.LEGACY)

_LOCKOUT = """\
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: oops}
spec:
  tier: emergency
  priority: 1
  appliedTo: [{nodeSelector: {}}]
  ingress: [{action: Drop, ports: [{protocol: TCP, port: 6443}]}]
"""
_UNPROTECTED = "privilegedRules: {mode: Replace, rules: []}\n"
"""Configuration without privileged rules, so that only the lockout guard stops the policy above."""
_REFUSED = 3
"""Exit code of an apply that the lockout guard refuses."""


@click.command("demo")
def demo_command() -> int:
    """Show the policy of Antrea issue 5671 at work in scratch network namespaces; nothing else is touched."""
    in_user_namespace("adapters.cli", *sys.argv[1:])
    before, after = (load_scenario(folder) for folder in (BEFORE, AFTER))
    results = (*run(before).packets, *run(after).packets)
    kernels = {b.value: _act(before, after, b, first=b is _BACKENDS[0]) for b in _BACKENDS}
    agreed = all_agree(results, kernels)
    _title("What the policy says, what the simulator says, what the kernel did")
    click.echo(packet_table(results, kernels))
    click.secho("All columns agree." if agreed else "The columns do NOT agree.", bold=True)
    return 0 if agreed else 1


def _act(before: Scenario, after: Scenario, backend: BackendName, *, first: bool) -> list[DeliveryOutcome | None]:
    """Run both scenarios on one backend, and return the kernel's outcome for each packet."""
    _title(f"iptables-{backend}")
    with tempfile.TemporaryDirectory(prefix="nodewall-demo-") as folder, scenario_network(before) as stage:
        log = str(Path(folder) / "events.db")
        world = ["--node", before.case.node, "--log", log]
        kernel = ["--netns", stage.netns, "--backend", backend.value]
        _say("log", "append", "--log", log, "-f", str(BEFORE / "manifests"))
        if first:
            _say("log", "show", "--log", log)
            _say("compile", *world)
            _say("simulate", *world, *_packet_options(before))
        _say("apply", *world, *kernel, "--yes")
        outcomes = stage.try_all(_packets(before))
        _say("apply", *world, *kernel, "--yes")
        if first:
            _title(f"iptables-{backend}: a policy that would cut the API server, where no static rule keeps it")
            (Path(folder) / "oops.yaml").write_text(_LOCKOUT, encoding="utf-8")
            (Path(folder) / "nodewall.yaml").write_text(_UNPROTECTED, encoding="utf-8")
            files = ("-f", str(BEFORE / "manifests"), "-f", f"{folder}/oops.yaml", "-c", f"{folder}/nodewall.yaml")
            _say("apply", *files, "--node", before.case.node, *kernel, "--yes", code=_REFUSED)
        _title(f"iptables-{backend}: a partner's network is added to the policy")
        _say("log", "append", "--log", log, "-f", str(AFTER / "manifests"))
        _say("plan", *world, *kernel)
        _say("apply", *world, *kernel, "--yes")
        outcomes += stage.try_all(_packets(after))
        _say("replay", "--log", log, "--node", before.case.node, *_packet_options(after), "--from", "5")
        _say("log", "verify", "--log", log)
        _say("remove", *kernel)
    return outcomes


def _packets(scenario: Scenario) -> list[Packet]:
    return [parse_spec(case.packet, number) for number, case in enumerate(scenario.case.packets, 1)]


def _packet_options(scenario: Scenario) -> list[str]:
    return [word for case in scenario.case.packets for word in ("--packet", case.packet)]


def _title(text: str) -> None:
    click.secho(f"\n== {text}", bold=True)


def _say(*words: str, code: int = 0) -> None:
    """Print a command and run it; an exit code other than ``code`` ends the demo."""
    click.secho(f"\n$ nodewall {shlex.join(words)}", fg="cyan")
    sys.stdout.flush()
    found = adapters.cli.main(words)
    if found != code:
        raise click.exceptions.Exit(found or 1)
