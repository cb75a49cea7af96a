"""Type names for IP addresses and networks of either family, shared by all packages.

They stand for the classes of Python's ``ipaddress`` module.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
