"""Runs every benchmark; root, or an ordinary user where user namespaces are allowed."""

import sys

from adapters.logs import configure
from adapters.memory import look_seldom
from adapters.usernamespace import in_user_namespace
from benchmarks import (
    cluster,
    first_apply,
    headerspace,
    history,
    lifecycle,
    live,
    oracle,
    packet_path,
    parsing,
    road,
    verdicts,
)

if __name__ == "__main__":
    in_user_namespace((sys.executable, "-m", "benchmarks"))
    configure(0)
    look_seldom()
    road.main()
    parsing.main()
    lifecycle.main()
    verdicts.main()
    headerspace.main()
    oracle.main()
    first_apply.main()
    live.main()
    packet_path.main()
    history.main()
    cluster.main()
