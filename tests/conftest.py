"""What holds for every test: how many examples hypothesis tries, and that logs say no more than warnings."""

import os

from hypothesis import HealthCheck, settings

from adapters.system.logging_setup import configure

_SLOW = [HealthCheck.too_slow]  # building whole clusters takes a while; that is no fault of the test

settings.register_profile(
    "default", deadline=None, max_examples=50, derandomize="CI" in os.environ, suppress_health_check=_SLOW
)
settings.register_profile("soak", deadline=None, max_examples=2000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "default")

configure(0)
