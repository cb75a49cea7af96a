"""Every option of every target as templates, in the syntax of ``match_options`` (iptables-extensions(8))."""

TARGETS = r"""
@ 46 filter INPUT
{-j ACCEPT|-j DROP|-j RETURN|-j OTHER|-g OTHER|-j other-chain_1.x:y|-g other-chain_1.x:y}
-p tcp -m tcp --dport {22|80} {-j OTHER|-g OTHER}
-j QUEUE
-j NFQUEUE
-j NFQUEUE --queue-num {0|5|65535}{| --queue-bypass}
-j NFQUEUE --queue-balance {0:3|10:20}{| --queue-bypass}{| --queue-cpu-fanout}
-j LOG
-j LOG --log-level {emerg|alert|crit|error|warning|notice|info|debug|0|7}
-j LOG --log-prefix {plain|"two words "|"[UFW BLOCK] "|"it's: "|"q\"q"|-dash|"back\\slash"|"28 characters are all there "}
-j LOG --log-prefix "x: " --log-level 7 --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode
-j LOG {--log-tcp-sequence|--log-tcp-options|--log-ip-options|--log-uid|--log-macdecode}
-j NFLOG
-j NFLOG --nflog-group {0|5|65535}
-j NFLOG --nflog-prefix {plain|"nodewall:I:Drop deny/all"|"two words"|"q\"q"|"it's"|plain_prefix-1} --nflog-group 5
-j NFLOG --nflog-{range|size} {64|0|1500} --nflog-threshold {1|10}
-j AUDIT --type {accept|drop|reject}
-j TEE --gateway $host_only{| --oif eth0}
-j CONNMARK --set-mark 1
-j IDLETIMER --timeout 30 --label t$n{| --alarm}
-j LED --led-trigger-id nwc
-j RATEEST --rateest-name r$n --rateest-interval 250ms --rateest-ewmalog 0.5s
-j SET --add-set {$nets src|$nets dst|$pairs src,dst|$triples src,dst,dst}
-j SET --del-set {$nets src|$pairs dst,src}
-j SET --add-set $timed src --exist --timeout {0|300}
-j SET --add-set $nets src --del-set $pairs src,dst
@ 4 filter INPUT
-p tcp -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
-j ULOG
-d $host -i eth0 -j CLUSTERIP --new --hashmode sourceip --clustermac 01:00:5E:00:00:20 --total-nodes 2 --local-node 1
-j REJECT
-j REJECT --reject-with {icmp-net-unreachable|icmp-host-unreachable|icmp-port-unreachable|icmp-proto-unreachable|icmp-net-prohibited|icmp-host-prohibited|icmp-admin-prohibited}
-p tcp -j REJECT --reject-with tcp-reset
-j REJECT --reject-with {net-unreach|host-unreach|port-unreach|proto-unreach|net-prohib|host-prohib|admin-prohib}
@ 6 filter INPUT
-j REJECT
-j REJECT --reject-with {icmp6-no-route|no-route|icmp6-adm-prohibited|adm-prohibited|icmp6-addr-unreachable|addr-unreach|icmp6-port-unreachable|icmp6-policy-fail|icmp6-reject-route}
-p tcp -j REJECT --reject-with tcp-reset
@ 46 mangle PREROUTING
-j MARK --set-mark {0|0x1|10/0xff}
-j MARK --set-xmark {0|0x1|0x4000/0x4000|0x4000/0x0|0xffffffff}
-j MARK --{and|or|xor}-mark {0xf0|1}
-j CONNMARK --set-mark {0|0x1|10/0xff}
-j CONNMARK --set-xmark {0x1|0x4000/0x4000}
-j CONNMARK --{and|or|xor}-mark {0xf0|1}
-j CONNMARK --set-xmark 0x1 --{left|right}-shift-mark 3
-j HMARK --hmark-tuple src,dst,sport,dport --hmark-mod 10 --hmark-offset 5 --hmark-rnd 7
-j CONNMARK --{save|restore}-mark{| --mask 0xff| --nfmask 0xf0 --ctmask 0x0f}
-j TOS --set-tos {0|0x10|0x10/0x3f|Minimize-Delay|Maximize-Reliability}
-j TOS --{and|or|xor}-tos {0x1f|1}
-j DSCP --set-dscp {0|0x2e|63}
-j DSCP --set-dscp-class {EF|AF11|CS5|BE}
-p tcp -j TPROXY --on-port {50080|0} --on-ip $host_only --tproxy-mark {0x1/0x1|1}
-p udp -j TPROXY --on-port 53 --tproxy-mark 0x1/0xffffffff
-p udp -m socket -j ACCEPT
@ 46 mangle POSTROUTING
-j CLASSIFY --set-class {1:1|0:0|ffff:ffff|a:b}
-p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {536|1400}
-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-p tcp -j TCPOPTSTRIP --strip-options {timestamp|wscale,mss|sack-permitted,sack|8|md5,4}
-j SET --map-set $marks src --map-mark
-j SET --map-set $marks src --map-mark --map-prio --map-queue
-j CONNSECMARK --save
@ 4 mangle PREROUTING
-j TTL --ttl-{set|inc|dec} {1|64}
-p tcp -j ECN --ecn-tcp-remove
@ 6 mangle PREROUTING
-j HL --hl-{set|inc|dec} {1|64}
-j DNPT --src-pfx fd00::/64 --dst-pfx fc00::/64
@ 6 mangle POSTROUTING
-j SNPT --src-pfx fd00::/64 --dst-pfx fc00::/64
@ 46 raw PREROUTING
-j NOTRACK
-j CT --notrack
-j CT --zone {1|65535|mark}
-j CT --zone-{orig|reply} {1|mark}
-j CT --ctevents {new|new,related,destroy,reply,assured,protoinfo,helper,mark,natseqinfo,secmark}
-j CT --expevents new{| --ctevents new}
-p tcp -j CT --helper ftp
-p tcp -j CT --timeout nwc
-j TRACE
-p tcp -m tcp --dport 80 -j TRACE
@ 46 nat PREROUTING
-j DNAT --to-destination {$host_only|$range}
-p {tcp|udp|sctp} -j DNAT --to-destination {$at_port|$at_ports|:8080}
-p tcp -m tcp --dport 80 -j DNAT --to-destination {$range_ports|$host_only} {--random|--persistent|--random --persistent}
-p tcp -j REDIRECT
-p {tcp|udp} -m multiport --dports 80,81 -j REDIRECT --to-ports {8080|5300-5310}{| --random}
-d $net -j NETMAP --to $net2
@ 46 nat POSTROUTING
-j SNAT --to-source {$host_only|$range}
-p tcp -j SNAT --to-source {$at_port|$at_ports|:1024-2048|$range_ports}
-p udp -j SNAT --to-source $at_ports {--random|--random-fully|--persistent|--random --random-fully --persistent}
-j MASQUERADE
-j MASQUERADE {--random|--random-fully|--random --random-fully}
-p tcp -j MASQUERADE --to-ports {1024|1024-65535}{| --random| --random-fully}
-s $net ! -o docker0 -j MASQUERADE
-s $net -o eth0 -j NETMAP --to $net2
@ 46 nat OUTPUT
! -d $net -m addrtype --dst-type LOCAL -j OTHER
-p tcp -j REDIRECT --to-ports 8080
@ 46 nat INPUT
-p tcp -j SNAT --to-source $host_only
@ 46 security INPUT
-m mark --mark 0x1 -j ACCEPT
-j SECMARK --selctx a:b:c:s0
"""
