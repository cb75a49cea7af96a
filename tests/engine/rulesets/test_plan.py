"""The steps of a plan: their order, their text, and what a real kernel makes of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.cli.render.plans import ops_as_json
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend, choose_backend
from adapters.system.process import SystemRunner
from engine.rulesets.diff import (
    ChainEdit,
    MemberRemoved,
    RuleInserted,
    SetCreated,
    SetDestroyed,
    apply_changes,
    diff,
    owned_part,
)
from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table
from engine.rulesets.plan import Plan, Tool, make_plan, tool_of
from engine.rulesets.text.operations import Op, op_of, ops_of
from engine.rulesets.text.steps import render_step
from tests.support.rulesets.ruleset_builders import (
    SET_OPTIONS,
    SOAK,
    arranged,
    kernel_rule,
    observed_rulesets,
    owned_rulesets,
    scratch_namespace,
)

PAIRS = 2000 if SOAK else 30

LOOK_UP = Match("set", "match-set", ("nw-4-a", "src"))
MEMBER = ("10.0.0.1",)


def way(before: Ruleset, after: Ruleset) -> Plan:
    """The plan from one ruleset to another."""
    return make_plan(diff(before, after))


def looking(members: tuple[tuple[str, ...], ...] = (MEMBER,)) -> Ruleset:
    """A chain whose rule looks into a set."""
    chain = Chain("NW-A", (kernel_rule("DROP", LOOK_UP, told="a"),))
    return Ruleset((Table("filter", (chain,)),), (), (IpSet("nw-4-a", "hash:net", Family.IPV4, members, SET_OPTIONS),))


def looked_into(state: Ruleset) -> set[str]:
    """The names of the sets that rules look into."""
    return {name for _, _, chain in state.chains() for rule in chain.rules for name in rule.set_names}


def jumped_to(table: Table) -> set[str]:
    """The chains of ours that rules jump to."""
    return {rule.target.name for chain in table.chains for rule in chain.rules if rule.target and rule.target.owned}


@given(observed_rulesets(), owned_rulesets())
def test_every_change_happens_once(observed: Ruleset, wanted: Ruleset) -> None:
    """A plan has every change of the diff once, by the tool that makes it, and leads to what is wanted."""
    changes = diff(observed, wanted)
    plan = make_plan(changes)
    assert Counter(plan.changes) == Counter(changes)
    assert all(tool_of(change) is step.tool for step in plan.steps for change in step.changes)
    assert len(ops_of(plan)) == len(changes)
    assert arranged(apply_changes(observed, plan.changes)) == arranged(apply_changes(observed, changes))


@given(observed_rulesets(), owned_rulesets())
def test_a_rule_has_its_sets_and_chains_at_every_step(observed: Ruleset, wanted: Ruleset) -> None:
    """After every step each rule's sets and chains are there, and no set goes while a rule looks into it."""
    state = observed
    for step in way(observed, wanted).steps:
        for change in step.changes:
            if isinstance(change, SetDestroyed):
                assert change.name not in looked_into(state)
            if step.tool is Tool.IPSET:
                state = apply_changes(state, (change,))
        if step.tool is not Tool.IPSET:
            state = apply_changes(state, step.changes)
        assert looked_into(state) <= {item.name for item in state.sets}
        for family in Family:
            for table in state.tables(family):
                assert jumped_to(table) <= {chain.name for chain in table.chains}


@given(observed_rulesets(), owned_rulesets())
def test_a_set_is_full_before_a_rule_looks_into_it(observed: Ruleset, wanted: Ruleset) -> None:
    """Where a rule comes that looks into a set, every wanted member is in it already."""
    state = observed
    full = {item.name: set(item.members) for item in wanted.sets}
    for change in way(observed, wanted).changes:
        if isinstance(change, RuleInserted):
            there = {item.name: set(item.members) for item in state.sets}
            assert all(full[name] <= there[name] for name in change.rule.set_names)
        state = apply_changes(state, (change,))


@given(observed_rulesets(), owned_rulesets())
def test_a_plan_has_four_steps_at_most(observed: Ruleset, wanted: Ruleset) -> None:
    """What admits packets comes by ipset, each family's rules switch at once, and ipset takes what is left.

    The steps depend on nothing but the changes, and only ipset may stop half way.
    """
    plan = way(observed, wanted)
    assert plan == way(observed, wanted)
    assert all(step.atomic == (step.tool is not Tool.IPSET) for step in plan.steps)
    tools = [step.tool for step in plan.steps]
    order = iter([Tool.IPSET, Tool.IPTABLES, Tool.IP6TABLES, Tool.IPSET])
    assert all(tool in order for tool in tools)
    assert len(tools) <= 4
    assert all(step.changes and render_step(step) for step in plan.steps)


@given(observed_rulesets(), owned_rulesets())
def test_members_go_after_the_rules_switched(observed: Ruleset, wanted: Ruleset) -> None:
    """A member is removed and a set destroyed only once no rule changes any more."""
    changes = way(observed, wanted).changes
    last_rule = max((at for at, change in enumerate(changes) if isinstance(change, ChainEdit)), default=-1)
    gone = [at for at, change in enumerate(changes) if isinstance(change, MemberRemoved | SetDestroyed)]
    assert all(at > last_rule for at in gone)


def test_nothing_to_change_is_no_step() -> None:
    """Without changes there is nothing to run."""
    assert make_plan(()) == Plan()


def test_a_plan_reads_as_the_tools_input() -> None:
    """Each step's text is what the restore command of its tool reads."""
    there = looking((MEMBER, ("10.9.0.0/16",)))
    there = Ruleset((Table("filter", (*there.ipv4[0].chains, Chain("NW-B", (kernel_rule("DROP"),)))),), (), there.sets)
    jump = Chain("INPUT", (kernel_rule("NW-A", told="nodewall"),))
    rules = (kernel_rule("ACCEPT", told='say "x"'), kernel_rule("DROP", LOOK_UP, told="a"), Rule())
    wanted = Ruleset(
        (Table("filter", (jump, Chain("NW-A", rules), Chain("NW-C", rules[:1]))),),
        (),
        (IpSet("nw-4-a", "hash:net", Family.IPV4, (("10.0.0.1", "nomatch"), ("10.8.0.0/16",)), there.sets[0].options),),
    )
    assert [render_step(step) for step in way(there, wanted).steps] == [
        "add nw-4-a 10.0.0.1 nomatch -exist\nadd nw-4-a 10.8.0.0/16 -exist\n",
        (
            "*filter\n"
            ":NW-C - [0:0]\n"
            "-F NW-B\n"
            "-I INPUT 1 -m comment --comment nodewall -j NW-A\n"
            '-I NW-A 1 -m comment --comment "say \\"x\\"" -j ACCEPT\n'
            "-A NW-A\n"
            '-A NW-C -m comment --comment "say \\"x\\"" -j ACCEPT\n'
            "-X NW-B\n"
            "COMMIT\n"
        ),
        "del nw-4-a 10.9.0.0/16\n",
    ]


def test_operations_are_shown_by_their_names() -> None:
    """Every operation has the four keys of the command line's contract, and reads as one line."""
    ops = ops_as_json(ops_of(way(Ruleset(), looking())))
    assert ops == [
        {"tool": "ipset", "op": "create", "object": "nw-4-a", "detail": "hash:net"},
        {"tool": "ipset", "op": "add", "object": "nw-4-a", "detail": "10.0.0.1"},
        {"tool": "iptables", "op": "new-chain", "object": "filter/NW-A", "detail": ""},
        {
            "tool": "iptables",
            "op": "insert",
            "object": "filter/NW-A",
            "detail": "1: -m set --match-set nw-4-a src -m comment --comment a -j DROP",
        },
    ]
    back = [str(op) for op in ops_of(way(looking(), Ruleset()))]
    assert back == ["iptables delete-chain filter/NW-A", "ipset destroy nw-4-a"]


@given(observed_rulesets(), owned_rulesets())
def test_every_operation_is_one_line(observed: Ruleset, wanted: Ruleset) -> None:
    """What is shown of an operation names its object and never breaks the line."""
    for change in diff(observed, wanted):
        op = op_of(change)
        assert isinstance(op, Op)
        assert op.object
        assert "\n" not in str(op)


def test_a_set_is_created_before_its_members() -> None:
    """A set comes first, then what is in it."""
    members = tuple((f"10.0.0.{at}",) for at in range(9))
    (step, *_) = way(Ruleset(), looking(members)).steps
    assert isinstance(step.changes[0], SetCreated)
    assert len(step.changes) == 10


def of_another_kind(state: Ruleset, names: set[str]) -> Ruleset:
    """The same ruleset, some of its sets of another kind, as somebody may have left them."""
    sets = (replace(item, type="hash:ip", members=()) if item.name in names else item for item in state.sets)
    return replace(state, sets=tuple(sets))


@given(observed_rulesets(), owned_rulesets(), st.sets(st.sampled_from(["nw-4-a", "nw-4-b", "nw-6-a", "nw-6-c"])))
def test_a_set_of_another_kind_is_replaced(observed: Ruleset, wanted: Ruleset, names: set[str]) -> None:
    """A set that has to be of another kind goes once no rule looks into it, and is there again before one does."""
    state = of_another_kind(observed, names)
    for change in way(state, wanted).changes:
        if isinstance(change, SetDestroyed):
            assert change.name not in looked_into(state)
        if isinstance(change, RuleInserted):
            assert set(change.rule.set_names) <= {item.name for item in state.sets}
        state = apply_changes(state, (change,))
    assert arranged(owned_part(state)) == arranged(owned_part(wanted))
    assert diff(state, wanted) == ()


# The kernel itself

OTHERS = """\
*filter
:OTHER - [0:0]
-A INPUT -s {host} -m comment --comment "not ours" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j OTHER
-A OTHER -j RETURN
COMMIT
*mangle
-A PREROUTING -p tcp -m tcp --dport 23 -j DROP
COMMIT
"""

FAMILY_HOSTS = {Tool.IPTABLES: "192.0.2.7/32", Tool.IP6TABLES: "2001:db8::7/128"}


@pytest.fixture(scope="module", params=[BackendName.NFT, BackendName.LEGACY])
def kernel(request: pytest.FixtureRequest) -> Iterator[ToolBackend]:
    """A scratch namespace of one backend that holds rules and a set of others."""
    with scratch_namespace(f"plan-{request.param}") as name:
        runner = SystemRunner(name)
        runner.run(["ipset", "restore"], "create other hash:ip\nadd other 192.0.2.9\n").or_refused("ipset")
        for tool, host in FAMILY_HOSTS.items():
            restore = [f"{tool}-{request.param}-restore", "--noflush", "-w", "10"]
            runner.run(restore, OTHERS.format(host=host)).or_refused("restore")
        yield choose_backend(runner, request.param)


def others(ruleset: Ruleset) -> object:
    """What in a ruleset is not ours."""
    chains = [
        (family, table.name, chain.name, chain.policy, [r for r in chain.rules if not (r.target and r.target.owned)])
        for family, table, chain in ruleset.chains()
        if not chain.owned
    ]
    # A backend makes a table, with its empty built-in chains, when it is first asked for it.
    return [entry for entry in chains if entry[4]], [item for item in ruleset.sets if not item.owned]


def taken(kernel: ToolBackend, wanted: Ruleset) -> None:
    """Go from whatever the kernel holds to the wanted state and read it back."""
    before = kernel.observe()
    for step in way(before, wanted).steps:
        kernel.run(step)
    after = kernel.observe()
    assert arranged(owned_part(after)) == arranged(owned_part(wanted))
    assert others(after) == others(before)


@pytest.mark.kernel
@settings(max_examples=PAIRS, suppress_health_check=[*HealthCheck])
@given(a=owned_rulesets(), b=owned_rulesets())
def test_the_kernel_goes_from_any_state_to_any_state(kernel: ToolBackend, a: Ruleset, b: Ruleset) -> None:
    """The real tools carry out each step, and what they save is exactly what was wanted."""
    try:
        taken(kernel, a)
        taken(kernel, b)
    except BaseException:
        # So that a smaller example starts from a sound state.
        for step in way(kernel.observe(), Ruleset()).steps:
            kernel.run(step)
        raise


@pytest.mark.kernel
def test_the_kernel_replaces_a_set_of_another_kind(kernel: ToolBackend) -> None:
    """The real tools replace a set that a rule looks into by one of another kind."""
    first = Rule((LOOK_UP, *kernel_rule("DROP", told="b").matches), kernel_rule("ACCEPT").target)
    (chain,) = looking().ipv4[0].chains
    several = replace(looking(), ipv4=(Table("filter", (replace(chain, rules=(first, *chain.rules, first)),)),))
    for wanted in (several, of_another_kind(several, {"nw-4-a"}), looking(), of_another_kind(several, {"nw-4-a"})):
        taken(kernel, wanted)
    taken(kernel, Ruleset())


@pytest.mark.kernel
def test_long_chains_keep_their_positions_in_one_transaction(kernel: ToolBackend) -> None:
    """Many edits in one restore, at all places of long chains of repeated rules, end at the right positions."""

    def state(text: str) -> Ruleset:
        return Ruleset((Table("filter", (Chain("NW-A", tuple(kernel_rule("DROP", told=letter) for letter in text)),)),))

    words = ["abcdefgh" * 6, "hgfedcba" * 6, "aabbccdd" * 6, "abc", "xaxbxcx" * 5, "cba" * 20, "", "a" * 50, "ab" * 25]
    for old in words:
        for new in words:
            taken(kernel, state(old))
            taken(kernel, state(new))
    taken(kernel, Ruleset())
