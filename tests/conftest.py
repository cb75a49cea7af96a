"""Settings of every test: how many examples hypothesis tries, from which seed, and that only warnings are logged."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from adapters.system.logging_setup import configure
from tests.support.seeds import SEED

_SLOW = [HealthCheck.too_slow]  # building whole clusters takes a while; that is no fault of the test

settings.register_profile("default", deadline=None, max_examples=30, derandomize=True, suppress_health_check=_SLOW)
# Without a database of earlier failures, as then the seed alone says what is tried.
settings.register_profile("soak", deadline=None, max_examples=2000, database=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "default")

configure(0)


def pytest_report_header() -> str:
    """Say which seed the tests draw from."""
    return f"seed: {SEED or 'fixed'}"


@pytest.fixture(scope="session", autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give iptables-legacy a lock for this process, so that kernel tests of two processes do not wait for each other.

    The lock of the machine is for namespaces that others share; each test makes its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTABLES_LOCKFILE", str(tmp_path_factory.mktemp("lock") / "xtables.lock"))
        yield
