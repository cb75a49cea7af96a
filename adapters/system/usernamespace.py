"""Runs nodewall as root of a new user namespace, so that an ordinary user can try rules in a real kernel.

The demo and ``nodewall scenario --kernel`` use it. Input: a Python module and its arguments. Output: this process
becomes that module, with its own network, mounts and xtables lock; for a process of root, nothing changes.

Raises ``ToolMissing`` if a program is missing or user namespaces are not allowed. Source: user_namespaces(7).
"""

import os

from adapters.system.child_python import child_python
from adapters.system.process import Runner, SystemRunner, program_environment, program_path
from engine.errors import ToolMissing

UNSHARE = ("unshare", "-Urnm", "--propagation", "private", "--")
"""Command of unshare(1): maps the user to root, with a private network and private mounts."""

OWN_RUN = ("mount", "-t", "tmpfs", "tmpfs", "/run")
"""Command for a private /run, because ip-netns(8) and iptables write there, and the user may not."""

LOCK = "/run/nodewall-xtables.lock"


def in_user_namespace(module: str, *words: str, runner: Runner | None = None) -> None:
    """Replace this process by a module that runs as root of a new user namespace; return at once for root.

    The current folder stays, because ``words`` may name relative paths. Python imports nothing from there.

    Raises:
        ToolMissing: a program is missing, or user namespaces are not allowed here.
    """
    if os.geteuid() == 0:
        return
    trial = (runner or SystemRunner()).run([*UNSHARE, *OWN_RUN])
    if trial.status:
        raise ToolMissing(
            f"neither root nor allowed to make user namespaces ({trial.err.strip()})",
            "run as root, or as root allow them: sysctl user.max_user_namespaces=10000 "
            "kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)",
        )
    # The shell text is constant and the words are separate arguments, so the shell parses no word.
    start = ("sh", "-c", f'{" ".join(OWN_RUN)} && exec "$@"', "sh", *child_python(module, *words).words)
    environment = {**os.environ, "PATH": program_environment()["PATH"], "XTABLES_LOCKFILE": LOCK}
    os.execve(program_path(UNSHARE[0]), [*UNSHARE, *start], environment)  # noqa: S606  # replacing this process is the aim
