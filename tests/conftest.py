"""What holds for every test: how many examples hypothesis tries, and when a skip is a failure."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow]  # building whole clusters takes a while; that is no fault of the test

settings.register_profile(
    "default", deadline=None, max_examples=50, derandomize="CI" in os.environ, suppress_health_check=_SLOW
)
settings.register_profile("soak", deadline=None, max_examples=2000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "default")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything the tests need is said to be there."""
    report = yield
    if os.environ.get("NODEWALL_REQUIRE_KERNEL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but NODEWALL_REQUIRE_KERNEL=1 allows no skip: {reason}"
    return report
