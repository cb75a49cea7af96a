"""Watchdog process of a timed apply: restores the previous rules unless the operator confirms the apply in time.

:mod:`adapters.node.commit_confirm` starts this process for ``nodewall apply --confirm-timeout``. The process saves the
current rules and prints ``ready``. If it reads the word ``cancelled`` from stdin, it ends without a rollback. If stdin
ends without that word, the timeout starts; this also happens when the parent process dies.

Input: network namespace, backend, timeout, and optionally the event log for the outcome, as arguments. Output: exit
code 1 if the process cannot start or the rollback fails, else 0.
"""

import os
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from adapters import wiring
from adapters.netfilter.backend_name import BackendName
from adapters.node.commit_confirm import CANCELLED, READY, PendingConfirmation, write_pending_file
from adapters.node.journal import Journal
from adapters.node.node_lock import node_lock, pinned
from adapters.system.logging_setup import configure
from engine.errors import KernelError, NodewallError, ToolMissing
from engine.events.outcomes import ApplyConfirmed, ApplyFailed
from engine.reconcile.reconciler import apply_proposal, propose
from engine.rulesets.diff import owned_part
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from simulator.guard.guard import TrustingVerifier

_POLL = 0.05
_TRIALS, _PAUSE, _PATIENCE = 5, 1.0, 30.0
"""Number of rollback attempts, seconds between them, and seconds to wait for the lock of the node."""


def main(words: list[str]) -> int:
    """Wait for the confirmation of an apply, and roll it back if none arrives; return the exit code.

    Args:
        words: network namespace, backend, timeout in seconds; then path of the log, node and sequence, or nothing.
    """
    configure(0)
    try:
        with pinned(words[0]) as home:
            return _wait(words, home)
    except ToolMissing as error:
        sys.stdout.write(f"{error}\n")
        return 1


def _wait(words: list[str], home: int) -> int:
    """Run the watchdog for the namespace with inode number ``home``; return the exit code."""
    netns, backend, seconds, *record = words
    waiting, kernel = PendingConfirmation(netns), wiring.kernel(netns, BackendName(backend))
    try:
        before = owned_part(kernel.observe())
        write_pending_file(waiting)
    except (NodewallError, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(READY)
    sys.stdout.flush()
    _hush()
    if sys.stdin.read() == CANCELLED:
        waiting.pending.unlink(missing_ok=True)
        return 0
    asked = _asked(waiting, time.monotonic() + float(seconds))
    if asked is None:
        _record(record, "")
        return 0
    problem = _put_back(before, kernel.name, netns, home)
    why = "by nodewall rollback" if asked else f"as it was not confirmed within {float(seconds):g} s"
    _record(record, f"rolled back {why}" + (f", which failed: {problem}" if problem else ""))
    if asked:
        waiting.done.write_text(problem, encoding="utf-8", errors="surrogateescape")
    return 1 if problem else 0


def _hush() -> None:
    """Discard all further output, because its reader may have ended."""
    with Path(os.devnull).open("wb") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere.fileno(), stream.fileno())


def _asked(waiting: PendingConfirmation, end: float) -> bool | None:
    """Wait until the rollback is requested or the apply is confirmed, at most until the time ``end``.

    Returns:
        True after a request, False after the timeout, None after a confirmation.
    """
    while time.monotonic() < end:
        if waiting.asked.exists():
            waiting.asked.unlink()
            return True
        if not waiting.pending.exists():
            # Either `rollback` renamed the file after the first check, or the apply is confirmed.
            return _asked(waiting, end) if waiting.asked.exists() else None
        time.sleep(_POLL)
    try:
        waiting.pending.unlink()
    except FileNotFoundError:
        return _asked(waiting, time.monotonic() + _PAUSE) if waiting.asked.exists() else None
    return False


def _put_back(before: Ruleset, backend: BackendName, netns: str, home: int) -> str:
    """Restore the previous rules, with several attempts; return the error, empty after success."""
    problem = ""
    for _ in range(_TRIALS):
        try:
            with pinned(netns) as here:
                if here != home:
                    return f"the network namespace {netns} is another one by now"
                _tried(before, netns, backend)
        except ToolMissing as error:
            return str(error)  # for example, the namespace was deleted with all its rules
        except KernelError as error:
            problem = str(error)
            time.sleep(_PAUSE)
        else:
            return ""
    return problem


def _tried(before: Ruleset, netns: str, backend: BackendName) -> None:
    """Restore the previous rules, even without the lock if another nodewall holds it for long."""
    with ExitStack() as open_things:
        held = None
        with suppress(NodewallError):
            held = open_things.enter_context(node_lock(netns, _PATIENCE))
        kernel, watch = wiring.kernel(netns, backend, held), wiring.SystemStopwatch()
        apply_proposal(propose(before, kernel, TrustingVerifier(), watch), kernel, watch)


def _record(record: list[str], words: str) -> None:
    """Record that the apply was confirmed, or rolled back for the reason ``words``.

    Args:
        record: path of the log, node and sequence; an empty list records nothing.
        words: the reason and the result of the rollback, empty after a confirmation.
    """
    if not record:
        return
    path, node, sequence = record
    source = "nodewall rollback" if words else "nodewall confirm"
    body: ApplyFailed | ApplyConfirmed = ApplyConfirmed(node=node, realized=int(sequence))
    if words:
        body = ApplyFailed(node=node, wanted=int(sequence), words=words)
    Journal(node, ClusterState(), wiring.event_log(path), source).append(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
