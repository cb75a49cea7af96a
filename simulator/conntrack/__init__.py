"""Connection tracking over a sequence of packets, as in Linux (``nf_conntrack``, ``nf_nat``).

A connection exists after its first packet passed all hooks. It is established after a reply was seen. TCP follows the
kernel's state table without sequence numbers and windows. SCTP follows its chunks. Other protocols only have two
directions. Connections expire if packets carry a time; otherwise no time passes. Helpers, such as FTP's, are not
modelled.
"""

from simulator.conntrack.entry import ConnectionEntry
from simulator.conntrack.tracker import ConnectionTracker, follow

__all__ = ["ConnectionEntry", "ConnectionTracker", "follow"]
