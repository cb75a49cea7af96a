"""Rules as people write them: long, short and abbreviated options, in any order, with and without ``-m``."""

import re
from collections.abc import Iterator

WRITTEN = r"""
@ 46 filter INPUT
--protocol tcp --match tcp --dport 22 --jump ACCEPT
--source $host --destination $net --in-interface eth0 --jump DROP
--src $host --dst $net --proto udp --dport 53 -j ACCEPT
! --source $net ! --in-interface lo --jump DROP
-p tcp --dport {ssh|http|22}
-p tcp --syn -m multiport --dports ssh,http,https -j ACCEPT
-p tcp -m multiport --destination-ports 80,443 --syn -j ACCEPT
-p 6 --dport 22 -j ACCEPT
-p 17 --sport domain
-p TCP --dport 22
-p tcp --dport=22 --sport=1024:65535 -j ACCEPT
-j ACCEPT -p tcp --dport 22 -s $host
-j LOG -m limit --limit 1/sec --log-prefix "late " -p tcp
-p tcp -m comment --comment "ssh" --dport 22 -m conntrack --ctstate NEW --syn -j ACCEPT
-m tcp -p tcp -m comment --comment x --dport 22
-p tcp -j OTHER --dport 22
-p tcp -g OTHER --dport 22 -m mark --mark 3
-p tcp -m tcp -m tcp --dport 22
-p tcp -m tcp --dport 22 -m tcp --sport 1024:
--dest $host --in-int eth0
--dest $net -p tcp --destination-p 22
-s $net -c 7 420 -j ACCEPT
--set-counters 7 420 -j ACCEPT
-s $net -m state --state NEW,ESTABLISHED -m comment --comment 'x' -j ACCEPT
-m comment --comment ! -j ACCEPT
-m comment --comment -j -j ACCEPT
-m comment --comment a"b c" -j ACCEPT
-m comment --comment "" -j ACCEPT
-m limit --limit 5 --limit-burst 3
-m mark --mark 10 -m connmark --mark 11
-m mark --mark 1 -m mark --mark 2 -m mark --mark 3 -j DROP
-m recent --rcheck --seconds 60 --name a -m recent --set --name b
-m set --set $nets src
-m set --match-set $nets src -m set --match-set $nets dst -j ACCEPT
-p udp -m udp --sport 67 -j OTHER -m mark --mark 0x1
	-s	$net	-j	ACCEPT
-s $net   -d  $host
-m iprange --src-range $range --dst-range=$range
-p tcp --tcp-flags ALL SYN,ACK
-p sctp --dport 2905 --chunk-types any INIT
-p dccp --dport 5001
-p esp --espspi 500
-m conntrack --ctstate new,related
-m string --string=foo --algo=bm
-j LOG --log-prefix=x --log-level=4
-j LOG --log-pref "cut short"
-m hashlimit --hashlimit 5/min --hashlimit-mode srcip --hashlimit-name w$n
-m addrtype --dst-type local
-m pkttype --pkt-type MULTICAST
-m time --timestart 9:00 --timestop 17:30 --weekdays=Mon
-m physdev --physdev-in eth0
-m length --length 100: -j DROP
-m u32 --u32 0x0=1
@ 46 nat PREROUTING
-p tcp --dport 80 -j REDIRECT --to-port 8080
-p tcp --dport 80 -j REDIRECT --to 8080
-p tcp --dport 80 -j DNAT --to $at_port
-p tcp --dport 80 -j DNAT --to-dest $at_port
@ 46 nat POSTROUTING
-o eth0 -j SNAT --to $host_only
--out-interface eth0 --jump MASQUERADE
--out eth0 -j SNAT --to-source=$host_only
@ 46 raw PREROUTING
-p tcp --dport 80 -j NOTRACK
@ 46 mangle PREROUTING
-i eth0 -j MARK --set-mark 7
-j MARK --set-mark=0x7/0xf
-j MARK --and-mark 0xf0
@ 4 filter INPUT
--fragment -j DROP
! --fragment -j ACCEPT
! -f -j ACCEPT
-s 10.0.0.1 -d 10.0.0.0/255.0.0.0
-s 10.0.0.1,10.0.0.2 -d 10.1.0.1,10.1.0.2 -j DROP
-s 10 -j DROP
-s 10.1/16 -j DROP
-s 0/0 -j ACCEPT
-s 10.0.0.5/8 -j ACCEPT
-p icmp --icmp-type echo-request -j ACCEPT
-p icmp --icmp-type=8/0
-p 1 --icmp-type 8
-m ttl --ttl 64
--ipv4 -j ACCEPT
-4 -p tcp -j ACCEPT
-6 -p tcp -j ACCEPT
@ 6 filter INPUT
-s 2001:DB8::1 -d fd00::/ffff::
-s fd00::1,fd00::2 -j DROP
-s ::/0 -j ACCEPT
-s 0::0/0 -d 2001:db8:0:0:0:0:0:1
-p icmpv6 --icmpv6-type echo-request -j ACCEPT
-p ipv6-icmp --icmpv6-type=128
-p 58 --icmpv6-type 135
-m hl --hl 64
--ipv6 -j ACCEPT
-6 -p tcp -j ACCEPT
-4 -p tcp -j ACCEPT
"""

_LONG = {
    "-s": "--source",
    "-d": "--destination",
    "-i": "--in-interface",
    "-o": "--out-interface",
    "-p": "--protocol",
    "-f": "--fragment",
    "-j": "--jump",
    "-g": "--goto",
    "-m": "--match",
    "--dports": "--destination-ports",
    "--sports": "--source-ports",
    "--dport": "--destination-port",
    "--sport": "--source-port",
}
_IN_QUOTES = re.compile(r'("(?:[^"\\]|\\.)*")')
_IMPLIED = re.compile(r"-p (tcp|udp|sctp|dccp|icmp|esp)( .*)? -m \1 (?=!|--)")
_TARGET = re.compile(r"(-A \S+) (.+) (-[jg] (?!DNAT|SNAT|REDIRECT|MASQ|TPROXY)[^\"']+)$")


def respelled(line: str) -> Iterator[str]:
    """Yield other spellings of a line of iptables-save, with the same meaning."""
    parts = _IN_QUOTES.split(line)
    bare = [" ".join(_LONG.get(word, word) for word in part.split(" ")) for part in parts[::2]]
    long = "".join(a + b for a, b in zip(bare, [*parts[1::2], ""], strict=True))
    others = {long, _IMPLIED.sub(r"-p \1\2 ", line), _TARGET.sub(r"\1 \3 \2", line)}
    yield from sorted(others - {line})
