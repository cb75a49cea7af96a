"""Hooks, tables, chains and targets."""

from dataclasses import replace

import pytest

from adapters.cli.render.decisions import answer_as_json
from engine.errors import Refused
from engine.rulesets.model import Chain, Hook, Match, Rule, Ruleset, Table, Target
from engine.rulesets.ownership import owner_of
from simulator.netfilter import Decision, Evaluation, Verdict, Walker, simulate
from simulator.packets import ConnState
from tests.support.packets.packet_builders import SPEC6, chain, filtering, goto, match, net_set, packet, rule

SSH = match("tcp", "dport", "22")
WEB = match("tcp", "dport", "80")
OSF = (match("osf", "genre", "Linux"),)


def ask(*chains: Chain, words: str = "in=eth0", hook: Hook | None = None) -> Evaluation:
    """The answer of an IPv4 filter table."""
    return simulate(filtering(*chains), packet(words), hook)


def path(answer: Evaluation) -> list[tuple[str, int, int]]:
    """Chain, rule and depth of every step."""
    return [(step.chain, step.rule, step.depth) for step in answer.trace]


def decided(answer: Evaluation) -> tuple[str, str, int]:
    """Table, chain and rule that decided."""
    assert answer.decided_by is not None
    return answer.decided_by.table, answer.decided_by.chain, answer.decided_by.rule


@pytest.mark.parametrize(
    "words,hook",
    [
        ("in=eth0", Hook.INPUT),
        ("out=eth0", Hook.OUTPUT),
        ("in=eth0 out=eth1", Hook.FORWARD),
        ("", Hook.INPUT),
    ],
)
def test_interfaces_tell_the_hook(words: str, hook: Hook) -> None:
    """The hook follows from the interfaces the packet names."""
    assert simulate(Ruleset(), packet(words)).hook is hook


def test_a_hook_without_chains_accepts_and_nobody_decided() -> None:
    """Where the hook has no chain at all, the packet is accepted and no rule decided."""
    answer = simulate(Ruleset(), packet("in=eth0"))
    assert (answer.verdict, answer.decided_by, answer.trace) == (Verdict.ACCEPT, None, ())


@pytest.mark.parametrize("policy,verdict", [("ACCEPT", "accept"), ("DROP", "drop")])
def test_the_end_of_a_chain_is_its_policy(policy: str, verdict: str) -> None:
    """A packet that no rule decides meets the chain's policy, which is rule 0."""
    answer = ask(chain("INPUT", rule("ACCEPT", WEB), policy=policy))
    assert (answer.verdict, decided(answer)) == (verdict, ("filter", "INPUT", 0))


@pytest.mark.parametrize(
    "target,verdict,reject_with",
    [
        (Target("ACCEPT"), "accept", None),
        (Target("DROP"), "drop", None),
        (Target("REJECT"), "reject", "icmp-port-unreachable"),
        (Target("REJECT", (Match("", "reject-with", ("tcp-reset",)),)), "reject", "tcp-reset"),
    ],
)
def test_final_targets_decide(target: Target, verdict: str, reject_with: str | None) -> None:
    """ACCEPT, DROP and REJECT end the table, and what follows is not looked at."""
    answer = ask(chain("INPUT", rule(target, SSH), rule("DROP"), policy="DROP"))
    assert (answer.verdict, answer.reject_with, decided(answer)) == (verdict, reject_with, ("filter", "INPUT", 1))


def test_reject_defaults_by_family() -> None:
    """Without an option REJECT answers with port unreachable of the packet's family."""
    rules = Ruleset(ipv6=(Table("filter", (chain("INPUT", rule("REJECT"), policy="ACCEPT"),)),))
    assert simulate(rules, packet("in=eth0", SPEC6)).reject_with == "icmp6-port-unreachable"


@pytest.mark.parametrize("target", [None, "LOG", "NFLOG", "TRACE", "NOTRACK"])
def test_other_targets_go_on(target: str | None) -> None:
    """A rule without a target, or with one that only looks, is a step, and the next rule follows."""
    answer = ask(chain("INPUT", rule(target), rule("DROP"), policy="ACCEPT"))
    assert (answer.verdict, path(answer)) == ("drop", [("INPUT", 1, 0), ("INPUT", 2, 0)])
    assert answer.assumptions == ()


def test_return_and_the_end_of_a_chain_lead_back_behind_the_jump() -> None:
    """Both RETURN and the end of a user chain go on behind the jump that led there."""
    answer = ask(
        chain("INPUT", rule("A"), rule("B"), rule("DROP"), policy="ACCEPT"),
        chain("A", rule("RETURN"), rule("ACCEPT")),
        chain("B", rule("LOG")),
    )
    assert path(answer) == [("INPUT", 1, 0), ("A", 1, 1), ("INPUT", 2, 0), ("B", 1, 1), ("INPUT", 3, 0)]


def test_return_in_a_built_in_chain_is_its_policy() -> None:
    """RETURN in a built-in chain applies the policy."""
    answer = ask(chain("INPUT", rule("RETURN"), rule("ACCEPT"), policy="DROP"))
    assert (answer.verdict, decided(answer)) == ("drop", ("filter", "INPUT", 0))


def test_after_a_goto_the_walk_returns_to_the_last_jump() -> None:
    """The end of a chain entered by goto leads behind the last jump, past the chain with the goto."""
    answer = ask(
        chain("INPUT", rule("A"), rule("DROP"), policy="ACCEPT"),
        chain("A", goto("B"), rule("ACCEPT")),
        chain("B", rule("LOG")),
    )
    assert path(answer) == [("INPUT", 1, 0), ("A", 1, 1), ("B", 1, 2), ("INPUT", 2, 0)]


def test_after_a_goto_from_a_built_in_chain_comes_the_policy() -> None:
    """A goto from a built-in chain never comes back to it: its policy applies."""
    answer = ask(chain("INPUT", goto("A"), rule("ACCEPT"), policy="DROP"), chain("A", rule("RETURN")))
    assert (answer.verdict, decided(answer)) == ("drop", ("filter", "INPUT", 0))


@pytest.mark.parametrize(
    "option,value,mark",
    [
        ("set-mark", "0x5", 0x5),
        ("set-mark", "0x1/0xf", 0xF1),
        ("set-xmark", "0x1/0xff", 0x1),
        ("set-xmark", "0x1/0x0", 0xFE),
        ("and-mark", "0x0f", 0x0F),
        ("or-mark", "0x100", 0x1FF),
        ("xor-mark", "0xf0", 0x0F),
    ],
)
def test_mark_changes_what_later_rules_see(option: str, value: str, mark: int) -> None:
    """MARK changes the packet's mark by value and mask, and later rules match the new one."""
    answer = ask(
        chain(
            "INPUT",
            rule(Target("MARK", (Match("", option, (value,)),))),
            rule("ACCEPT", match("mark", "mark", hex(mark))),
            policy="DROP",
        ),
        words="in=eth0 mark=0xff",
    )
    assert (answer.verdict, answer.left.mark, answer.packet.mark) == ("accept", mark, 0xFF)


@pytest.mark.parametrize("target", [Target("NOTRACK"), Target("CT", (Match("", "notrack"),))])
def test_untracked_packets_skip_nat_and_have_that_state(target: Target) -> None:
    """After NOTRACK in the raw table the state is untracked, and the nat table is not consulted."""
    rules = Ruleset(
        ipv4=(
            Table("raw", (chain("OUTPUT", rule(target), policy="ACCEPT"),)),
            Table("nat", (chain("OUTPUT", rule("DNAT"), policy="ACCEPT"),)),
            Table(
                "filter",
                (chain("OUTPUT", rule("DROP", match("conntrack", "ctstate", "UNTRACKED")), policy="ACCEPT"),),
            ),
        )
    )
    answer = simulate(rules, packet("out=eth0"))
    assert (answer.verdict, answer.left.state, answer.tracked) == ("drop", ConnState.UNTRACKED, False)
    assert [step.table for step in answer.trace] == ["raw", "filter"]


def test_the_raw_table_comes_before_connection_tracking() -> None:
    """In the raw table every packet is INVALID, and has its own state afterwards."""
    invalid = rule("LOG", match("conntrack", "ctstate", "INVALID"))
    tables = tuple(Table(name, (chain("OUTPUT", invalid, policy="ACCEPT"),)) for name in ("raw", "mangle"))
    answer = simulate(Ruleset(ipv4=tables), packet("out=eth0 state=established"))
    assert [step.table for step in answer.trace] == ["raw"]
    assert answer.left.state is ConnState.ESTABLISHED


@pytest.mark.parametrize(
    "hook,order",
    [
        (Hook.PREROUTING, "raw mangle nat"),
        (Hook.INPUT, "mangle filter security nat"),
        (Hook.FORWARD, "mangle filter security"),
        (Hook.OUTPUT, "raw mangle nat filter security"),
        (Hook.POSTROUTING, "mangle nat"),
    ],
)
def test_tables_come_in_the_order_of_the_kernel(hook: Hook, order: str) -> None:
    """Each hook walks its tables in the kernel's order; only a new connection meets nat."""
    base = chain(hook.value, rule("LOG"), policy="ACCEPT")
    rules = Ruleset(ipv4=tuple(Table(name, (base,)) for name in ("filter", "nat", "security", "mangle", "raw")))
    new, later = (simulate(rules, packet(f"state={state}"), hook) for state in ("new", "established"))
    assert [step.table for step in new.trace] == order.split()
    assert [step.table for step in later.trace] == [table for table in order.split() if table != "nat"]


def test_an_accept_ends_its_own_table_only() -> None:
    """What one table accepts the next may drop; filter's rule is named when all accept."""
    accept = Table("mangle", (chain("INPUT", rule("ACCEPT"), policy="DROP"),))
    drop = Table("security", (chain("INPUT", rule("DROP"), policy="ACCEPT"),))
    filter_ = Table("filter", (chain("INPUT", rule("LOG"), rule("ACCEPT"), policy="DROP"),))
    assert decided(simulate(Ruleset(ipv4=(accept, filter_, drop)), packet("in=eth0"))) == ("security", "INPUT", 1)
    nat = Table("nat", (chain("INPUT", policy="ACCEPT"),))
    assert decided(simulate(Ruleset(ipv4=(accept, filter_, nat)), packet("in=eth0"))) == ("filter", "INPUT", 2)
    assert decided(simulate(Ruleset(ipv4=(accept,)), packet("in=eth0"))) == ("mangle", "INPUT", 1)


def test_families_do_not_mix() -> None:
    """An IPv6 packet meets the IPv6 tables only, and faults of the other family do not matter to it."""
    rules = filtering(chain("INPUT", rule("NOWHERE"), policy="DROP"))
    assert simulate(rules, packet("in=eth0", SPEC6)).verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    "target,verdict,said",
    [
        ("NFQUEUE", "accept", "NFQUEUE: the program behind the queue is assumed to accept"),
        ("TTL", "drop", "target TTL is not modelled; assumed to go on with the next rule"),
        ("DNAT", "accept", "DNAT is not modelled; the packet is assumed to stay as it is"),
    ],
)
def test_targets_without_a_model_are_named(target: str, verdict: str, said: str) -> None:
    """What a target without a model is assumed to do is said with its rule."""
    answer = ask(chain("INPUT", rule(target), policy="DROP"))
    assert (answer.verdict, answer.assumptions) == (verdict, (f"filter/INPUT rule 1: {said}",))


def test_a_match_without_a_model_is_assumed_not_to_match_and_named() -> None:
    """A rule with a match that is not modelled is passed over, and the answer names the whole match."""
    answer = ask(chain("INPUT", rule("DROP"), policy="ACCEPT"), chain("OUTPUT", policy="ACCEPT"))
    assert answer.assumptions == ()
    answer = ask(chain("INPUT", rule("ACCEPT", SSH, *OSF), policy="DROP"))
    said = "'-m osf --genre Linux' is not modelled; assumed not to match"
    assert (answer.verdict, answer.assumptions) == ("drop", (f"filter/INPUT rule 1: {said}",))


def test_only_what_could_matter_is_assumed() -> None:
    """Where another match of the rule fails anyway, nothing is assumed."""
    answer = ask(chain("INPUT", rule("ACCEPT", *OSF, WEB), policy="DROP"))
    assert answer.assumptions == ()


@pytest.mark.parametrize(
    "test,needs",
    [
        (match("tcp", "sport", "1"), "'-m tcp --sport 1' needs the source port"),
        (match("length", "length", "1:9"), "'-m length --length 1:9' needs the length"),
        (
            match("mac", "mac-source", "00:00:00:00:00:01"),
            "'-m mac --mac-source 00:00:00:00:00:01' needs the MAC address",
        ),
        (match("", "in-interface", "eth0"), "'--in-interface eth0' needs the in interface"),
        (
            match("conntrack", "ctstate", "DNAT"),
            "'-m conntrack --ctstate DNAT' needs the connection's address translation",
        ),
    ],
)
def test_a_field_that_is_not_given_is_named(test: Match, needs: str) -> None:
    """A match on a field the packet does not give is assumed not to match, negated or not, and named."""
    for negated in (False, True):
        rules = filtering(chain("INPUT", rule("DROP", replace(test, negated=negated)), policy="ACCEPT"))
        answer = simulate(rules, replace(packet(), sport=None))
        assert answer.verdict is Verdict.ACCEPT
        told = needs.replace("--", "! --", 1) if negated else needs
        assert answer.assumptions == (
            f"filter/INPUT rule 1: {told}, which the packet does not give; assumed not to match",
        )


@pytest.mark.parametrize(
    "hook,option,matches",
    [
        (Hook.OUTPUT, "in-interface", False),
        (Hook.INPUT, "out-interface", False),
        (Hook.FORWARD, "out-interface", True),
    ],
)
def test_a_hook_hides_the_interface_it_does_not_have(hook: Hook, option: str, *, matches: bool) -> None:
    """At a hook that has no such interface, none is matched, and a negated match holds."""
    base = chain(hook.value, rule("A"), policy="ACCEPT")
    for negated in (False, True):
        test = match("", option, "eth0", negated=negated)
        answer = ask(base, chain("A", rule("DROP", test)), words="in=eth0 out=eth0", hook=hook)
        assert (answer.verdict is Verdict.DROP) is (matches is not negated)
        assert answer.assumptions == ()


def test_what_the_ruleset_lacks_is_refused_all_at_once() -> None:
    """Missing sets and chains and loops are refused together, each with its rule."""
    lacking = match("set", "match-set", "gone", "src")
    rules = filtering(
        chain("INPUT", rule("A"), rule("NOWHERE"), rule("ACCEPT", lacking), goto("LOG"), policy="ACCEPT"),
        chain("A", rule("B")),
        chain("B", rule("A")),
    )
    with pytest.raises(Refused) as refused:
        Walker(rules).verdict(packet("in=eth0"))
    assert refused.value.lines == (
        'IPv4 filter/INPUT rule 2: there is no chain "NOWHERE" to go to; expected a chain of the same table',
        'IPv4 filter/INPUT rule 3: the dump lacks set "gone"; expected the set; give it by --ipset',
        'IPv4 filter/INPUT rule 4: there is no chain "LOG" to go to; expected a chain of the same table',
        "IPv4 filter/A: chains form a loop: A -> B -> A; expected chains that end",
    )


def test_a_set_that_holds_no_address_is_refused() -> None:
    """A set with a member that is no address of its family is refused by its name."""
    rules = Ruleset(
        ipv4=(
            Table("filter", (chain("INPUT", rule("DROP", match("set", "match-set", "s", "src")), policy="ACCEPT"),)),
        ),
        sets=(net_set("10.0.0.0/33"),),
    )
    with pytest.raises(Refused, match="set s"):
        simulate(rules, packet("in=eth0"))


@pytest.mark.parametrize(
    "comment,owner",
    [
        ("nodewall p/r", ("p", "r")),
        ("nodewall p/r/s t", ("p", "r/s t")),
        ("nodewall p", None),
        ("nodewall /r", None),
        ("p/r", None),
        ("", None),
    ],
)
def test_a_comment_names_policy_and_rule(comment: str, owner: tuple[str, str] | None) -> None:
    """A comment of the form ``nodewall POLICY/RULE``, and no other, names policy and rule."""
    assert owner_of(comment) == owner
    by = Decision("filter", "INPUT", 1, comment)
    assert (by.policy, by.policy_rule) == (owner or (None, None))


def test_json_has_the_keys_of_the_contract() -> None:
    """The JSON answer has the keys that the command line promises; the trace can be left out."""
    answer = ask(chain("INPUT", rule("DROP", SSH, comment="nodewall p/r"), policy="ACCEPT"))
    assert answer_as_json(answer) == {
        "packet": packet("in=eth0").as_spec(),
        "verdict": "drop",
        "reject_with": None,
        "hook": "INPUT",
        "decided_by": {
            "table": "filter",
            "chain": "INPUT",
            "rule": 1,
            "policy": "p",
            "policy_rule": "r",
            "comment": "nodewall p/r",
        },
        "assumptions": [],
        "trace": [{"table": "filter", "chain": "INPUT", "rule": 1, "target": "DROP", "matched": True}],
    }
    assert "trace" not in answer_as_json(answer, trace=False)


def test_chains_as_deep_as_the_kernel_allows_are_walked() -> None:
    """A thousand chains, each jumping into the next, are walked to the end and back."""
    deep = [chain(f"C{depth}", rule(f"C{depth + 1}")) for depth in range(1000)]
    answer = ask(chain("INPUT", rule("C0"), rule("DROP"), policy="ACCEPT"), *deep, chain("C1000", Rule()))
    assert (answer.verdict, max(step.depth for step in answer.trace)) == ("drop", 1001)
