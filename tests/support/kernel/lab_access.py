"""Access to the lab of the kernel tests: hosts, the type of rule loaders, and a check of the machine."""

import os
from collections.abc import Callable

from adapters.lab.netns import LabHost
from adapters.system.process import program_path
from engine.errors import ToolMissing

HOSTS = (LabHost("node-1", ("192.0.2.1", "2001:db8::1")), LabHost("client", ("198.51.100.7", "2001:db8:1::7")))
PROGRAMS = (
    "ip",
    "ipset",
    "nsenter",
    *(f"{tables}-{kind}-restore" for tables in ("iptables", "ip6tables") for kind in ("nft", "legacy")),
)

Load = Callable[[str, str], None]
"""Function that loads the filter table, in the form of iptables-save, into a network namespace."""


def lacking() -> str:
    """Return the reason why kernel tests cannot run on this machine, or an empty string."""
    if os.geteuid() != 0:
        return "not root: run as root, or under `unshare -Urnm` with a tmpfs on /run"
    try:
        for program in PROGRAMS:
            program_path(program)
    except ToolMissing as error:
        return str(error)
    return ""
