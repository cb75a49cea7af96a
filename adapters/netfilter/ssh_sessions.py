"""The connection by which somebody works on this machine from afar, where it can be seen: that of sshd(8)."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from engine.policy.completed_rules import STATIC_PRIORITY, Action, CompletedRule, Direction, Protocol, Rank, Traffic
from engine.policy.prefix_sets import AddressBlock

POLICY = "(administrator)"
"""Stands where a policy's name would."""

_VARIABLE = "SSH_CONNECTION"
_PARTS = 4  # the client's address and port, the server's address and port
_PROC = Path("/proc")


def administrators(environment: Mapping[str, str], process: int | None = None) -> tuple[CompletedRule, ...]:
    """Return the rule that admits the connection this process was started over, if it was over one.

    sudo(8) takes the variable away, so the environments of the processes around this one are asked too.
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
    """Yield what processes around one have, the nearest first, as far as they may be read."""
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
