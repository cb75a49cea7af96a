"""Words of the filter language EXPR for its parsers: protocols, services, constants, and words refused with a reason.

Numbers are IANA's. Nothing is read from /etc/services or /etc/protocols, so an expression means the same on every
machine. Source: pcap-filter(7).
"""

from collections.abc import Mapping

from engine.rulesets.model import Family
from simulator.packets import protocol_names

PROTOCOLS: Mapping[str, tuple[int, Family | None]] = {
    "tcp": (protocol_names.TCP, None),
    "udp": (protocol_names.UDP, None),
    "sctp": (protocol_names.SCTP, None),
    "icmp": (protocol_names.ICMP, Family.IPV4),
    "icmp6": (protocol_names.ICMPV6, Family.IPV6),
    "igmp": (protocol_names.IGMP, Family.IPV4),
    "igrp": (9, Family.IPV4),
    "pim": (103, None),
    "ah": (51, None),
    "esp": (50, None),
    "vrrp": (112, Family.IPV4),
    "carp": (112, Family.IPV4),
}
"""Words for protocols, with the number and the family they are limited to."""

FAMILIES: Mapping[str, Family] = {"ip": Family.IPV4, "ip6": Family.IPV6}

_BOTH = ("tcp", "udp", "sctp")

SERVICES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "ftp-data": (20, ("tcp",)),
    "ftp": (21, ("tcp",)),
    "ssh": (22, ("tcp",)),
    "telnet": (23, ("tcp",)),
    "smtp": (25, ("tcp",)),
    "domain": (53, _BOTH),
    "bootps": (67, ("udp",)),
    "bootpc": (68, ("udp",)),
    "tftp": (69, ("udp",)),
    "http": (80, ("tcp",)),
    "kerberos": (88, _BOTH),
    "pop3": (110, ("tcp",)),
    "sunrpc": (111, _BOTH),
    "ntp": (123, ("udp",)),
    "imap2": (143, ("tcp",)),
    "snmp": (161, _BOTH),
    "bgp": (179, ("tcp",)),
    "ldap": (389, _BOTH),
    "https": (443, _BOTH),
    "isakmp": (500, ("udp",)),
    "syslog": (514, ("udp",)),
    "ldaps": (636, _BOTH),
    "imaps": (993, ("tcp",)),
    "nfs": (2049, _BOTH),
}
"""Port of each service, and the protocols that the name covers on its own."""

CONSTANTS: Mapping[str, int] = {
    "tcpflags": 13,
    "icmptype": 0,
    "icmpcode": 1,
    "icmp6type": 0,
    "icmp6code": 1,
    "tcp-fin": 1,
    "tcp-syn": 2,
    "tcp-rst": 4,
    "tcp-push": 8,
    "tcp-ack": 16,
    "tcp-urg": 32,
    "tcp-ece": 64,
    "tcp-cwr": 128,
    "icmp-echoreply": 0,
    "icmp-unreach": 3,
    "icmp-sourcequench": 4,
    "icmp-redirect": 5,
    "icmp-echo": 8,
    "icmp-routeradvert": 9,
    "icmp-routersolicit": 10,
    "icmp-timxceed": 11,
    "icmp-paramprob": 12,
    "icmp-tstamp": 13,
    "icmp-tstampreply": 14,
    "icmp-ireq": 15,
    "icmp-ireqreply": 16,
    "icmp-maskreq": 17,
    "icmp-maskreply": 18,
    "icmp6-destinationunreach": 1,
    "icmp6-packettoobig": 2,
    "icmp6-timeexceeded": 3,
    "icmp6-parameterproblem": 4,
    "icmp6-echo": 128,
    "icmp6-echoreply": 129,
    "icmp6-multicastlistenerquery": 130,
    "icmp6-multicastlistenerreportv1": 131,
    "icmp6-multicastlistenerdone": 132,
    "icmp6-routersolicit": 133,
    "icmp6-routeradvert": 134,
    "icmp6-neighborsolicit": 135,
    "icmp6-neighboradvert": 136,
    "icmp6-redirect": 137,
    "icmp6-routerrenum": 138,
    "icmp6-nodeinformationquery": 139,
    "icmp6-nodeinformationresponse": 140,
    "icmp6-ineighbordiscoverysolicit": 141,
    "icmp6-ineighbordiscoveryadvert": 142,
    "icmp6-multicastlistenerreportv2": 143,
    "icmp6-homeagentdiscoveryrequest": 144,
    "icmp6-homeagentdiscoveryreply": 145,
    "icmp6-mobileprefixsolicit": 146,
    "icmp6-mobileprefixadvert": 147,
    "icmp6-certpathsolicit": 148,
    "icmp6-certpathadvert": 149,
    "icmp6-multicastrouteradvert": 151,
    "icmp6-multicastroutersolicit": 152,
    "icmp6-multicastrouterterm": 153,
}
"""Named numbers: header offsets, TCP flag bits, ICMP types."""

_LINK = "rules see IP packets, not the frames they came in"
_PATH = "rules see a packet, not how a tool captured it"
_OTHER = "rules see IPv4 and IPv6 alone"

UNSUPPORTED_WORDS: Mapping[str, str] = {
    **dict.fromkeys("ether fddi tr ppp slip link wlan llc addr1 addr2 addr3 addr4 ra ta".split(), _LINK),
    **dict.fromkeys("type subtype dir vlan mpls pppoed pppoes geneve vxlan".split(), _LINK),
    **dict.fromkeys("broadcast gateway lat moprc mopdl stp".split(), _LINK),
    **dict.fromkeys("lane oamf4s oamf4e oamf4ec oam ilmic vpi vci metac bcc sc llcs".split(), _LINK),
    **dict.fromkeys("connectmsg oamf4 fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls".split(), _LINK),
    **dict.fromkeys("ifname on rnr rulenum reason rset ruleset srnr subrulenum action".split(), _PATH),
    **dict.fromkeys("inbound outbound ifindex".split(), _PATH),
    **dict.fromkeys("arp rarp atalk aarp decnet iso clnp esis es-is isis is-is l1 l2".split(), _OTHER),
    **dict.fromkeys("iih lsp snp csnp psnp sca ipx netbeui".split(), _OTHER),
    "multicast": "ip multicast and ip6 multicast can be seen",
    "protochain": "the protocol after all headers is what `proto` asks for",
}
"""Words of pcap-filter(7) about data that a node's firewall cannot see, with the reason."""
