"""Every option of every match as templates, inversions and ranges included (iptables-extensions(8)).

``@`` begins a section with the families, the table and the chain of its lines. In a line, ``{a|b}`` means either of the
two, and ``$name`` means a word of the family.
"""

MATCHES = r"""
@ 46 filter INPUT
{|! }-s {$host|$net|$mask|$holes}
{|! }-d {$host|$net|$mask|$holes}
-s $net ! -d $host
{|! }-i {eth0|eth+|lo|veth1a2b3c4d5e6|+}
-i eth0 -p tcp
{|! }-p {tcp|udp|sctp|dccp|udplite|esp|ah|47|gre|ipv6}
-p {all|0}
-p icmp
-s $host -d $net -i eth0 -p udp -j ACCEPT
@ 46 filter FORWARD
{|! }-o {eth0|eth+|br-0123456789ab}
{|! }-i eth0 {|! }-o eth1
@ 46 filter INPUT
-p tcp -m tcp
-p tcp -m tcp {|! }--sport {22|0|65535|1:1023|:1023|1024:|60000:60001}
-p tcp -m tcp {|! }--dport {22|0|65535|1:1023|:1023|1024:|60000:60001}
-p tcp -m tcp {|! }--sport 1:1023 {|! }--dport 22
-p tcp -m tcp {|! }--tcp-flags {FIN,SYN,RST,ACK SYN|SYN,ACK SYN|ALL NONE|ALL FIN,PSH,URG|FIN FIN|SYN,RST NONE|ALL ALL}
-p tcp -m tcp {|! }--syn
-p tcp -m tcp {|! }--tcp-option {1|8|255}
-p tcp -m tcp --sport 1024:65535 --dport 22 --tcp-option 5 --tcp-flags FIN,SYN,RST,ACK SYN
-p udp -m udp
-p udp -m udp {|! }--sport {53|0:65534|:1023|1024:}
-p udp -m udp {|! }--dport {53|0:65534|:1023|1024:}
-p udp -m udp ! --sport 53 ! --dport 1024:65535
-p sctp -m sctp
-p sctp -m sctp {|! }--sport {1|100:200}
-p sctp -m sctp {|! }--dport {2905|1:65535}
-p sctp -m sctp {|! }--chunk-types {all|any|only} {INIT|DATA,SACK|INIT,INIT_ACK,COOKIE_ECHO|ASCONF,ASCONF_ACK}
-p sctp -m sctp --chunk-types {all|any|only} {DATA:Be|DATA:uB,ABORT:T|DATA:i,SHUTDOWN_COMPLETE:t|ALL|NONE}
-p dccp -m dccp {|! }--sport {5001|1:5}
-p dccp -m dccp {|! }--dport {5001|1:5}
-p dccp -m dccp {|! }--dccp-types {REQUEST|REQUEST,RESPONSE|DATA,ACK,DATAACK,CLOSEREQ|CLOSE,RESET|SYNC,SYNCACK|INVALID}
-p dccp -m dccp {|! }--dccp-option {4|255}
-p esp -m esp {|! }--espspi {0|500|1:100|0:4294967294}
-p ah -m ah {|! }--ahspi {0|500|1:100}
-p ipcomp -m ipcomp {|! }--ipcompspi {1|5:9}
-p ipcomp -m ipcomp --ipcompspi 1 --compres
-p {tcp|udp|sctp|dccp|udplite} -m multiport {|! }--{sports|dports|ports} {22|80,443|1:1023,8080|1,2,3,4,5,6,7,8,9,10,11,12,13,14,15|1:2,3:4,5}
{! -p tcp|} -m mark --mark 0x1
-m conntrack {|! }--ctstate {NEW|ESTABLISHED|RELATED|INVALID|UNTRACKED|SNAT|DNAT|RELATED,ESTABLISHED|INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED,SNAT,DNAT}
-m conntrack {|! }--ctproto {6|udp|47}
-m conntrack {|! }--ctorigsrc {$host|$net|$mask}
-m conntrack {|! }--ctorigdst {$host|$net}
-m conntrack {|! }--ctreplsrc {$host|$net}
-m conntrack {|! }--ctrepldst {$host|$net}
-m conntrack {|! }--ctorigsrcport {22|1:1023}
-m conntrack {|! }--ctorigdstport {22|1:1023}
-m conntrack {|! }--ctreplsrcport {22|1:1023}
-m conntrack {|! }--ctrepldstport {22|1:1023}
-m conntrack {|! }--ctstatus {NONE|EXPECTED|SEEN_REPLY|ASSURED|CONFIRMED|EXPECTED,SEEN_REPLY,ASSURED,CONFIRMED}
-m conntrack {|! }--ctexpire {10|10:100|0:}
-m conntrack --ctdir {ORIGINAL|REPLY}
-m conntrack ! --ctstate NEW --ctproto tcp --ctorigsrc $net --ctorigdstport 22 --ctstatus ASSURED --ctexpire 1:9 --ctdir REPLY
-m state {|! }--state {NEW|ESTABLISHED|RELATED|INVALID|UNTRACKED|RELATED,ESTABLISHED|INVALID,NEW}
-m set {|! }--match-set {$nets src|$nets dst|$pairs src,dst|$pairs dst,src|$pairs src,src|$triples src,dst,dst}
-m set {|! }--match-set $nets src --return-nomatch
-m set --match-set $nets src ! --update-counters
-m set --match-set $nets src ! --update-subcounters
-m set --match-set $nets src {|! }--packets-eq 5
-m set --match-set $nets dst --packets-{lt|gt} 5
-m set --match-set $nets src {|! }--bytes-eq 500
-m set --match-set $nets dst --bytes-{lt|gt} 500
-m set --match-set $nets src --return-nomatch ! --update-counters --packets-gt 3 --bytes-lt 1000
-m set --match-set $nets src -m set ! --match-set $pairs src,dst
-m addrtype {|! }--src-type {LOCAL|UNICAST|UNREACHABLE,LOCAL|UNREACHABLE|MULTICAST|UNSPEC|ANYCAST}
-m addrtype {|! }--dst-type {LOCAL|UNICAST|UNREACHABLE,LOCAL|UNREACHABLE|MULTICAST|UNSPEC|ANYCAST}
-m addrtype --src-type UNICAST ! --dst-type LOCAL --limit-iface-in
@ 46 filter OUTPUT
-m addrtype --dst-type LOCAL --limit-iface-out
@ 4 filter INPUT
-m addrtype {|! }--dst-type {BROADCAST|THROW|BLACKHOLE,PROHIBIT|NAT|XRESOLVE|UNICAST,LOCAL,BROADCAST}
@ 46 filter INPUT
-m iprange {|! }--src-range $range
-m iprange {|! }--dst-range {$range|$host_only}
-m iprange ! --src-range $range --dst-range $range
-m mac {|! }--mac-source 00:16:3E:AA:BB:CC
-m mark {|! }--mark {0|0x1|0xffffffff|0x4000/0x4000|0x0/0xf|10/0xff}
-m connmark {|! }--mark {0|0x1|0x4000/0x4000|16/255}
-m length {|! }--length {0|40|40:1500|:100|65535}
-m dscp {|! }--dscp {0|0x2e|63}
-m dscp {|! }--dscp-class {EF|AF11|AF43|CS0|CS7|BE}
-m tos {|! }--tos {0|0x10|0x10/0x3f|Minimize-Delay|Maximize-Throughput|Normal-Service|8/0xff}
-p tcp -m ecn {|! }--ecn-tcp-cwr
-p tcp -m ecn {|! }--ecn-tcp-ece
-m ecn {|! }--ecn-ip-ect {0|1|3}
-p tcp -m ecn --ecn-tcp-cwr ! --ecn-tcp-ece --ecn-ip-ect 2
-m u32 {|! }--u32 {0x0=0x1|0x6&0xff=0x1,0x6:0x11|0x0>>0x16&0x3c@0x0>>0x18=0x0:0xff|0x2&0xffff=0x100:0xffff&&0x0<<0x2=0x1}
-m u32 {|! }--u32 "0 & 0xFFFF = 0x1 && 4 & 0x1FFF = 0"
-m string {|! }--string {foo|"GET /index.html"|"say \"hi\""|back\\slash|'|-x} --algo {bm|kmp}
-m string --string "a b" --algo bm --from 20 --to 100{| --icase}
-m string {|! }--hex-string "|0d 0a|" --algo kmp
-m string --hex-string "GET |20|/|0d0a|" --algo bm --to 1000
@ 46 filter OUTPUT
-m owner {|! }--uid-owner {0|1000|0-100|root}
-m owner {|! }--gid-owner {0|1000|5-10|root}
-m owner {|! }--socket-exists
-m owner --uid-owner 1000 ! --gid-owner 100 --suppl-groups --socket-exists
@ 46 filter FORWARD
-m physdev {|! }--physdev-in {eth0|veth+|tap0}
-m physdev {|! }--physdev-out {eth0|veth+} --physdev-is-bridged
-m physdev {|! }--physdev-is-in
-m physdev {|! }--physdev-is-bridged
-m physdev --physdev-in eth0 --physdev-is-in --physdev-is-bridged
@ 46 filter INPUT
-m pkttype {|! }--pkt-type {unicast|broadcast|multicast|host}
@ 46 raw PREROUTING
-m rpfilter
-m rpfilter {--loose|--validmark|--accept-local|--invert|--loose --validmark --accept-local --invert}
@ 46 mangle PREROUTING
-p {tcp|udp} -m socket
-m socket {--transparent|--nowildcard|--restore-skmark|--transparent --nowildcard|--nowildcard --restore-skmark}
@ 46 filter INPUT
-m statistic --mode random {|! }--probability {0.5|0|1|0.00001|0.3333333|0.99999999953}
-m statistic --mode nth {|! }--every {2|10|4294967295} --packet 1
-m statistic --mode nth ! --every 10 --packet {0|3|9}
-m limit
-m limit --limit {1/sec|5/second|3/min|10/minute|1/hour|20/day|1000/s|7/h}
-m limit --limit 5/min --limit-burst {1|10|100}
-m hashlimit --hashlimit-upto {5/min|100/sec|1/hour|10/day} --hashlimit-mode srcip --hashlimit-name h$n
-m hashlimit --hashlimit-above {5/min|100/sec} --hashlimit-burst {1|20} --hashlimit-mode {srcip,dstip|dstport|srcip,srcport,dstip,dstport} --hashlimit-name h$n
-m hashlimit --hashlimit-upto {512b/s|10kb/s|1mb/s} --hashlimit-name h$n
-m hashlimit --hashlimit-above 1mb/s --hashlimit-burst 2mb --hashlimit-mode dstip --hashlimit-name h$n
-m hashlimit --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-srcmask {8|24} --hashlimit-name h$n
-m hashlimit --hashlimit-upto 5/sec --hashlimit-mode dstip --hashlimit-dstmask {0|16} --hashlimit-name h$n
-m hashlimit --hashlimit-upto 5/sec --hashlimit-name h$n --hashlimit-htable-size 1024 --hashlimit-htable-max 4096
-m hashlimit --hashlimit-upto 5/sec --hashlimit-name h$n --hashlimit-htable-expire 5000 --hashlimit-htable-gcinterval 500
-m hashlimit --hashlimit-above 5/sec --hashlimit-name h$n --hashlimit-rate-match{| --hashlimit-rate-interval 10}
-m recent --set{| --name r$n}{| --rsource| --rdest}
-m recent {|! }--rcheck --seconds 60 --name r$n
-m recent {|! }--update --seconds 30 --hitcount {1|6} --name r$n --rsource
-m recent {|! }--remove --name r$n --mask $ones
-m recent --rcheck --seconds 60 --reap --hitcount 4 --rttl --name r$n --rdest
-m recent --update --hitcount 3 --name r$n --mask $ones
-m time --timestart {09:00|23:30:15} --timestop {17:00|23:59:59}
-m time {|! }--weekdays {Mon|Mon,Tue,Wed,Thu,Fri|6,7|Sat,Sun}
-m time {|! }--monthdays {1|1,2,3,31}
-m time --datestart 2026-01-02{|T03:04:05} --datestop 2027-06-07{|T08:09:10}
-m time --timestart 22:00 --timestop 06:00 --contiguous --kerneltz
-m time --timestart 09:00 --timestop 10:00 --weekdays Mon ! --monthdays 15 --datestart 2026-01-01 --datestop 2026-12-31T23:59:59
-m quota {|! }--quota {0|1|18446744073709551615}
-m comment --comment {plain|"two words"|"it's"|"say \"hi\""|"back\\slash"|"-j"|"!"|"# no comment"|"a,b;c:d/e"|"[1:2]"|"COMMIT"|"*filter"|"$100 & more"|"über Größe"|"tab	in"|"  blanks  "|"\\\\ \" \\\" end\\"}
-m comment --comment "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
-p tcp -m connlimit --connlimit-{above|upto} {1|20} --connlimit-mask $ones_bits
-p tcp -m tcp --dport 80 -m connlimit --connlimit-above 16 --connlimit-mask 24 --connlimit-{saddr|daddr}
-m connlimit --connlimit-above 3
-m connbytes {|! }--connbytes {10000:100000|1000|:5000} --connbytes-dir {original|reply|both} --connbytes-mode {packets|bytes|avgpkt}
-m helper {|! }--helper {ftp|irc-6667|"sip x"|any.name}
-m cpu {|! }--cpu {0|1|7}
@ 46 filter FORWARD
-m devgroup {|! }--src-group {0|0x1|0x1/0xff}
-m devgroup {|! }--dst-group {0|0x1|0x1/0xff}
-m devgroup --src-group 1 ! --dst-group 2
@ 46 filter INPUT
-m cluster --cluster-total-nodes 2 {|! }--cluster-local-node 1 --cluster-hash-seed 0xdeadbeef
-m cluster --cluster-total-nodes 4 {|! }--cluster-local-nodemask 0x5 --cluster-hash-seed 7
-m policy --dir in --pol {ipsec|none}
-m policy --dir in --pol ipsec {|! }--reqid {1|4294967295}
-m policy --dir in --pol ipsec {|! }--spi {0x1|500}
-m policy --dir in --pol ipsec {|! }--proto {esp|ah|ipcomp}
-m policy --dir in --pol ipsec {|! }--mode {tunnel|transport}
-m policy --dir in --pol ipsec --strict --proto esp --mode tunnel ! --tunnel-src $net --tunnel-dst $host
-m policy --dir in --pol ipsec --strict --reqid 1 --proto esp --next --reqid 2 ! --proto ah --next --spi 0x5
@ 46 filter FORWARD
-m policy --dir out --pol ipsec --strict --mode transport
@ 46 filter INPUT
-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"
-m bpf --bytecode "1,6 0 0 65535"
-m cgroup {|! }--cgroup {1|1048577}
-m cgroup {|! }--path /
-m connlabel {|! }--label {5|127}{| --set}
-m ipvs --ipvs
-m nfacct --nfacct-name nwc
-p tcp -m rateest --rateest nwc --rateest-gt --rateest-bps 1000
-p tcp -m tcpmss {|! }--mss {536|1:500|1460:65535}
-p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss --mss 1400:1536
@ 4 filter INPUT
-p tcp -m osf {|! }--genre {Linux|Windows} --ttl {0|1|2} --log {0|2}
-p tcp -m osf --genre "unknown"
{|! }-f
-s 10.0.0.0/8 -f
{|! }-p icmp -d 10.0.0.1/32
-p icmp -m icmp {|! }--icmp-type {any|0|3|3/4|8|8/0|echo-request|network-unreachable|5/1|13|255|40/1}
-p icmp -m icmp --icmp-type {destination-unreachable|host-unreachable|protocol-unreachable|port-unreachable|fragmentation-needed|source-route-failed|network-unknown|host-unknown|network-prohibited|host-prohibited|TOS-network-unreachable|TOS-host-unreachable|communication-prohibited|host-precedence-violation|precedence-cutoff}
-p icmp -m icmp --icmp-type {source-quench|redirect|network-redirect|host-redirect|TOS-network-redirect|TOS-host-redirect|echo-reply|pong|ping|router-advertisement|router-solicitation|time-exceeded|ttl-zero-during-transit|ttl-zero-during-reassembly|parameter-problem|ip-header-bad|required-option-missing|timestamp-request|timestamp-reply|address-mask-request|address-mask-reply}
-m ttl {|! }--ttl-eq {0|64|255}
-m ttl --ttl-{lt|gt} {1|64}
-m realm {|! }--realm {0|0x1|10/0xff}
@ 6 filter INPUT
-p ipv6-icmp -m icmp6 {|! }--icmpv6-type {1|1/4|128|129/0|echo-request|neighbour-solicitation|135|255|packet-too-big|2/1}
-p ipv6-icmp -m icmp6 --icmpv6-type {destination-unreachable|no-route|communication-prohibited|beyond-scope|address-unreachable|port-unreachable|failed-policy|reject-route|time-exceeded|ttl-exceeded|ttl-zero-during-transit|ttl-zero-during-reassembly|parameter-problem|bad-header|unknown-header-type|unknown-option|echo-reply|ping|pong|router-solicitation|router-advertisement|neighbor-solicitation|neighbour-advertisement|neighbor-advertisement|redirect}
-p {ipv6-icmp|icmpv6} -d $host
-m hl {|! }--hl-eq {0|64|255}
-m hl --hl-{lt|gt} {1|64}
-m frag {|! }--fragid {0|5|1:100}
-m frag --fragid 1:9 {--fragres|--fragfirst|--fragmore|--fraglast|--fragres --fragmore}
-m frag {--fragfirst|--fragmore|--fraglast}
-m rt {|! }--rt-type {0|2}
-m rt {|! }--rt-segsleft {1|0:5}
-m rt {|! }--rt-len {8|24}
-m rt --rt-type 0 --rt-segsleft 1:3 --rt-0-res
-m rt --rt-type 0 --rt-0-addrs fd00::1,fd00::2 --rt-0-not-strict
-m ipv6header {|! }--header {ipv6-route|ipv6-frag,ipv6-opts|hop-by-hop|none|ah,esp|protocol|dst} --soft
-m ipv6header {|! }--header {ipv6-route,ipv6-frag|hop|auth}
-p ipv6-mh -m mh {|! }--mh-type {0|5|binding-update|0:7|hoti:cot|255}
-m hbh {|! }--hbh-len {8|16}
-m hbh --hbh-opts {5|5:2,194|1,2:4,3:6}
-m dst {|! }--dst-len {8|16}
-m dst --dst-opts {5|5:2,194}
-m ah {|! }--ahspi {1|5:9}
-m ah --ahspi 500 {|! }--ahlen 24
-m ah --ahspi 500 --ahres
-m eui64
-m srh {|! }--srh-next-hdr 6
-m srh {|! }--srh-hdr-len-{eq|gt|lt} 4
-m srh {|! }--srh-segs-left-{eq|gt|lt} 2
-m srh {|! }--srh-last-entry-{eq|gt|lt} 1
-m srh {|! }--srh-tag 7
-m srh {|! }--srh-{p|n|l}sid {fd00::/64|fd00::1/128}
"""
