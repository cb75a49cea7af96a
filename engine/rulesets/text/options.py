"""Table of the options of iptables matches and targets, with the number of values of each.

:mod:`engine.rulesets.text.rule` uses it to split a rule into matches. A match or target missing here may have any
option with any number of values. Sources: iptables-extensions(8) and the option tables of the iptables 1.8 extensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.rulesets.model import Family


@dataclass(frozen=True, slots=True)
class Option:
    """An option by its usual name, and its number of values (None is unknown)."""

    name: str
    arity: int | None = 1


OptionTable = Mapping[str, Option]
"""Options of one match or target, by each of their spellings."""

_TEXT = """
addrtype src-type dst-type limit-iface-in:0 limit-iface-out:0
ah ahspi ahlen ahres:0
bpf bytecode object-pinned
cgroup cgroup path
cluster cluster-total-nodes cluster-local-node cluster-local-nodemask cluster-hash-seed
comment comment
connbytes connbytes connbytes-dir connbytes-mode
connlabel label set:0
connlimit connlimit-upto connlimit-above connlimit-mask connlimit-saddr:0 connlimit-daddr:0
connmark mark
conntrack ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctstatus ctexpire ctdir
conntrack ctorigsrcport ctorigdstport ctreplsrcport ctrepldstport
cpu cpu
dccp source-port>sport sport destination-port>dport dport dccp-types dccp-option
devgroup src-group dst-group
dscp dscp dscp-class
dst dst-len dst-opts
ecn ecn-tcp-cwr:0 ecn-tcp-ece:0 ecn-ip-ect
esp espspi
eui64
frag fragid fraglen fragres:0 fragfirst:0 fragmore:0 fraglast:0
hashlimit hashlimit>hashlimit-upto hashlimit-upto hashlimit-above hashlimit-burst hashlimit-mode hashlimit-name
hashlimit hashlimit-srcmask hashlimit-dstmask hashlimit-rate-match:0 hashlimit-rate-interval
hashlimit hashlimit-htable-size hashlimit-htable-max hashlimit-htable-gcinterval hashlimit-htable-expire
hbh hbh-len hbh-opts
helper helper
hl hl-lt hl-gt hl-eq hl>hl-eq
icmp icmp-type
icmp6 icmpv6-type
ipcomp ipcompspi compres:0
iprange src-range dst-range
ipv6header header soft:0
ipvs ipvs:0 vproto vaddr vport vdir vmethod vportctl
length length
limit limit limit-burst
mac mac-source
mark mark
mh mh-type
multiport source-ports>sports sports destination-ports>dports dports ports
nfacct nfacct-name
osf genre ttl log
owner uid-owner gid-owner pid-owner sid-owner cmd-owner socket-exists:0 suppl-groups:0
physdev physdev-in physdev-out physdev-is-in:0 physdev-is-out:0 physdev-is-bridged:0
pkttype pkt-type
policy dir pol strict:0 reqid spi tunnel-src tunnel-dst proto mode next:0
quota quota
realm realm
recent set:0 rcheck:0 update:0 remove:0 seconds reap:0 hitcount rttl:0 name rsource:0 rdest:0 mask
rpfilter loose:0 validmark:0 accept-local:0 invert:0
rt rt-type rt-segsleft rt-len rt-0-res:0 rt-0-addrs rt-0-not-strict:0
sctp source-port>sport sport destination-port>dport dport chunk-types:2
set match-set:2 set>match-set:2 return-nomatch:0 update-counters:0 update-subcounters:0
set packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt
socket transparent:0 nowildcard:0 restore-skmark:0
srh srh-next-hdr srh-hdr-len-eq srh-hdr-len-gt srh-hdr-len-lt srh-segs-left-eq srh-segs-left-gt srh-segs-left-lt
srh srh-last-entry-eq srh-last-entry-gt srh-last-entry-lt srh-tag srh-psid srh-nsid srh-lsid
state state
statistic mode probability every packet
string from to algo string hex-string icase:0
tcp source-port>sport sport destination-port>dport dport syn:0 tcp-flags:2 tcp-option
tcpmss mss
time datestart datestop timestart timestop contiguous:0 weekdays monthdays localtz:0 utc:0 kerneltz:0
tos tos
ttl ttl-lt ttl-gt ttl-eq ttl>ttl-eq
u32 u32
udp source-port>sport sport destination-port>dport dport
ACCEPT
AUDIT type
CHECKSUM checksum-fill:0
CLASSIFY set-class
CLUSTERIP new:0 hashmode clustermac total-nodes local-node hash-init
CONNMARK set-mark save-mark:0 restore-mark:0 mask set-xmark and-mark or-mark xor-mark ctmask nfmask
CONNMARK left-shift-mark right-shift-mark
CONNSECMARK save:0 restore:0
CT notrack:0 helper ctevents expevents zone-orig zone-reply zone timeout
DNAT to-destination random:0 persistent:0
DNPT src-pfx dst-pfx
DROP
DSCP set-dscp set-dscp-class
ECN ecn-tcp-remove:0 ecn-tcp-cwr ecn-tcp-ece ecn-ip-ect
HL hl-set hl-dec hl-inc
HMARK hmark-tuple hmark-src-prefix hmark-dst-prefix hmark-sport-mask hmark-dport-mask hmark-spi-mask hmark-sport
HMARK hmark-dport hmark-spi hmark-proto-mask hmark-rnd hmark-mod hmark-offset
IDLETIMER timeout label alarm:0
LED led-trigger-id led-delay led-always-blink:0
LOG log-level log-prefix log-tcp-sequence:0 log-tcp-options:0 log-ip-options:0 log-uid:0 log-macdecode:0
MARK set-mark and-mark or-mark set-xmark xor-mark
MASQUERADE to-ports random:0 random-fully:0
NETMAP to
NFLOG nflog-group nflog-prefix nflog-range nflog-size nflog-threshold
NFQUEUE queue-num queue-balance queue-bypass:0 queue-cpu-fanout:0
NOTRACK
QUEUE
RATEEST rateest-name rateest-interval rateest-ewmalog
REDIRECT to-ports random:0
REJECT reject-with
RETURN
SECMARK selctx
SET add-set:2 del-set:2 exist:0 timeout map-set:2 map-mark:0 map-prio:0 map-queue:0
SNAT to-source random:0 random-fully:0 persistent:0
SNPT src-pfx dst-pfx
SYNPROXY sack-perm:0 timestamp:0 wscale mss ecn:0
TCPMSS set-mss clamp-mss-to-pmtu:0
TCPOPTSTRIP strip-options
TEE gateway oif
TOS set-tos and-tos or-tos xor-tos
TPROXY on-port on-ip tproxy-mark
TRACE
TTL ttl-set ttl-dec ttl-inc
ULOG ulog-nlgroup ulog-prefix ulog-cprange ulog-qthreshold
"""
"""Module name, then its options; ``:2`` is the number of values if not one, ``alias>name`` gives the usual name."""

RULE_OPTIONS: OptionTable = {
    spelling: Option(name, arity)
    for name, arity, spellings in (
        ("source", 1, "-s --source --src"),
        ("destination", 1, "-d --destination --dst"),
        ("in-interface", 1, "-i --in-interface"),
        ("out-interface", 1, "-o --out-interface"),
        ("protocol", 1, "-p --protocol"),
        ("fragment", 0, "-f --fragment --fragments"),
        ("match", 1, "-m --match"),
        ("jump", 1, "-j --jump"),
        ("goto", 1, "-g --goto"),
        ("counters", None, "-c --set-counters"),
        ("ipv4", 0, "-4 --ipv4"),
        ("ipv6", 0, "-6 --ipv6"),
    )
    for spelling in spellings.split()
}
"""Options of every rule, with dashes."""

IMPLIED: Mapping[str, str] = {
    protocol: module
    for module, protocols in {
        "tcp": "tcp 6",
        "udp": "udp 17",
        "sctp": "sctp 132",
        "dccp": "dccp 33",
        "icmp": "icmp 1",
        "icmp6": "icmpv6 ipv6-icmp 58",
        "esp": "esp 50",
        "ah": "ah 51",
        "ipcomp": "ipcomp 108",
    }.items()
    for protocol in protocols.split()
}
"""Protocol -> match that iptables loads for the protocol's options without ``-m``."""

FOREIGN_MODULES: Mapping[Family, frozenset[str]] = {
    Family.IPV4: frozenset("dst eui64 frag hbh hl icmp6 ipv6header mh rt srh DNPT HL SNPT".split()),
    Family.IPV6: frozenset("icmp osf realm ttl CLUSTERIP ECN TTL ULOG".split()),
}
"""Matches and targets that exist only in the other family."""

ADDRESS_OPTIONS = frozenset(
    "source destination src-range dst-range ctorigsrc ctorigdst ctreplsrc ctrepldst tunnel-src tunnel-dst vaddr "
    "to-destination to-source to gateway on-ip".split()
)
"""Options with an address as value, which reveals the family."""


def _read(text: str) -> Mapping[str, OptionTable]:
    found: dict[str, dict[str, Option]] = {}
    for line in text.strip().splitlines():
        name, *words = line.split()
        options = found.setdefault(name, {})
        for word in words:
            spelling, _, arity = word.partition(":")
            alias, _, usual = spelling.partition(">")
            options[alias] = Option(usual or alias, int(arity or 1))
    return MappingProxyType(found)


OPTIONS = _read(_TEXT)
"""Options of every known match and target."""
