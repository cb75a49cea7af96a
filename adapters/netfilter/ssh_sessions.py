"""Finds the SSH connection from which nodewall was started, so that the lockout guard can protect it.

Input: the environment of this process; the environments of its ancestors are read from ``/proc``, because sudo(8)
removes the variable. Output: one rule that allows TCP from the client's address to the server's port, or no rule.

Raises nothing; the search ends at the first process that cannot be read. Source: ``SSH_CONNECTION`` in ssh(1),
proc_pid_environ(5).
"""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from engine.policy.completed_rules import STATIC_PRIORITY, Action, CompletedRule, Direction, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock

POLICY = "(administrator)"
"""Policy name of the rule that is returned."""

_VARIABLE = "SSH_CONNECTION"
_PARTS = 4  # the client's address and port, the server's address and port
_PROC = Path("/proc")


def administrators(environment: Mapping[str, str], process: int | None = None) -> tuple[CompletedRule, ...]:
    """Return a rule that admits the SSH connection from which this process was started, or nothing.

    sudo(8) removes the variable, so the environments of ancestor processes are read too.

    Args:
        environment: the environment of this process.
        process: the id of the first ancestor to read, by default the parent.
    """
    known = (environment.get(_VARIABLE, ""), *_around(os.getppid() if process is None else process))
    return tuple(rule for text in known for rule in _rule(text))[:1]


def _rule(text: str) -> Iterator[CompletedRule]:
    parts = text.split()
    try:
        client, port = ip_address(parts[0].partition("%")[0]), int(parts[3])
    except (ValueError, IndexError):
        return
    if len(parts) == _PARTS and not client.is_loopback:
        yield CompletedRule(
            policy=POLICY,
            name=f"the administrator's connection from {client}",
            rank=Rank(STATIC_PRIORITY, 0.0, POLICY, 0),
            direction=Direction.INGRESS,
            action=Action.ALLOW,
            peers=(AddressBlock(ip_network(client)),),
            services=(Traffic(Protocol.TCP, (port, port)),),
        )


def _around(process: int) -> Iterator[str]:
    """Yield the variable's values in a process and its ancestors, nearest first; stop at the first unreadable one."""
    while process > 1:
        try:
            environment = (_PROC / str(process) / "environ").read_bytes()
            status = (_PROC / str(process) / "status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for entry in environment.split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == _VARIABLE.encode():
                yield value.decode("utf-8", errors="replace")
        parents = (line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
        process = int(next(parents, "0"))
