"""The kernel adapter runs the right programs on the right input, and says what they refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend, choose_backend
from adapters.netfilter.iptables import offending_line, without_counters, without_counts
from adapters.netfilter.memory import MemoryBackend
from adapters.system.process import FinishedProcess, RecordedRun, ScriptedRunner
from engine.compiler import compile_rules
from engine.errors import KernelRefused, TextRefused, ToolMissing
from engine.rulesets.diff import diff
from engine.rulesets.model import Family, Ruleset
from engine.rulesets.plan import Step, Tool, make_plan
from engine.rulesets.text.steps import render_step
from tests.support.rulesets.ruleset_builders import completed

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
ONE = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n"
TWO = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n"
SETS = "create b hash:net family inet\nadd b 10.0.0.0/8\ncreate a hash:ip family inet6\n"

WANTED = compile_rules((completed("a", "10.0.0.0/8", "fd00::/8"),))
STEPS = make_plan(diff(Ruleset(), WANTED)).steps


def saving(**texts: str) -> ScriptedRunner:
    """A runner whose ``…-save`` programs print texts, by ``iptables_nft`` and the like, and ``ipset save`` by ``ipset``."""
    named: dict[tuple[str, ...], FinishedProcess] = {
        (f"{tables}-{kind}-save",): FinishedProcess(out=texts.get(f"{tables}_{kind}", ""))
        for tables in ("iptables", "ip6tables")
        for kind in ("nft", "legacy")
    }
    return ScriptedRunner.of({**named, ("ipset", "save"): FinishedProcess(out=texts.get("ipset", ""))})


def refusing(status: int, err: str) -> ToolBackend:
    """A kernel all of whose programs fail."""
    return choose_backend(ScriptedRunner(lambda _words, _stdin: FinishedProcess(status, "", err)), BackendName.NFT)


def test_observing_reads_both_families_and_the_sets() -> None:
    """Observing runs three save programs, and returns what they print, sets sorted."""
    runner = saving(iptables_nft=TWO, ip6tables_nft=EMPTY, ipset=SETS)

    observed = choose_backend(runner, BackendName.NFT).observe()

    assert [ran.words for ran in runner.ran] == [("iptables-nft-save",), ("ip6tables-nft-save",), ("ipset", "save")]
    assert [len(chain.rules) for _, _, chain in observed.chains()] == [2, 0, 0, 0]
    assert [(item.name, item.family) for item in observed.sets] == [("a", Family.IPV6), ("b", Family.IPV4)]


@pytest.mark.parametrize(
    "backend, waiting",
    [(BackendName.NFT, ()), (BackendName.LEGACY, ("-w", "10"))],
    ids=["nft", "legacy, which has a lock"],
)
def test_a_step_is_one_run_of_restore(backend: BackendName, waiting: tuple[str, ...]) -> None:
    """A step is one run of its tool's restore on the step's text; foreign rules stay, and legacy waits for its lock."""
    runner = ScriptedRunner()
    kernel = choose_backend(runner, backend)

    for step in STEPS:
        kernel.run(step)

    assert runner.ran == [
        RecordedRun(("ipset", "restore"), render_step(STEPS[0])),
        RecordedRun((f"iptables-{backend}-restore", "--noflush", *waiting), render_step(STEPS[1])),
        RecordedRun((f"ip6tables-{backend}-restore", "--noflush", *waiting), render_step(STEPS[2])),
    ]


@pytest.mark.parametrize(
    "held, chosen",
    [
        ({}, BackendName.NFT),
        ({"iptables_nft": EMPTY, "iptables_legacy": EMPTY}, BackendName.NFT),
        ({"iptables_nft": ONE}, BackendName.NFT),
        ({"iptables_legacy": ONE}, BackendName.LEGACY),
        ({"iptables_nft": ONE, "iptables_legacy": TWO}, BackendName.LEGACY),
        ({"iptables_nft": TWO, "ip6tables_legacy": ONE}, BackendName.NFT),
        ({"iptables_nft": ONE, "iptables_legacy": ONE, "ip6tables_legacy": ONE}, BackendName.LEGACY),
    ],
)
def test_auto_takes_the_backend_that_holds_more_rules(held: dict[str, str], chosen: BackendName) -> None:
    """Auto takes the backend that holds more rules in both families together, nft where neither does."""
    assert choose_backend(saving(**held)).name is chosen


@pytest.mark.parametrize("there", [BackendName.NFT, BackendName.LEGACY])
def test_auto_makes_do_with_the_only_backend_there_is(there: BackendName) -> None:
    """Where one backend is not installed, or its modules are not there, auto takes the other."""
    answers = saving()

    def answer(words: tuple[str, ...], stdin: str) -> FinishedProcess:
        if f"-{there}-" in words[0] or words[0] == "ipset":
            return answers.answers(words, stdin)
        return FinishedProcess(3, "", "can't initialize iptables table: Table does not exist")

    assert choose_backend(ScriptedRunner(answer)).name is there


def test_auto_decides_once() -> None:
    """Auto looks at both backends once, and stays with what it found."""
    runner = saving(iptables_legacy=ONE)
    kernel = choose_backend(runner)

    looked = len(runner.ran)
    kernel.observe()

    assert [ran.words[0] for ran in runner.ran[looked:]] == ["iptables-legacy-save", "ip6tables-legacy-save", "ipset"]


@pytest.mark.parametrize(
    "words, offending",
    [
        ("iptables-nft-restore: line 2 failed: No such file or directory.", 2),
        ("iptables-restore v1.8.9 (legacy): unknown option\nError occurred at line: 3\nTry `iptables-restore -h'", 3),
        ("iptables-restore v1.8.9 (nf_tables): \nline 4: CHAIN_ADD failed (No buffer space): chain X", 4),
        ("ipset v7.17: Error in line 1: Set cannot be created: set with the same name already exists", 1),
        ("something else", None),
        ("line 0 failed", None),
        ("line 4711 failed", None),
    ],
)
def test_a_refusal_shows_the_words_and_the_line(words: str, offending: int | None) -> None:
    """A refusal carries the tool's own words, its status, and the line of the input that the words name."""
    step = STEPS[1]
    with pytest.raises(KernelRefused) as caught:
        refusing(2, words).run(step)

    error = caught.value
    assert (error.tool, error.status, error.words) == ("iptables-nft-restore", 2, words)
    assert error.offending == ("" if offending is None else render_step(step).splitlines()[offending - 1])
    assert " / ".join(line.strip() for line in words.splitlines()) in str(error)
    assert len(error.lines) == len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        "iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
        "ipset v7.17: Kernel error received: Operation not permitted",
        "nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted",
        "Fatal: can't open lock file /run/xtables.lock: Permission denied",
    ],
)
def test_a_missing_privilege_is_said_to_be_one(words: str) -> None:
    """Where a tool says it may not, the error says as what to run it."""
    with pytest.raises(ToolMissing, match="run as root or with CAP_NET_ADMIN") as caught:
        refusing(4, f"{words}\nand more\n").observe()

    assert str(caught.value).startswith(f"iptables-nft-save: {words}; ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_program_is_an_error_whatever_is_asked() -> None:
    """A program that is missing is an error of observing as well as of carrying out."""
    kernel = choose_backend(ScriptedRunner.of({}))

    with pytest.raises(ToolMissing, match="iptables-nft-save"):
        kernel.observe()
    with pytest.raises(ToolMissing, match="ipset restore"):
        kernel.run(Step(Tool.IPSET, ()))


def test_what_a_tool_prints_must_parse() -> None:
    """Output that does not parse is refused with program and line, rather than taken for an empty ruleset."""
    with pytest.raises(TextRefused, match=r"ip6tables-nft-save:2: "):
        choose_backend(saving(ip6tables_nft="*filter\nwhat is this\nCOMMIT\n"), BackendName.NFT).observe()


def test_the_kernel_in_memory_refuses_what_it_is_told_to() -> None:
    """The kernel in memory keeps the steps it carried out, and neither carries out nor keeps one that it refuses."""
    kernel = MemoryBackend(refuse=lambda step: "no IPv6 today" if step.tool is Tool.IP6TABLES else "")
    for step in STEPS[:2]:
        kernel.run(step)
    held = kernel.observe()

    with pytest.raises(KernelRefused, match="ip6tables refused with status 1: no IPv6 today; nothing was changed"):
        kernel.run(STEPS[2])

    assert kernel.steps == list(STEPS[:2])
    assert kernel.observe() == held
    assert held.table(Family.IPV4, "filter").chain("NW-INPUT") is not None


def test_counters_are_no_part_of_a_text() -> None:
    """Times and counters of policies go; counters of rules, which are printed only when asked for, stay."""
    text = "# Generated by iptables-save\n*filter\n:INPUT ACCEPT [7:420]\n:NW-A - [0:0]\n-A INPUT -j NW-A\nCOMMIT\n# Done\n"

    assert without_counters(text) == "*filter\n:INPUT ACCEPT [0:0]\n:NW-A - [0:0]\n-A INPUT -j NW-A\nCOMMIT\n"


@pytest.mark.parametrize(
    "line, left",
    [
        ('add nw-4-a 10.0.0.0/8 packets 3 bytes 180 comment "p/r"', 'add nw-4-a 10.0.0.0/8 comment "p/r"'),
        ("add nw-4-a 10.0.0.0/8 nomatch packets 3 bytes 180", "add nw-4-a 10.0.0.0/8 nomatch"),
        ("add theirs 10.0.0.0/8 packets 3 bytes 180", "add theirs 10.0.0.0/8 packets 3 bytes 180"),
    ],
    ids=["comment", "nomatch", "theirs"],
)
def test_counts_of_our_members_go(line: str, left: str) -> None:
    """What members of our sets counted goes, and nothing of the sets of others."""
    assert without_counts(f"{line}\n") == f"{left}\n"


@given(st.text(), st.text())
def test_an_offending_line_is_of_the_input(words: str, text: str) -> None:
    """Whatever a tool says, the line is one of its input, or none."""
    assert offending_line(words, text) in {"", *text.splitlines()}
    assert offending_line(f"error in line {len(text.splitlines())}", text) == (text.splitlines() or [""])[-1]


GONE = FinishedProcess(2, "*filter\n", "ip6tables-save v1.8.9 (legacy): Set with index 15 in kernel doesn't exist.\n")


def test_save_that_lost_a_set_is_repeated() -> None:
    """iptables-legacy-save fails when another program destroys a set of a rule that it has read."""
    answers = iter([GONE, GONE, FinishedProcess(out=ONE)])
    kernel = choose_backend(ScriptedRunner(lambda _words, _stdin: next(answers)), BackendName.LEGACY)

    (table,) = kernel.tables(Family.IPV6)

    assert [len(chain.rules) for chain in table.chains] == [1]


def test_save_that_never_ends_well_is_refused() -> None:
    """Another program that destroys sets all the time is an error in the end."""
    runner = ScriptedRunner(lambda _words, _stdin: GONE)

    with pytest.raises(KernelRefused, match="index 15"):
        choose_backend(runner, BackendName.LEGACY).tables(Family.IPV6)
    assert 1 < len(runner.ran) < 200


DESTROY = next(step for step in make_plan(diff(WANTED, Ruleset())).steps if step.tool is Tool.IPSET)
IN_USE = 'ipset v7.17: Error in line 2: Set cannot be destroyed: it is in use by a kernel component (at: "destroy x")\n'


def test_set_in_use_is_destroyed_later() -> None:
    """What ipset has done is not done again."""
    answers = iter([FinishedProcess(1, "", IN_USE), FinishedProcess()])
    runner = ScriptedRunner(lambda _words, _stdin: next(answers))

    choose_backend(runner, BackendName.NFT).run(DESTROY)

    first, second = (ran.stdin.splitlines() for ran in runner.ran)
    assert len(first) == 2
    assert second == first[1:]


def test_set_in_use_for_good_is_refused() -> None:
    """A rule of another program can hold a set for ever; the error quotes the set."""
    runner = ScriptedRunner(lambda _words, _stdin: FinishedProcess(1, "", IN_USE.replace("line 2", "line 1")))

    with pytest.raises(KernelRefused, match="in use") as found:
        choose_backend(runner, BackendName.NFT).run(DESTROY)
    assert found.value.offending == render_step(DESTROY).splitlines()[0]


def test_set_in_use_without_line_is_refused() -> None:
    """Without the line where ipset stopped there is no rest to run; an empty rest would count as done."""
    answers = iter([FinishedProcess(1, "", IN_USE.replace("Error in line 2: ", "")), FinishedProcess()])

    with pytest.raises(KernelRefused, match="in use"):
        choose_backend(ScriptedRunner(lambda _words, _stdin: next(answers)), BackendName.NFT).run(DESTROY)
