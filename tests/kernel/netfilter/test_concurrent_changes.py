"""Reading and writing of rules and sets while another program changes or reads them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import BACKENDS, choose_backend
from adapters.system.process import SystemRunner
from engine.compiler import compile_rules
from engine.rulesets.diff import diff
from engine.rulesets.plan import make_plan
from tests.support.rulesets.ruleset_builders import completed, scratch_namespace

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

SETS, ROUNDS = 200, 60
CHURN = """
for round in $(seq {rounds}); do
    for number in $(seq {sets}); do echo "create set$number hash:ip"; done | ipset restore
    {{
        echo '*filter'
        for number in $(seq {sets}); do echo "-A INPUT -m set --match-set set$number src -j DROP"; done
        echo COMMIT
    }} | {program}-restore
    {program} -F INPUT
    until ipset destroy 2>/dev/null; do :; done  # sets are in use while they are saved
done
"""

BLOCKS = [f"10.{number >> 7}.{2 * number & 255}.0/24" for number in range(5000)]


@contextmanager
def monitor(netns: str) -> Iterator[None]:
    """Have a program that saves all sets again and again."""
    script = "while :; do ipset save; done >/dev/null 2>&1"
    running = subprocess.Popen(["ip", "netns", "exec", netns, "bash", "-c", script])
    try:
        yield
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("backend", BACKENDS)
def test_vanishing_sets_disturb_no_observation(backend: BackendName) -> None:
    """A set that is destroyed while its rule is read makes iptables-legacy-save fail; the observation repeats it."""
    script = CHURN.format(program=f"iptables-{backend}", sets=SETS, rounds=ROUNDS)
    with scratch_namespace(backend) as netns:
        kernel, observations = choose_backend(SystemRunner(netns), backend), 0
        with subprocess.Popen(["ip", "netns", "exec", netns, "bash", "-euc", script]) as churn:
            try:
                while churn.poll() is None:
                    kernel.observe()
                    observations += 1
            finally:
                churn.terminate()
        assert churn.returncode == 0
        assert observations > 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_sets_that_others_save_are_destroyed(backend: BackendName) -> None:
    """The kernel destroys no set while a program such as a monitor saves it; the step goes on afterwards."""
    policies, nothing = compile_rules((completed("a", *BLOCKS),)), compile_rules(())
    with scratch_namespace(backend) as netns, monitor(netns):
        kernel = choose_backend(SystemRunner(netns), backend)
        for wanted in (policies, nothing) * 15:
            for step in make_plan(diff(kernel.observe(), wanted)).steps:
                kernel.run(step)
            assert not diff(kernel.observe(), wanted)
