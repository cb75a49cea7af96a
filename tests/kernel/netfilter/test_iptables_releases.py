"""Rules that nodewall compiles are read back as they were written, whatever the release of iptables and ipset prints.

Each release runs with and without ``/etc/protocols`` and ``/etc/services``, on both backends.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.application.scenario_folders import folders, load_scenario
from engine.compiler import Layout, compile_rules
from engine.desired.full import desired_ruleset
from engine.policy.completed_rules import Action, Protocol, Traffic
from engine.rulesets.diff import diff, owned_part
from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table
from engine.rulesets.plan import make_plan
from tests.support.kernel.iptables_releases import RELEASES, fetched, scripts, version
from tests.support.kernel.node_namespaces import NodeUnderTest, allow, drop_all
from tests.support.rulesets.ruleset_builders import completed, policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel", "release")]

ROOT = Path(__file__).parents[3]
_NAMES = {True: "names", False: "no-names"}


@pytest.fixture(scope="session")
def roots() -> Path:
    """The root file systems of all releases."""
    return fetched()


@pytest.fixture(
    params=[(name, named) for name in RELEASES for named in (True, False)],
    ids=lambda each: f"{each[0]}-{_NAMES[each[1]]}",
)
def release(
    request: pytest.FixtureRequest,
    kernel: None,  # noqa: ARG001  # asked for its effect
    roots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Put the programs of a release first on PATH."""
    name, named = request.param
    folder = tmp_path / "programs"
    folder.mkdir()
    scripts(folder, roots / name, named=named)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return str(name)


def compiled() -> Iterator[Ruleset]:
    """Yield what every scenario compiles to, in both layouts, and what no scenario has."""
    for folder in folders([str(ROOT / "scenarios")]):
        scenario = load_scenario(folder)
        wanted = desired_ruleset(scenario.state, scenario.case.node)
        yield wanted.ruleset
        yield compile_rules(wanted.rules, replace(wanted.options, layout=Layout.OPTIMISED))
    services = (
        *(Traffic(each, (1, 65535), (7, 9)) for each in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
        *(Traffic(Protocol.TCP, (port, port)) for port in range(2, 90, 3)),
        *(Traffic(Protocol.IGMP, igmp=(kind, "224.0.0.9")) for kind in (-1, 0x16, 0xFF)),
        *(Traffic(each, icmp=(255, code)) for each in (Protocol.ICMP, Protocol.ICMPV6) for code in (-1, 255)),
    )
    for action in Action:
        yield compile_rules((completed("a", "10.0.0.0/8", "fd00::/8", action=action, services=services),))


def whole() -> Ruleset:
    """Return one chain a family with each compiled rule once: those that differ in names only are one."""
    found: dict[Family, dict[Rule, None]] = {family: {} for family in Family}
    for ruleset in compiled():
        for family, _, chain in ruleset.chains():
            found[family].update(dict.fromkeys(_renamed(rule, family) for rule in chain.rules))
    tables = {
        family: (Table("filter", (Chain("NW-ALL", tuple(rules)), Chain("NW-END"))),) for family, rules in found.items()
    }
    sets = [
        IpSet(
            _set_name(Family.IPV4),
            "hash:net",
            Family.IPV4,
            (("10.0.0.0/8",), ("10.1.0.0/16", "nomatch"), ("192.0.2.1",)),
        ),
        IpSet(
            _set_name(Family.IPV6),
            "hash:net",
            Family.IPV6,
            (("2001:db8::1",), ("fd00::/8",), ("fd00:1::/32", "nomatch")),
        ),
    ]
    sized = (replace(item, options=(("maxelem", "1048576"), ("counters", ""), ("comment", ""))) for item in sets)
    return Ruleset(tables[Family.IPV4], tables[Family.IPV6], tuple(sized))


def _set_name(family: Family) -> str:
    return f"nw-{family.value[-1]}-all"


def _renamed(rule: Rule, family: Family) -> Rule:
    matches = tuple(_match(match, family) for match in rule.matches)
    target = rule.target
    assert target is not None
    return Rule(matches, replace(target, name="NW-END") if target.owned else target)


def _match(match: Match, family: Family) -> Match:
    if match.option == "match-set":
        return replace(match, values=(_set_name(family), *match.values[1:]))
    return replace(match, values=("nodewall a/b",)) if match.module == "comment" else match


def test_the_release_is_the_one_named(release: str, tmp_path: Path) -> None:
    """The programs are of the release that the test is told to use, or of a newer one in testing."""
    found = version(tmp_path / "programs" / "iptables-nft")

    if release == "testing":
        assert tuple(map(int, found.split("."))) >= tuple(map(int, RELEASES[release].split(".")))
    else:
        assert found == RELEASES[release]


def test_compiled_rules_are_read_back_equal(fresh: NodeUnderTest) -> None:
    """Every kind of rule is read back without a difference, in one step back and forth, and goes without a trace."""
    wanted = whole()
    assert sum(len(chain.rules) for _, _, chain in wanted.chains()) > 150

    for step in make_plan(diff(fresh.kernel.observe(), wanted)).steps:
        fresh.kernel.run(step)

    assert diff(fresh.kernel.observe(), wanted) == ()
    assert diff(wanted, owned_part(fresh.kernel.observe())) == ()
    for step in make_plan(diff(fresh.kernel.observe(), Ruleset())).steps:
        fresh.kernel.run(step)
    assert owned_part(fresh.kernel.observe()) == Ruleset()


IGMP = policy(
    "igmp", ingress=[{"action": "Drop", "protocols": [{"igmp": {"igmpType": 17, "groupAddress": "224.0.0.9"}}]}]
)


def test_igmp_is_applied_and_removed(fresh: NodeUnderTest) -> None:
    """Case D1: an IGMP rule is applied and verified, a second apply has 0 ops, and removal leaves nothing of ours."""
    world_of = (IGMP, allow("clients", "10.0.0.0/24", "fd00:9::/32"), drop_all())

    assert fresh.apply(*world_of) != 0
    assert fresh.ops(*world_of) == []
    assert fresh.apply(*world_of) == 0
    fresh.json("remove")
    assert "nw-" not in str(fresh.texts()).lower()


def test_a_foreign_rule_among_ours_is_drift(fresh: NodeUnderTest) -> None:
    """A rule of another protocol in our chain is found, though it is spelt alike."""
    fresh.apply(IGMP, drop_all())

    fresh.run("iptables -A NW-INPUT -p 3 -d 224.0.0.9/32 -j DROP")

    (op,) = fresh.ops(IGMP, drop_all())
    assert op["op"] == "delete"
