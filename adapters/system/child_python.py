"""Starts Python child processes that import no modules from the current folder or from ``PYTHONPATH``.

So nodewall, which often runs as root, cannot load code of other users. Input: a module and its arguments. Output: the
argument list, environment and folder for :mod:`subprocess`, or a pool of processes. A child gets the path of the
running package, so that it also works from a checkout that is not installed.

Source: "Command line and environment" in the Python manual, options -I and -P.
"""

import os
import site
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import adapters
from adapters.system.process import ROOT_FOLDER, program_environment

_BOOT = """\
import runpy, site, sys
package, users, module, *words = sys.argv[1:]
if package not in sys.path:
    sys.path.insert(0, package)
if users and users not in sys.path:
    site.addsitedir(users)
sys.argv[1:] = words
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Program that runs a module as ``python -m`` does, with the two package folders that -I leaves out."""


@dataclass(frozen=True, slots=True)
class ChildPython:
    """Argument list, environment and current folder of a child."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = ROOT_FOLDER


def child_python(module: str, *words: str) -> ChildPython:
    """Return how to start a module of this code base as a child.

    The current folder of the child is the root folder, so paths among ``words`` must be absolute.
    """
    package = Path(adapters.__file__).absolute().parents[1]
    argv = (sys.executable, "-I", "-c", _BOOT, str(package), _user_packages(), module, *words)
    return ChildPython(argv, program_environment())


@contextmanager
def processes() -> Iterator[Executor]:
    """Open a pool of processes that import nothing from the current folder; arguments must be plain values.

    The processes are spawned, not forked, because decision diagrams have threads, which a fork would lose.
    """
    # multiprocessing starts its children by ``python -c`` without further options, so variables must do.
    before = dict(os.environ)
    for name in before:
        if name.startswith("PYTHON"):
            del os.environ[name]
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        del os.environ["PYTHONSAFEPATH"]
        os.environ.update(before)


def _user_packages() -> str:
    """Return the user's site-packages folder; empty if this process does not import from it."""
    folder = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    return folder if folder in sys.path else ""
