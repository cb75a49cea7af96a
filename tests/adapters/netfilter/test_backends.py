"""The table of backends: each row is a backend of its own, and any two that others use are told of."""

from typing import get_args

import pytest

from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import BACKENDS, choose_backend, mixed_backends_note, others_of
from adapters.system.process import FinishedProcess, ScriptedRunner
from engine.objects.config import Configuration

THEIRS = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n"
OURS = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment nodewall -j DROP\nCOMMIT\n"


def holding(**texts: str) -> ScriptedRunner:
    """A runner whose ``iptables-…-save`` programs print texts by backend; everything else prints nothing."""

    def answer(words: tuple[str, ...], _stdin: str) -> FinishedProcess:
        return FinishedProcess(out=texts.get(words[0].removeprefix("iptables-").removesuffix("-save"), ""))

    return ScriptedRunner(answer)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_row_makes_the_backend_of_its_name(name: BackendName) -> None:
    """Each row makes a backend of the row's name, and the others are all that are left, on the same runner."""
    runner = ScriptedRunner()
    chosen = choose_backend(runner, name)

    assert chosen.name is name
    assert {name, *(other.name for other in others_of(chosen))} == set(BACKENDS)
    assert all(other.runner is runner for other in others_of(chosen))
    assert runner.ran == []


def test_users_can_name_every_backend() -> None:
    """Names in options and in the configuration are those of the rows, and auto."""
    configured = get_args(Configuration.model_fields["backend"].annotation)

    assert set(BackendName) == {BackendName.AUTO, *BACKENDS} == set(configured)


@pytest.mark.parametrize(
    "texts, rest",
    [
        ({}, ""),
        ({"nft": THEIRS}, ""),
        ({"nft": THEIRS, "legacy": OURS}, ""),
        ({"nft": THEIRS, "legacy": THEIRS}, "nodewall writes by nft, and legacy judges too"),
    ],
    ids=["nobody", "one", "ours in the other", "both"],
)
def test_a_mixture_is_of_others_rules(texts: dict[str, str], rest: str) -> None:
    """Where others have rules in both backends it is said which one nodewall writes by; ours do not count."""
    found = mixed_backends_note(choose_backend(holding(**texts), BackendName.NFT))

    assert found == (f"others have rules in both backends of iptables; {rest}" if rest else "")


def test_ours_decide_where_others_have_none() -> None:
    """Where nobody else has rules, auto takes the backend that holds ours."""
    assert choose_backend(holding(legacy=OURS)).name is BackendName.LEGACY
    assert choose_backend(holding(legacy=OURS, nft=THEIRS)).name is BackendName.NFT
