"""Connection tracking over a sequence of packets, as in Linux (``nf_conntrack``, ``nf_nat``).

A connection exists after its first packet passed all hooks. It is established after a reply. TCP follows the kernel's
state table, but without sequence numbers and windows; SCTP follows its chunks. Other protocols only have two
directions.

If packets carry a time, connections expire; otherwise no time passes. Helpers, such as the one for FTP, are not
modelled. ``tracker`` has the connection table, ``entry`` its entries, ``tcp`` and ``sctp`` the protocol states.
"""

from simulator.conntrack.entry import ConnectionEntry
from simulator.conntrack.tracker import ConnectionTracker, follow

__all__ = ["ConnectionEntry", "ConnectionTracker", "follow"]
