"""Lends an ordinary user a root of their own: a user namespace with private network, mounts and xtables lock."""

import os
from collections.abc import Sequence

from adapters.process import Runner, SystemRunner, found
from engine.errors import ToolMissing

UNSHARE = ("unshare", "-Urnm", "--propagation", "private", "--")
"""As unshare(1) has it: user mapped to root, own network, own mounts that nobody else sees."""

OWN_RUN = ("mount", "-t", "tmpfs", "tmpfs", "/run")
"""ip-netns(8) keeps names in /run/netns and iptables its lock in /run, neither of which is the user's."""

LOCK = "/run/nodewall-xtables.lock"


def in_user_namespace(argv: Sequence[str], runner: Runner | None = None) -> None:
    """Put ``argv`` in the place of this process, as root of a new user namespace; return at once for who is root.

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
    start = ("sh", "-c", f'{" ".join(OWN_RUN)} && exec "$@"', "sh", *argv)
    environment = {**os.environ, "XTABLES_LOCKFILE": LOCK}
    os.execve(found(UNSHARE[0]), [*UNSHARE, *start], environment)  # noqa: S606  # replacing this process is the aim
