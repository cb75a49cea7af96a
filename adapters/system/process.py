"""Runs external programs such as iptables-restore and ipset; nodewall runs them only through this module.

Input: the program with its arguments, and stdin text. Output: a :class:`FinishedProcess` with exit status and output.
No shell is used; current folder and environment are fixed, except ``PATH`` and ``XTABLES_LOCKFILE``. nsenter(1) enters
a network namespace in about 1 ms, a third of the time of ``ip netns exec``.

Raises ``ToolMissing`` if a program or namespace is missing, and ``KernelRefused`` if a program cannot start or does not
end in time.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import structlog

from engine.errors import KernelRefused, ToolMissing, safe_text

ROOT_FOLDER = "/"
"""Current folder of every program, so that relative paths find nothing."""

_NOT_ROOT = re.compile(r"permission denied|you must be root|not permitted", re.IGNORECASE)

NAMESPACES = Path("/run/netns")
"""Folder in which ip-netns(8) keeps the names of network namespaces."""

PACKAGES: Mapping[str, str] = {
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "xtables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Debian package of each program, by the part of the program's name before the first dash."""

PASSED_ON = ("XTABLES_LOCKFILE",)
"""Environment variables that a program gets besides PATH and LC_ALL, if they are set; see iptables(8)."""


@dataclass(frozen=True, slots=True)
class FinishedProcess:
    """Exit status and output of a program; bytes that are not UTF-8 become lone surrogates."""

    status: int = 0
    out: str = ""
    err: str = ""

    def or_refused(self, tool: str) -> str:
        """Return the standard output.

        Raises:
            ToolMissing: the program lacked a privilege.
            KernelRefused: the exit status is not 0.
        """
        self.check_privileges(tool)
        if self.status:
            raise KernelRefused(tool, self.status, self.err or self.out)
        return self.out

    def check_privileges(self, tool: str) -> None:
        """Raise ``ToolMissing`` if the program failed because it lacked a privilege."""
        if self.status and _NOT_ROOT.search(self.err):
            what = f"{tool}: {self.err.strip().splitlines()[0]}"
            raise ToolMissing(what, "run as root or with CAP_NET_ADMIN in the network namespace")


class Runner(Protocol):
    """Runs programs."""

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:
        """Run the program ``words[0]`` to its end, for at most ``timeout`` seconds; any exit status is a result.

        Raises:
            ToolMissing: the program or the network namespace does not exist.
            KernelRefused: the program could not be started, or it did not end in time and was killed.
        """
        ...


@dataclass(frozen=True, slots=True)
class NetnsHold:
    """Lock on a network namespace: the descriptor of the lock file, and the inode number of the namespace."""

    descriptor: int
    namespace: int


@dataclass(frozen=True, slots=True)
class SystemRunner:
    """Runs programs on this machine, in the network namespace ``netns``; empty means this process's own.

    Programs inherit the lock in ``held``, so that it is held until the last of them ends. They do not run in another
    namespace that has got the same name meanwhile.
    """

    netns: str = ""
    held: NetnsHold | None = None

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:
        environment = program_environment()
        command = [*self._entering(environment["PATH"]), program_path(words[0], environment["PATH"]), *words[1:]]
        given = stdin.encode(errors="surrogateescape")
        started = time.monotonic()
        try:
            with _as_file(given) as source:
                done = subprocess.run(
                    command,
                    stdin=source,
                    capture_output=True,
                    timeout=timeout,
                    env=environment,
                    cwd=ROOT_FOLDER,
                    check=False,
                    pass_fds=(self.held.descriptor,) if self.held else (),
                )
        except subprocess.TimeoutExpired as error:
            aftermath = "it was killed, and what it had changed by then is not known"
            raise KernelRefused(words[0], -9, f"no end within {timeout:g} s", "", aftermath) from error
        except OSError as error:
            raise KernelRefused(words[0], -1, f"it could not be started: {error.strerror}") from error
        structlog.get_logger(__name__).debug(
            "command",
            words=list(words),
            netns=self.netns,
            bytes_in=len(given),
            status=done.returncode,
            seconds=round(time.monotonic() - started, 4),
        )
        return FinishedProcess(done.returncode, _text(done.stdout), _text(done.stderr))

    def _entering(self, path: str) -> list[str]:
        if not self.netns:
            return []
        namespace = namespace_path(self.netns)
        if self.held is not None and namespace.stat().st_ino != self.held.namespace:
            raise ToolMissing(
                f"network namespace {safe_text(self.netns)} is gone", "another one has its name; begin anew"
            )
        return [program_path("nsenter", path), f"--net={namespace}", "--"]


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One call of a `ScriptedRunner`."""

    words: tuple[str, ...]
    stdin: str = ""


ScriptedReplies = Callable[[tuple[str, ...], str], FinishedProcess]
"""Function from words and standard input to the result of the program."""


@dataclass(slots=True)
class ScriptedRunner:
    """Fake runner: ``answers`` returns the result of each program, and ``ran`` has the calls in order."""

    answers: ScriptedReplies = lambda _words, _stdin: FinishedProcess()
    ran: list[RecordedRun] = field(default_factory=list)

    @classmethod
    def of(cls, table: Mapping[tuple[str, ...], FinishedProcess]) -> Self:
        """Return a runner that answers from a table by the words; a program that is not in the table is missing."""

        def answer(words: tuple[str, ...], _stdin: str) -> FinishedProcess:
            if words not in table:
                raise ToolMissing(
                    f"no answer for {safe_text(' '.join(words))}", f"there are: {_listed(map(' '.join, table))}"
                )
            return table[words]

        return cls(answer)

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:  # noqa: ARG002  # nothing takes time
        self.ran.append(RecordedRun(tuple(words), stdin))
        return self.answers(tuple(words), stdin)


def program_path(program: str, path: str = "") -> str:
    """Return the path of a program; also search the system directories, which ordinary users' PATH lacks.

    Raises:
        ToolMissing: the program is not installed.
    """
    where = shutil.which(program, path=path or program_environment()["PATH"])
    if where is None:
        package = PACKAGES.get(program.partition("-")[0])
        remedy = f"install the Debian package {package}" if package else "install it"
        raise ToolMissing(f"no program {safe_text(program)}", remedy)
    return where


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if the process has ended or may not be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").strip().decode(errors="replace")


def namespaces() -> tuple[str, ...]:
    """Return the names of all named network namespaces, sorted."""
    try:
        return tuple(sorted(path.name for path in NAMESPACES.iterdir()))
    except FileNotFoundError:  # no namespace was named since the machine booted
        return ()


def namespace_path(name: str) -> Path:
    """Return the file of a network namespace; only existing names are accepted, so that no other path is possible.

    Raises:
        ToolMissing: no network namespace has that name.
    """
    there = namespaces()
    if name not in there:
        raise ToolMissing(f"no network namespace {safe_text(name)}", f"there are: {_listed(there)}")
    return NAMESPACES / name


@contextmanager
def _as_file(given: bytes) -> Iterator[int]:
    """Yield the descriptor of an in-memory file that holds the whole input.

    From a pipe, a program would read half a line if this process is killed while it writes. Half a line of
    ``ipset restore`` may be a valid line with another meaning.
    """
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(given)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def program_environment() -> dict[str, str]:
    """Return the environment of a program: a PATH without relative folders, LC_ALL, and the ``PASSED_ON`` variables."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin"]
    path = os.pathsep.join(filter(os.path.isabs, folders))
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": path, "LC_ALL": "C", **kept}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
