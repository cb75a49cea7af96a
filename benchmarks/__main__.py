"""Runs all benchmarks, or those named on the command line; needs root or user namespaces."""

import sys

from adapters.system.gc_tuning import collect_rarely
from adapters.system.logging_setup import configure
from adapters.system.usernamespace import in_user_namespace
from benchmarks import (
    cluster,
    compiling,
    first_apply,
    history,
    lifecycle,
    live,
    matches,
    oracle,
    packet_path,
    parsing,
    pipeline,
    symbolic,
    verdicts,
)

ALL = {
    "road": pipeline.main,
    "parsing": parsing.main,
    "lifecycle": lifecycle.main,
    "verdicts": verdicts.main,
    "headerspace": symbolic.main,
    "oracle": oracle.main,
    "first_apply": first_apply.main,
    "live": live.main,
    "compiling": compiling.main,
    "matches": matches.main,
    "packet_path": packet_path.main,
    "history": history.main,
    "cluster": cluster.main,
}

if __name__ == "__main__":
    in_user_namespace("benchmarks", *sys.argv[1:])
    configure(0)
    collect_rarely()
    for name in sys.argv[1:] or ALL:
        ALL[name]()
