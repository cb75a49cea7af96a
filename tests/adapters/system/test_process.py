"""Programs are found, given what they get, and stopped in time; a missing one is named with its package."""

from pathlib import Path

import pytest

from adapters.system.process import FinishedProcess, RecordedRun, ScriptedRunner, SystemRunner, program_path
from engine.errors import KernelRefused, ToolMissing


def test_a_program_gets_its_input_and_its_words_untouched() -> None:
    """A program gets its standard input and its words as they are: no shell, no lost byte."""
    text = "a\r\nb \udcff $HOME\n"

    assert SystemRunner().run(["cat"], text) == FinishedProcess(0, text, "")
    assert SystemRunner().run(["printf", "%s", "$HOME; false"]).out == "$HOME; false"


def test_status_and_errors_are_answers() -> None:
    """A failing program is an answer, and an error only for who asks."""
    finished = SystemRunner().run(["ls", "/no/such/file"])

    assert finished.status == 2
    assert "No such file" in finished.err
    with pytest.raises(KernelRefused, match=r"ls refused with status 2: .*No such file"):
        finished.or_refused("ls")


def test_the_environment_is_small_and_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program sees PATH, LC_ALL=C and the xtables lock file if there is one, nothing else."""
    monkeypatch.setenv("XTABLES_LOCKFILE", "/run/own.lock")
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    lines = SystemRunner().run(["env"]).out.splitlines()

    assert {line.partition("=")[0] for line in lines} == {"PATH", "LC_ALL", "XTABLES_LOCKFILE"}
    assert "LC_ALL=C" in lines


def test_a_program_that_does_not_end_is_killed() -> None:
    """A program that does not end in time is killed."""
    with pytest.raises(KernelRefused, match=r"no end within 0\.05 s.*killed"):
        SystemRunner().run(["sleep", "9"], timeout=0.05)


@pytest.mark.parametrize(
    "program, package",
    [("ip6tables-nft-restore", "iptables"), ("ipset", "ipset"), ("ip", "iproute2"), ("nsenter", "util-linux")],
)
def test_a_missing_program_is_named_with_its_package(program: str, package: str, tmp_path: Path) -> None:
    """A missing program is named together with the Debian package that has it."""
    with pytest.raises(ToolMissing, match=rf'no program "{program}"; install the Debian package {package}$'):
        program_path(program, str(tmp_path))


@pytest.mark.parametrize("name", ["no-such-namespace", "../net", "a/b", "-t", "..", "a\0b"])
def test_a_missing_namespace_is_named_with_those_there_are(name: str) -> None:
    """A name that is no network namespace, however malformed, is refused with those there are."""
    with pytest.raises(ToolMissing, match=r"no network namespace .*; there are: "):
        SystemRunner(name).run(["true"])


def test_a_scripted_runner_answers_from_its_table_and_remembers() -> None:
    """A scripted runner answers from its table, remembers what was run, and lacks all other programs."""
    runner = ScriptedRunner.of({("ipset", "save"): FinishedProcess(out="create x hash:net\n")})

    assert runner.run(["ipset", "save"], "in").out == "create x hash:net\n"
    with pytest.raises(ToolMissing, match="there are: ipset save"):
        runner.run(["ipset", "list"])
    assert runner.ran == [RecordedRun(("ipset", "save"), "in"), RecordedRun(("ipset", "list"))]
