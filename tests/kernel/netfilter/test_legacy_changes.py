"""Changes to the rules of iptables-legacy are told, and packets that pass are none."""

import shlex
import subprocess
import sys

import pytest

from adapters.netfilter.legacy_changes import LegacyRuleChanges
from engine.rulesets.model import Family
from tests.support.rulesets.ruleset_builders import scratch_namespace

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

IPV4, IPV6 = frozenset({Family.IPV4}), frozenset({Family.IPV6})
SEND = shlex.quote("import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))")
RULE = "-p tcp --dport 22 -m limit --limit 5/min -m comment --comment x"


def test_what_changes_rules_is_told_once_and_what_counts_is_not() -> None:
    """Rules that come, go or become others, policies, chains and tables; but no packets that pass."""
    with scratch_namespace("legacy") as netns, LegacyRuleChanges(netns) as rules:

        def run(line: str) -> None:
            subprocess.run(["ip", "netns", "exec", netns, *shlex.split(line)], check=True, capture_output=True)

        def told(line: str) -> frozenset[Family]:
            run(line)
            found = rules.families()
            assert rules.families() == frozenset()
            return found

        assert rules.families() == IPV4 | IPV6
        run("ip link set lo up")
        assert told(f"iptables-legacy -A INPUT {RULE} -j ACCEPT") == IPV4
        assert told(f"ip6tables-legacy -A INPUT {RULE} -j ACCEPT") == IPV6
        assert told(f"iptables-legacy -R INPUT 1 {RULE} -j DROP") == IPV4
        assert told("iptables-legacy -I INPUT -i lo") == IPV4
        assert told(f"{sys.executable} -c {SEND}") == frozenset()
        assert told("iptables-legacy -L -n") == frozenset()
        assert told("iptables-legacy -P FORWARD DROP") == IPV4
        assert told("iptables-legacy -N other") == IPV4
        assert told("iptables-legacy -t nat -L") == IPV4
        assert told("iptables-legacy -F INPUT") == IPV4
        assert told("iptables-nft -A INPUT -j ACCEPT") == frozenset()
