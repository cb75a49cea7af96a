"""Connection tracking across a sequence of packets, as Linux does it (``nf_conntrack``, ``nf_nat``).

A connection exists once its first packet got through all hooks, and is established once a reply was seen. TCP follows
the kernel's state table without sequence numbers and windows; every other protocol with a known tuple is a pair of
directions. Where packets tell the time, connections expire; else no time passes. Helpers (FTP and the like) are not
modelled.
"""

from simulator.conntrack.entry import ConnectionEntry
from simulator.conntrack.tracker import ConnectionTracker, follow

__all__ = ["ConnectionEntry", "ConnectionTracker", "follow"]
