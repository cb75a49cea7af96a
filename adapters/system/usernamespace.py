"""Runs a program as root of a new user namespace, with private network, mounts and xtables lock.

It lets an ordinary user run the demo and scenarios against a real kernel. Source: user_namespaces(7).
"""

import os

from adapters.system.child_python import child_python
from adapters.system.process import Runner, SystemRunner, found, program_environment
from engine.errors import ToolMissing

UNSHARE = ("unshare", "-Urnm", "--propagation", "private", "--")
"""As unshare(1) has it: user mapped to root, own network, own mounts that nobody else sees."""

OWN_RUN = ("mount", "-t", "tmpfs", "tmpfs", "/run")
"""ip-netns(8) keeps names in /run/netns and iptables its lock in /run, neither of which is the user's."""

LOCK = "/run/nodewall-xtables.lock"


def in_user_namespace(module: str, *words: str, runner: Runner | None = None) -> None:
    """Run a module in the place of this process, as root of a new user namespace; return at once for root.

    It keeps the current folder, because the words may name relative paths; Python imports nothing from there.

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
    # The shell gets a constant text, and the words as arguments of their own.
    start = ("sh", "-c", f'{" ".join(OWN_RUN)} && exec "$@"', "sh", *child_python(module, *words).words)
    environment = {**os.environ, "PATH": program_environment()["PATH"], "XTABLES_LOCKFILE": LOCK}
    os.execve(found(UNSHARE[0]), [*UNSHARE, *start], environment)  # noqa: S606  # replacing this process is the aim
