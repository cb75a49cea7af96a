"""Access to the lab of the kernel tests: its hosts, the type of what loads rules, and what a machine lacks for it."""

import os
from collections.abc import Callable

from adapters.lab.netns import LabHost
from adapters.system.process import found
from engine.errors import ToolMissing

HOSTS = (LabHost("node-1", ("192.0.2.1", "2001:db8::1")), LabHost("client", ("198.51.100.7", "2001:db8:1::7")))
PROGRAMS = (
    "ip",
    "ipset",
    "nsenter",
    *(f"{tables}-{kind}-restore" for tables in ("iptables", "ip6tables") for kind in ("nft", "legacy")),
)

Load = Callable[[str, str], None]
"""Puts the rules of the filter table, as iptables-save prints them, into a network namespace."""


def lacking() -> str:
    """Return what is missing here for kernel tests, or nothing."""
    if os.geteuid() != 0:
        return "not root: run as root, or under `unshare -Urnm` with a tmpfs on /run"
    try:
        for program in PROGRAMS:
            found(program)
    except ToolMissing as error:
        return str(error)
    return ""
