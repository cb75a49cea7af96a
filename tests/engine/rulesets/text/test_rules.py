"""The text of the tools, read into values and written back."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.netfilter.backend_name import BackendName
from adapters.system.process import SystemRunner
from engine.errors import TextRefused
from engine.rulesets.diff import diff
from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target
from engine.rulesets.plan import make_plan
from engine.rulesets.text import parse_tables, render_rule, render_sets, render_tables
from engine.rulesets.text.steps import render_step
from tests.support.rulesets.corpus.lines import CHAINS, Line, corpus, spellings
from tests.support.rulesets.ruleset_builders import NAMES, comment, kernel_rule

CORPUS = {
    "filter": r"""
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m comment --comment "default/web:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i br-1a2b3c4d5e6f -o br-1a2b3c4d5e6f -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-USER -j RETURN
-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
-A ufw-before-input -p icmp -m icmp --icmp-type 3 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit
-A ufw-user-input -p tcp -m multiport --dports 80,443,8000:8100 -m comment --comment "\'dapp_Nginx%20Full\'" -j ACCEPT
-A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable
-A ufw-skip-to-policy-input -j DROP
-A INPUT_direct -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
-A IN_public -g IN_public_log
-A IN_public_allow -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT
-A INPUT_ZONES -i eth0 -g IN_public
-A INPUT_ZONES -i eth+ -g IN_public
-A INPUT -p icmp -m icmp --icmp-type 8 -m limit --limit 1/sec -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m hashlimit --hashlimit-upto 5/min --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name ssh -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m connlimit --connlimit-above 20 --connlimit-mask 32 --connlimit-saddr -j REJECT --reject-with tcp-reset
-A INPUT -m recent --rcheck --seconds 60 --name A --mask 255.255.255.255 --rsource -m recent --set --name B --mask 255.255.255.255 --rsource -j DROP
-A INPUT -j NFLOG --nflog-prefix "nodewall:I:Drop deny/all" --nflog-group 5
-A INPUT -j NFLOG --nflog-prefix plain_prefix-1 --nflog-group 5
-A INPUT -j LOG --log-prefix "-dash " --log-level 7 --log-ip-options
-A INPUT -j LOG --log-prefix -dash --log-level 7
-A INPUT -m u32 --u32 "0x6&0xff=0x2&&0x0>>0x16&0x3c@0x0>>0x18=0x11" -j DROP
-A INPUT -m u32 --u32 "0x0=0x1" -j DROP
-A INPUT -m string --string "foo" --algo bm --to 65535 -j DROP
-A INPUT -m string --string "say \"hi\" it's" --algo kmp --to 65535 -j DROP
-A INPUT -m string --hex-string "|0d0a|" --algo bm --to 65535 -j DROP
-A INPUT -m comment --comment "quotes \"in\" it\'s \\ and ! more" -j ACCEPT
-A INPUT -m comment --comment -j -j ACCEPT
-A INPUT -m comment --comment "!" -j ACCEPT
-A INPUT -m comment --comment "default/kubernetes:https" -j ACCEPT
-A INPUT -m comment --comment plain -j ACCEPT
-A INPUT -m comment --comment "über  zwei" -j ACCEPT
-A INPUT -m comment --comment ""
-A INPUT -s 10.0.0.0/8 -i eth0 -p 47 -j ACCEPT
-A INPUT ! -f -j ACCEPT
-A INPUT -f -j DROP
-A INPUT ! -p tcp -j ACCEPT
-A INPUT -m mac --mac-source 00:16:3e:aa:bb:cc -j ACCEPT
-A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 -j ACCEPT
-A INPUT -m pkttype --pkt-type multicast -j DROP
-A INPUT -m statistic --mode random --probability 0.50000000000 -j ACCEPT
-A INPUT -m set --match-set nwtest src -m set ! --match-set nwtest2 src -j DROP
-A INPUT -p tcp -m tcp ! --dport 1:1023 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m time --timestart 09:00:00 --timestop 17:00:00 --weekdays Mon,Tue -j ACCEPT
-A INPUT -m physdev --physdev-in veth0 --physdev-is-bridged -j ACCEPT
-A OUTPUT -m owner --uid-owner 0-100 -j ACCEPT
-A OUTPUT -m helper --helper "ftp.x" -j ACCEPT
-A INPUT
""",
    "nat": r"""
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-2FMLD4VCXMQ6EO4Y -s 10.244.0.5/32 -m comment --comment "default/web:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-2FMLD4VCXMQ6EO4Y -p tcp -m comment --comment "default/web:http" -m tcp -j DNAT --to-destination 10.244.0.5:8080
-A KUBE-SERVICES ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-NPX46M4PTMTKRN6Y -m comment --comment "default/kubernetes:https -> 10.0.0.2:6443" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-2FMLD4VCXMQ6EO4Y
-A PREROUTING -p udp -m udp --dport 53 -j REDIRECT --to-ports 5300-5310
""",
    "mangle": r"""
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
-A PREROUTING -p tcp -m socket --transparent -j MARK --set-xmark 0x1/0xffffffff
-A POSTROUTING -m dscp --dscp 0x2e -j ACCEPT
""",
}
"""Table -> lines as iptables-save 1.8 prints them, of kube-proxy, docker, ufw, firewalld and hand-made rules."""

LINES = [line for text in CORPUS.values() for line in text.strip().splitlines()]
BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

PRINTABLE = st.text(st.characters(exclude_characters=[*map(chr, range(32)), "\x7f"]), max_size=12)
AWKWARD = st.sampled_from(
    ["-", "--", "-x", "!", "! x", "", " ", '"', "\\", '\\"', "'", "-j", "a\u2028b", "\x85", "#x", "[1:2]"]
)
WORDS = st.one_of(PRINTABLE, AWKWARD)
NATIVE = ("source", "destination", "in-interface", "out-interface", "protocol")
TEXTS = ("comment", "log-prefix", "nflog-prefix", "string", "u32")


@st.composite
def options(draw: st.DrawFn, module: str) -> Match:
    """An option of a match or of a target, known or not."""
    if draw(st.booleans()):
        return Match(module, draw(st.sampled_from(TEXTS)), (draw(WORDS),), draw(st.booleans()))
    return Match(module, draw(NAMES), tuple(draw(st.lists(WORDS, max_size=3))), draw(st.booleans()))


@st.composite
def matches(draw: st.DrawFn) -> tuple[Match, ...]:
    """Matches of several modules, one module more than once too."""
    made: list[Match] = []
    module = ""
    for found in draw(st.lists(st.sampled_from(["", "m", "n", "comment"]), max_size=4)):
        if not found:
            native = Match("", draw(st.sampled_from(NATIVE)), (draw(WORDS),), draw(st.booleans()))
            made.append(draw(st.sampled_from([native, Match("", "fragment", (), negated=draw(st.booleans()))])))
            continue
        if found == module:
            made.append(Match(found, ""))  # begins another match of that module
        made += draw(st.lists(options(found), min_size=1, max_size=3))
        module = found
    return tuple(made)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule with or without a target and counters."""
    target = None
    if draw(st.booleans()):
        name = draw(WORDS)
        target = Target(name, tuple(draw(st.lists(options(""), max_size=2))), draw(st.booleans()))
    numbers = st.integers(0, 2**63)
    return Rule(draw(matches()), target, draw(st.one_of(st.none(), st.tuples(numbers, numbers))))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, ...]:
    """Tables; only built-in chains have a policy, and no target with options is one of the chains."""
    names = st.text("".join(chr(code) for code in range(35, 127)), min_size=1, max_size=8)
    policies = st.sampled_from([None, "ACCEPT", "DROP"])
    ruled = st.lists(rules(), max_size=2).map(tuple)
    counted = st.tuples(st.integers(0, 9), st.integers(0, 9))
    chain = st.one_of(
        st.builds(Chain, names.map(lambda name: f"chain-{name}"), ruled, st.none(), counted),
        st.builds(Chain, st.sampled_from(["INPUT", "OUTPUT"]), ruled, policies, counted),
    )
    chains = st.lists(chain, max_size=2, unique_by=lambda item: item.name).map(tuple)
    return tuple(draw(st.lists(st.builds(Table, names, chains), max_size=2, unique_by=lambda table: table.name)))


def everything(found: tuple[Table, ...]) -> object:
    """A tables' value with the counters, which take no part in comparison."""
    return [(c.name, c.counters, [r.counters for r in c.rules]) for table in found for c in table.chains]


@given(rules())
@example(Rule((comment('it\'s "q" \\ ! -j'),), Target("DROP")))
@example(Rule((Match("set", "match-set", ("a", "src")), Match("set", ""), Match("set", "match-set", ("b", "src")))))
def test_a_rendered_rule_reads_as_the_same_rule(rule: Rule) -> None:
    """What is rendered of a rule reads back as that rule, whatever its words are."""
    text = f"*filter\n:INPUT - [0:0]\n-A INPUT{render_rule(rule)}\nCOMMIT\n"
    assert parse_tables(text)[0].chains[0].rules == (rule,)


@given(tables())
def test_rendered_tables_read_as_the_same_tables(found: tuple[Table, ...]) -> None:
    """What is rendered of tables reads back as those tables, counters included where they are asked for."""
    assert parse_tables(render_tables(found)) == found
    back = parse_tables(render_tables(found, counters=True))
    assert back == found
    assert everything(back) == everything(found)


@given(rules(), st.sampled_from("\0\n\r\x1b\x7f"), st.integers(0, 12))
def test_a_control_character_is_never_rendered(rule: Rule, character: str, at: int) -> None:
    """No control character of any word gets into a restore line, so no word can begin a line of its own."""
    bad = Match("m", "x", ("abcdefghijkl"[:at] + character + "-A INPUT -j ACCEPT",))
    told = comment(f"a{character}COMMIT")
    for spoiled in (
        Rule((*rule.matches, bad)),
        Rule((told,)),
        Rule((), Target(f"A{character}B")),
        Rule((), Target("LOG", (Match("", "log-prefix", (f"a{character}",)),))),
        Rule((Match(f"m{character}", "x"),)),
        Rule((Match("m", f"x{character}y"),)),
    ):
        with pytest.raises(ValueError, match=r"control character|no name"):
            render_rule(spoiled)


@pytest.mark.parametrize("name", ["A\nCOMMIT", "A B", "", 'A"', "\0", "A\x7f", "A\tB"])
def test_a_name_is_one_plain_word(name: str) -> None:
    """The name of a table, chain, set or set type that is not one word is never rendered."""
    for found in (Table(name), Table("filter", (Chain(name),)), Table("filter", (Chain("X", (), name or " "),))):
        with pytest.raises(ValueError, match="no name"):
            render_tables((found,))
    for item in (IpSet(name, "hash:net"), IpSet("s", name), IpSet("s", "t", None, ((name,),))):
        with pytest.raises(ValueError, match="no name"):
            render_sets((item,))


@pytest.mark.parametrize("name", ["NW-A\nCOMMIT", "NW-A B"])
def test_a_plan_holds_no_spoiled_name(name: str) -> None:
    """No step is rendered for a chain or a set whose name is not one word."""
    chain = Chain(name, (kernel_rule("DROP"),))
    filled, empty = Ruleset((Table("filter", (chain,)),)), Ruleset()
    spoiled = Ruleset(sets=(IpSet(name.replace("NW", "nw"), "hash:net"),))
    for before, after in ((empty, filled), (filled, empty), (empty, spoiled), (spoiled, empty)):
        steps = make_plan(diff(before, after)).steps
        with pytest.raises(ValueError, match="no name"):
            "".join(map(render_step, steps))


@pytest.mark.parametrize("line", LINES)
def test_a_saved_line_is_rendered_as_it_was(line: str) -> None:
    """A line that iptables-save prints reads, and is rendered as the identical line."""
    chain = line.split()[1]
    text = f"*filter\n:{chain} - [0:0]\n{line}\nCOMMIT\n"
    assert render_tables(parse_tables(text)) == text


@pytest.mark.parametrize("family", Family)
def test_every_line_of_the_corpus_reads_as_what_is_rendered_of_it(family: Family) -> None:
    """Whatever the spelling, what is rendered of a line reads as the same rule, and is rendered so again."""
    for line in corpus(family):
        read = parse_tables(loadable(line), family=family)
        rendered = render_tables(read, counters=True)
        assert parse_tables(rendered, family=family) == read
        assert render_tables(parse_tables(rendered, family=family), counters=True) == rendered


@pytest.mark.parametrize("family", Family)
def test_every_spelling_of_a_line_reads_as_the_same_rule(family: Family) -> None:
    """Long names, matches that the protocol implies and targets in front read as the line of iptables-save."""
    seen = 0
    for first, *others in spellings(family):
        for other in others:
            assert parse_tables(loadable(other), family=family) == parse_tables(loadable(first), family=family)
            seen += 1
    assert seen > 1000


def loadable(line: Line) -> str:
    """A restore text of one line of the corpus."""
    declared = "".join(f":{chain} - [0:0]\n" for chain in CHAINS)
    return f"*{line.table}\n{declared}{line.text}\nCOMMIT\n"


def whole(table: str, lines: list[str]) -> str:
    """A restore text that makes the chains which the lines name."""
    named = {line.split()[1] for line in lines} | {word for line in lines for word in re.findall(r" -[jg] (\S+)", line)}
    ours = sorted(name for name in named if name not in BUILT_IN and ("-" in name or "_" in name or name == "DOCKER"))
    return "\n".join([f"*{table}", *(f":{name} - [0:0]" for name in ours), *lines, "COMMIT", ""])


@pytest.mark.kernel
@pytest.mark.parametrize("backend", [BackendName.NFT, BackendName.LEGACY])
def test_what_the_kernel_saves_is_rendered_as_it_was(namespace: SystemRunner, backend: BackendName) -> None:
    """What iptables-save prints of real rules reads, and is rendered byte for byte, with counters and without."""
    loaded = 0
    namespace.run(["ipset", "restore"], "create nwtest hash:net\ncreate nwtest2 hash:net\n").or_refused("ipset")
    for table, text in CORPUS.items():
        for line in text.strip().splitlines():
            # One at a time: a kernel without the module of one match still proves the others.
            done = namespace.run([f"iptables-{backend}-restore", "--noflush", "-w", "10"], whole(table, [line]))
            loaded += done.status == 0
    assert loaded >= len(LINES) * 3 // 4
    for flags in ([], ["--counters"]):
        saved = namespace.run([f"iptables-{backend}-save", *flags]).or_refused("save")
        plain = "".join(line for line in saved.splitlines(keepends=True) if not line.startswith("#"))
        assert render_tables(parse_tables(saved), counters=bool(flags)) == plain


def only_rule(line: str, declared: str = ":INPUT ACCEPT [0:0]") -> Rule:
    """The one rule of a text."""
    (table,) = parse_tables(f"*filter\n{declared}\n{line}\nCOMMIT\n")
    ((rule,),) = (chain.rules for chain in table.chains)
    return rule


@pytest.mark.parametrize(
    "old,new",
    [
        ("-s ! 10.0.0.0/8", "! -s 10.0.0.0/8"),
        ("-p ! tcp", "! -p tcp"),
        ("-p tcp --dport ! 22", "-p tcp ! --dport 22"),
        ("-p tcp -m tcp --destination-port 22", "-p tcp -m tcp --dport 22"),
        ("--src 10.0.0.0/8 --proto tcp", "-s 10.0.0.0/8 -p tcp"),
        ("--protocol tcp --match tcp --dport 22 --jump DROP", "-p tcp -m tcp --dport 22 -j DROP"),
        ("-j DROP -s 10.0.0.0/8", "-s 10.0.0.0/8 -j DROP"),
        (
            "-p tcp -m tcp --dport 22 -j DROP -m comment --comment x",
            "-p tcp -m tcp --dport 22 -m comment --comment x -j DROP",
        ),
        ("-p tcp --dport 22", "-p tcp -m tcp --dport 22"),
        ("-p 6 --dport=22", "-p 6 -m tcp --dport 22"),
        ("-m tcp -m comment --comment x --source-port 22", "-m tcp --sport 22 -m comment --comment x"),
        ("-j LOG -m mark --mark 3 --log-prefix x", "-m mark --mark 3 -j LOG --log-prefix x"),
        ("--dest 10.0.0.1 -j REDIRECT --to-port 80", "-d 10.0.0.1 -j REDIRECT --to-ports 80"),
        ("-m set --set x src", "-m set --match-set x src"),
        ("-c 0 0 -j DROP", "-j DROP"),
        ('-m comment --comment a"b c"', '-m comment --comment "ab c"'),
        ("-m comment --comment ! -j DROP", '-m comment --comment "!" -j DROP'),
        ("--in-interface eth0 --goto X", "-i eth0 -g X"),
    ],
)
def test_other_spellings_mean_the_same(old: str, new: str) -> None:
    """Old and long spellings, and matches after the target, read as the rule that iptables-save would print."""
    assert only_rule(f"-A INPUT {old}") == only_rule(f"-A INPUT {new}")


def test_a_jump_to_a_chain_takes_no_options() -> None:
    """What follows a jump to a chain belongs to the matches, as a chain has no options."""
    table = parse_tables("*filter\n:X - [0:0]\n-A INPUT -p tcp -j X --dport 22\nCOMMIT\n")[0]
    assert table.chains[1].rules == (only_rule("-A INPUT -p tcp -m tcp --dport 22 -j X"),)


def test_an_insertion_stands_where_it_says() -> None:
    """``-I`` puts a rule before the one of its number, before all without a number."""
    lines = ["-A INPUT -j A", "-I INPUT -j B", "-I INPUT 2 -j C", "-I INPUT 4 -j D"]
    (table,) = parse_tables("\n".join(["*filter", *lines, "COMMIT"]))
    assert [rule.target and rule.target.name for rule in table.chains[0].rules] == ["B", "C", "A", "D"]


def test_counters_are_kept() -> None:
    """Counters of chains and rules are read, and take no part in comparison."""
    counted = only_rule("[3:180] -A INPUT -j DROP", ":INPUT DROP [7:420]")
    assert counted.counters == (3, 180)
    assert counted == only_rule("-A INPUT -j DROP")


def test_an_unknown_match_is_kept_word_for_word() -> None:
    """A match that nobody here knows reads as its words."""
    rule = only_rule('-A INPUT -m odd ! --thing a "b c" --other -j ODD --x 1')
    assert rule == Rule(
        (Match("odd", "thing", ("a", "b c"), negated=True), Match("odd", "other")),
        Target("ODD", (Match("", "x", ("1",)),)),
    )


@pytest.mark.parametrize(
    "text,line,words",
    [
        ("INPUT", 1, "a table such as *filter"),
        ("*filter\n", 1, "COMMIT"),
        ("*filter\n\n# x\n:INPUT\nCOMMIT", 4, "a chain such as"),
        ("*filter\n-A X -j DROP\nCOMMIT", 2, "a chain that was declared above"),
        ("*filter\n-D INPUT 1\nCOMMIT", 2, "a rule (-A or -I)"),
        ("*filter\n-A INPUT -m\nCOMMIT", 2, "the name of a match"),
        ("*filter\n-A INPUT 22\nCOMMIT", 2, "an option such as --dport"),
        ("*filter\n-A INPUT -s\nCOMMIT", 2, "a value after it"),
        ("*filter\n-A INPUT -j\nCOMMIT", 2, "one target"),
        ("*filter\n-A INPUT -j A -j B\nCOMMIT", 2, "one target"),
        ("*filter\n-A INPUT -c 1\nCOMMIT", 2, "packets and bytes"),
        ("*filter\n-A INPUT !\nCOMMIT", 2, "the end"),
        ("*filter\n-I INPUT 2 -j A\nCOMMIT", 2, "a rule number from 1 to 1"),
        ('*filter\n-A INPUT -m comment --comment "a\nCOMMIT', 2, "quoted in pairs"),
        ('*filter\n-A INPUT -m comment --comment a"b\nCOMMIT', 2, "quoted in pairs"),
    ],
)
def test_what_does_not_parse_is_named(text: str, line: int, words: str) -> None:
    """A text that does not parse is refused with its source, the line, and what was expected there."""
    with pytest.raises(TextRefused, match=re.escape(words)) as refused:
        parse_tables(text, "rules.txt")
    assert str(refused.value).startswith(f"rules.txt:{line}: ")
