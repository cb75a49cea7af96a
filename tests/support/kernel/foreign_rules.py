"""Foreign rules and sets on a Node, beside those of nodewall."""

from adapters.system.process import SystemRunner
from engine.rulesets.diff import apply_changes, diff, owned_part
from engine.rulesets.model import Family, IpSet, Ruleset

SETS = "create banned hash:net family inet\nadd banned 10.1.0.15\ncreate other hash:ip family inet6\nadd other 2001:db8::f\n"
RULES = """\
*filter
:theirs - [0:0]
-A INPUT -j theirs
-A INPUT -p tcp -m tcp --dport 8080 -m set --match-set {banned} src -j REJECT --reject-with tcp-reset
-A theirs -p tcp -m tcp --dport 443 -m comment --comment "not nodewall's" -j RETURN
-A FORWARD -j DROP
COMMIT
"""
BANNED = {Family.IPV4: "banned", Family.IPV6: "other"}


def load_theirs(netns: str, backend: str) -> None:
    """Load foreign rules and sets, which decide on a few connections."""
    runner = SystemRunner(netns)
    runner.run(["ipset", "restore"], SETS).or_refused("ipset")
    for tool, family in (("iptables", Family.IPV4), ("ip6tables", Family.IPV6)):
        runner.run([f"{tool}-{backend}-restore"], RULES.format(banned=BANNED[family])).or_refused(tool)


def theirs(observed: Ruleset) -> tuple[object, tuple[IpSet, ...]]:
    """Return the foreign rules and sets."""
    ours = owned_part(observed)
    rules = apply_changes(observed, diff(observed, Ruleset()))
    return rules, tuple(item for item in observed.sets if item not in ours.sets)
