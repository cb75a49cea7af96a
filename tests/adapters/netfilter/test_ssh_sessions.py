"""Whose connection nodewall is run over, as sshd says."""

import os
import subprocess
import sys
from ipaddress import ip_network

import pytest

from adapters.netfilter.ssh_sessions import administrators
from engine.policy.completed_rules import Protocol, Traffic
from engine.policy.prefix_sets import AddressBlock

NOBODY = 2**22 + 1
"""No process has that number."""


def test_the_connection_in_the_environment_is_a_lifeline() -> None:
    """The client's address and the server's port are what has to get through."""
    (rule,) = administrators({"SSH_CONNECTION": "203.0.113.9 51234 192.0.2.1 2222"}, NOBODY)

    assert rule.peers == (AddressBlock(ip_network("203.0.113.9/32")),)
    assert rule.services == (Traffic(Protocol.TCP, (2222, 2222)),)


def test_an_address_with_a_zone_counts_without_it() -> None:
    """A link-local address names its interface too."""
    (rule,) = administrators({"SSH_CONNECTION": "fe80::9%eth0 51234 fe80::1%eth0 22"}, NOBODY)

    assert rule.peers == (AddressBlock(ip_network("fe80::9/128")),)


@pytest.mark.parametrize("text", ["", "nonsense", "203.0.113.9 1 192.0.2.1", "a b c d", "127.0.0.1 1 127.0.0.1 22"])
def test_what_is_no_connection_from_afar_is_none(text: str) -> None:
    """Words of another shape, and a connection from here, lock nobody out."""
    assert administrators({"SSH_CONNECTION": text}, NOBODY) == ()


def test_the_environments_around_are_asked_too() -> None:
    """Who became root by other means is found by the process that was there before."""
    environment = {**os.environ, "SSH_CONNECTION": "203.0.113.9 51234 192.0.2.1 22"}
    outer = (
        "import os, subprocess, sys;"
        "rest = {name: value for name, value in os.environ.items() if name != 'SSH_CONNECTION'};"
        "sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]], env=rest, check=False).returncode)"
    )
    inner = "import os; from adapters.netfilter.ssh_sessions import administrators; print(*administrators(os.environ))"
    done = subprocess.run(
        [sys.executable, "-c", outer, inner], env=environment, capture_output=True, text=True, check=True
    )

    assert "203.0.113.9/32" in done.stdout
