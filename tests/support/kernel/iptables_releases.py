"""Programs of the iptables releases in Debian 12, 13 and testing, as scripts for the front of PATH.

``.ci/iptables-releases`` fetches them. Each script enters the root file system of its release, in a private mount
namespace. It sees the lock of the test's process; ``/etc/protocols`` and ``/etc/services`` may be hidden.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
RELEASES: Mapping[str, str] = {"bookworm": "1.8.9", "trixie": "1.8.11", "testing": "1.8.13"}
"""Debian release -> version of its iptables; testing may have a newer one."""

PROGRAMS = (
    "ipset",
    *(
        f"{tables}-{kind}{action}"
        for tables in ("iptables", "ip6tables")
        for kind in ("nft", "legacy")
        for action in ("", "-save", "-restore")
    ),
)

_SCRIPT = """\
#!/bin/sh
exec unshare --mount -- sh -euc '
mount --rbind /proc "$1/proc"
mount --rbind /run "$1/run"
if [ -n "${{XTABLES_LOCKFILE:-}}" ]; then
    mkdir -p "$1/mnt/lock"
    mount --bind "${{XTABLES_LOCKFILE%/*}}" "$1/mnt/lock"
    export XTABLES_LOCKFILE="/mnt/lock/${{XTABLES_LOCKFILE##*/}}"
fi
{hidden}
exec chroot "$@"' sh {root} "${{0##*/}}" "$@"
"""
_HIDE = 'for name in protocols services; do mount --bind /dev/null "$1/etc/$name"; done'


def fetched() -> Path:
    """Return the folder of the root file systems; fetch them first if needed."""
    done = subprocess.run(["sh", str(ROOT / ".ci" / "iptables-releases")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(done.stdout.strip())


def scripts(folder: Path, root: Path, *, named: bool) -> Path:
    """Write a script for each program of a root into a folder.

    With ``named``, the programs see ``/etc/protocols`` and ``/etc/services``.
    """
    for program in PROGRAMS:
        script = folder / program
        script.write_text(_SCRIPT.format(root=shlex.quote(str(root)), hidden="" if named else _HIDE))
        script.chmod(0o755)
    return folder


def version(program: Path) -> str:
    """Return the version that a program reports."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, env={**os.environ})
    return done.stdout.split()[1].removeprefix("v").rstrip(",")
