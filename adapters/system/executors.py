"""Executors that analyse many Nodes in parallel: processes of this machine, or workers of a Dask scheduler.

Input: the value of ``--executor``, ``processes`` or ``dask://HOST:PORT``. Output: a
:class:`concurrent.futures.Executor`.

Raises ``Refused`` if the scheduler does not answer or the optional dependency ``fleet`` is not installed.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from urllib.parse import urlsplit

from adapters.system.child_python import processes
from engine.errors import Fault, Refused, safe_text

PROCESSES = "processes"
EXPECTED = f"{PROCESSES} or dask://HOST:PORT"
_SECONDS = 5
"""Seconds that a scheduler may take to answer."""


@contextmanager
def executor_of(text: str) -> Iterator[Executor]:
    """Open the executor that ``text`` names; its tasks must have plain values as arguments.

    Args:
        text: ``processes`` or ``dask://HOST:PORT``.

    Raises:
        Refused: the text names no executor, its extra is not installed, or its scheduler does not answer.
    """
    if text == PROCESSES:
        with processes() as here:
            yield here
        return
    with _dask(_address(text)) as workers:
        yield workers


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
        plain = (url.scheme, url.path, url.query, url.fragment, url.username) == ("dask", "", "", "", None)
    except ValueError:
        host, port, plain = None, None, False
    if not (plain and host and port):
        raise Refused((Fault("--executor", f"found {safe_text(text)}", EXPECTED),))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError:
        problem = "the package distributed is not installed"
        raise Refused((Fault("--executor", problem, "pip install 'nodewall[fleet]'"),)) from None
    try:
        client = Client(f"tcp://{address}", timeout=_SECONDS, set_as_default=False)
    except (OSError, TimeoutError):
        raise Refused((Fault("--executor", f"{address}: no scheduler answers", "a Dask scheduler there"),)) from None
    with client:
        yield client.get_executor()
