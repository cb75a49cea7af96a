"""Model of connection tracking: gives each packet of a sequence its connection state, as Linux does (``nf_conntrack``).

A connection exists after its first packet passed all hooks, and is established after a reply. TCP follows the kernel's
state table, but without sequence numbers and windows. SCTP follows the kernel's table of states and chunks. Other
protocols have no states beyond "reply seen".

If packets carry a time, connections expire; otherwise no time passes. Helpers, such as the one for FTP, are not
modelled. ``tracker`` has the connection table, ``entry`` its entries, ``tcp`` and ``sctp`` the protocol states.
"""

from simulator.conntrack.entry import ConnectionEntry
from simulator.conntrack.tracker import ConnectionTracker, follow

__all__ = ["ConnectionEntry", "ConnectionTracker", "follow"]
