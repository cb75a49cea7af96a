"""Configures the logger structlog for all commands: one JSON line per event on stderr.

Input: how often ``-v`` was given. Output: a log level: warnings, also actions, or also every program that is run.
"""

import logging
import sys

import structlog

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def configure(verbosity: int) -> None:
    """Configure logging: ``verbosity`` 0 logs warnings, 1 also actions, 2 or more also every program that is run."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[min(verbosity, len(_LEVELS) - 1)]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # looked up anew each time
        cache_logger_on_first_use=False,
    )
