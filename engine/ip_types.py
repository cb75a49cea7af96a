"""Type aliases for IP addresses and networks of either family, used by all packages.

`Address` and `Network` are unions of the IPv4 and IPv6 classes of Python's ``ipaddress`` module.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
