"""Recording of in-memory clusters in a log, and helpers that wait for the result."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sqlite import SqliteLog
from adapters.kubernetes.log_recorder import LogRecorder
from engine.objects import ClusterObject
from engine.state.fold import ClusterState
from tests.support.kubernetes.fake_api import Document, FakeApi
from tests.support.seeds import seeded


def document_of(item: ClusterObject) -> Document:
    """Return an object as the API server returns it, with fields that nodewall does not use."""
    plain = item.model_dump(mode="json", by_alias=True, exclude_none=True)
    plain["metadata"]["uid"] = "0"
    return {key: value for key, value in plain.items() if key not in {"apiVersion", "kind"}}


@contextlib.asynccontextmanager
async def recording(api: FakeApi, log: SqliteLog) -> AsyncIterator[None]:
    """Record a cluster while the context is entered."""
    recorder = LogRecorder(api, log, "test", seeded(0))
    task = asyncio.ensure_future(recorder.run())
    try:
        await asyncio.wait_for(recorder.settled(), 60)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def reached(log: SqliteLog, wanted: Callable[[ClusterState], bool], seconds: float = 30) -> ClusterState:
    """Wait until ``wanted`` accepts the log's state, and return that state."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        state = Snapshots(log).reached()[0] if log.exists else ClusterState()
        if wanted(state):
            return state
        assert asyncio.get_running_loop().time() < end, "not in time"
        await asyncio.sleep(0.01)


async def comes(wanted: Callable[[], bool]) -> None:
    """Wait until ``wanted`` returns True."""
    while not wanted():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.002)
