#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Endpoints: roaming, the remembered source address, routes that change, marks,
# keepalives, NAT.

. "$(dirname "$0")/lib.sh"

endpoint_is() { [[ $(peer_field "$1" wg0 "$2" 3) == "$3" ]]; }
# expect_endpoint NS PUBKEY ENDPOINT
expect_endpoint() { wait_until 5 endpoint_is "$@" || fail "endpoint is $(peer_field "$1" wg0 "$2" 3), expected $3"; }
answered() { on "$1" ping -q -c 1 -W 1 "$2" > /dev/null 2>&1; }

t_port() {
	tunnel
	pings A 10.77.0.2
	expect_endpoint B "$A_PUB" 192.0.2.1:1001
	on A wg set wg0 listen-port 1003
	pings A 10.77.0.2
	expect_endpoint B "$A_PUB" 192.0.2.1:1003
	pings B 10.77.0.1
}
test_case "E2 E6 N9 roaming to another port" t_port

t_address4() {
	tunnel
	pings A 10.77.0.2
	on A ip addr add 192.0.2.11/24 dev vA
	on A ip addr del 192.0.2.1/24 dev vA
	on A ip addr replace 192.0.2.11/24 dev vA
	pings A 10.77.0.2
	expect_endpoint B "$A_PUB" 192.0.2.11:1001
	pings B 10.77.0.1
}
test_case "E2 E4 E6 roaming to another IPv4 address" t_address4

t_address6() {
	tunnel 1420 6
	pings A fd77::2
	expect_endpoint B "$A_PUB" "[2001:db8::1]:1001"
	on A ip addr add 2001:db8::11/64 dev vA nodad
	on A ip addr del 2001:db8::1/64 dev vA
	pings A fd77::2
	expect_endpoint B "$A_PUB" "[2001:db8::11]:1001"
	pings B 10.77.0.1
}
test_case "E2 E4 E6 roaming to another IPv6 address" t_address6

t_family() {
	tunnel
	pings A 10.77.0.2
	on A wg set wg0 peer "$B_PUB" endpoint "[2001:db8::2]:1002"
	pings A 10.77.0.2
	expect_endpoint B "$A_PUB" "[2001:db8::1]:1001"
	on A wg set wg0 peer "$B_PUB" endpoint 192.0.2.2:1002
	pings A fd77::2
	expect_endpoint B "$A_PUB" 192.0.2.1:1001
}
test_case "E2 E3 roaming between IPv4 and IPv6" t_family

t_sticky4() {
	tunnel
	on B ip addr add 192.0.2.22/24 dev vB
	on A wg set wg0 peer "$B_PUB" endpoint 192.0.2.22:1002
	pings A 10.77.0.2
	pings B 10.77.0.1
	# B answers from the address it was reached at.
	expect_endpoint A "$B_PUB" 192.0.2.22:1002
	# That address goes: another one is taken, and A follows.
	on B ip addr del 192.0.2.22/24 dev vB
	pings B 10.77.0.1
	expect_endpoint A "$B_PUB" 192.0.2.2:1002
	pings A 10.77.0.2
}
test_case "E3 E4 sticky IPv4 source, forgotten when the address is removed" t_sticky4

t_sticky6() {
	tunnel 1420 6
	on B ip addr add 2001:db8::22/64 dev vB nodad
	on A wg set wg0 peer "$B_PUB" endpoint "[2001:db8::22]:1002"
	pings A fd77::2
	pings B fd77::1
	expect_endpoint A "$B_PUB" "[2001:db8::22]:1002"
	on B ip addr del 2001:db8::22/64 dev vB
	pings B fd77::1
	expect_endpoint A "$B_PUB" "[2001:db8::2]:1002"
}
test_case "E3 E4 sticky IPv6 source, forgotten when the address is removed" t_sticky6

# second_link: another veth pair between A and B, 198.51.100.{1,2} and 2001:db8:1::{1,2}.
second_link() {
	ip link add wA netns "$(ns A)" type veth peer name wB netns "$(ns B)"
	on A ip addr add 198.51.100.1/24 dev wA
	on B ip addr add 198.51.100.2/24 dev wB
	on A ip addr add 2001:db8:1::1/64 dev wA nodad
	on B ip addr add 2001:db8:1::2/64 dev wB nodad
	on A ip link set wA up
	on B ip link set wB up
	wait_until 10 answered A 2001:db8:1::2
}

t_better_route() {
	tunnel
	second_link
	pings A 10.77.0.2
	expect_endpoint A "$B_PUB" 192.0.2.2:1002
	# B gets a better way to A by another device: the source belongs to the old one.
	on B ip route add 192.0.2.1/32 via 198.51.100.1 dev wB
	pings B 10.77.0.1
	expect_endpoint A "$B_PUB" 198.51.100.2:1002
	pings A 10.77.0.2
}
test_case "E4 a better route by another device: the source is forgotten" t_better_route

t_route_lost() {
	tunnel
	second_link
	pings A 10.77.0.2
	on B ip link set vB down
	on B ip route add 192.0.2.1/32 via 198.51.100.1 dev wB
	wait_until 10 answered B 10.77.0.1
	expect_endpoint A "$B_PUB" 198.51.100.2:1002
}
test_case "E4 the outer device goes down, another route takes over" t_route_lost

t_no_route() {
	tunnel
	pings A 10.77.0.2
	on A ip route del 192.0.2.0/24 dev vA
	refute answered A 10.77.0.2
	on A ip route add 192.0.2.0/24 dev vA src 192.0.2.1
	wait_until 10 answered A 10.77.0.2
	equal "$(link_stat A wg0 tx_errors)" 0 tx_errors
}
test_case "E4 S7 without a route packets are lost, with it they flow again" t_no_route

t_link_local() {
	local a b
	tunnel
	a=$(on A ip -6 -o addr show dev vA scope link | grep -o 'fe80[^/]*')
	b=$(on B ip -6 -o addr show dev vB scope link | grep -o 'fe80[^/]*')
	on A wg set wg0 peer "$B_PUB" endpoint "[$b%vA]:1002"
	wait_until 10 answered A 10.77.0.2
	expect_endpoint B "$A_PUB" "[$a%vB]:1001"
	pings B 10.77.0.1
	transfer A B fd77::2 --bytes 131072
}
test_case "E3 O4 link-local endpoints with their scope" t_link_local

t_fwmark() {
	tunnel
	on B ip addr add 203.0.113.2/32 dev lo
	on A ip route add unreachable 203.0.113.2/32
	on A ip rule add fwmark 7 table 7
	on A ip route add 203.0.113.2/32 via 192.0.2.2 table 7
	on A wg set wg0 peer "$B_PUB" endpoint 203.0.113.2:1002
	refute answered A 10.77.0.2
	on A wg set wg0 fwmark 7
	on A ip link set wg0 down
	on A ip link set wg0 up
	pings A 10.77.0.2
	expect_endpoint A "$B_PUB" 203.0.113.2:1002
	# The mark is taken off: the cached route must not be used any more.
	on A wg set wg0 fwmark 0
	refute answered A 10.77.0.2
	on A wg set wg0 fwmark 7
	wait_until 5 answered A 10.77.0.2
}
test_case "O5 N8 fwmark routes handshakes and data, a change counts at once" t_fwmark

t_fwmark_counted() {
	need nft
	tunnel
	on A wg set wg0 fwmark 0x55
	on A nft -f - <<- 'RULES' || skip "no nft"
		table inet t {
			chain out {
				type filter hook output priority 0;
				udp sport 1001 meta mark 0x55 counter comment "marked"
				udp sport 1001 meta mark != 0x55 counter comment "unmarked"
			}
		}
	RULES
	# Two that wait for a session would leave as one.
	on A ping -q -c 1 -W 10 10.77.0.2
	pings A 10.77.0.2
	pings B 10.77.0.1
	on A nft list ruleset > "$WORK/rules"
	matches "$(grep '"marked"' "$WORK/rules")" "packets [7-9]|packets 1[0-9]" marked
	matches "$(grep '"unmarked"' "$WORK/rules")" "packets 0 " unmarked
}
test_case "O5 V12 every outer packet bears the mark, netfilter sees each" t_fwmark_counted

t_keepalive_up() {
	tunnel
	on A ip link set wg0 down
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 600
	equal "$(peer_field B wg0 "$A_PUB" 5)" 0 "handshake before"
	on A ip link set wg0 up
	wait_until 5 has_handshake A wg0 "$B_PUB"
	wait_until 5 has_handshake B wg0 "$A_PUB"
	equal "$(link_stat B wg0 rx_bytes)" 180 "initiation and keepalive"
}
test_case "R13 H12 persistent keepalive is sent on up" t_keepalive_up

t_keepalive_key() {
	tunnel
	on A ip link set wg0 down
	on A wg set wg0 private-key /dev/null
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 600
	on A ip link set wg0 up
	refute wait_until 1 has_handshake A wg0 "$B_PUB"
	on A wg set wg0 private-key "$(key_file "$A_KEY")"
	wait_until 5 has_handshake A wg0 "$B_PUB"
}
test_case "N11 R13 keepalive waits for the private key" t_keepalive_key

t_keepalive_set() {
	tunnel
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 600
	wait_until 5 has_handshake A wg0 "$B_PUB"
}
test_case "N15 a keepalive interval set while up sends one at once" t_keepalive_set

t_keepalive_interval() {
	local before after began most
	tunnel
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 1
	wait_until 5 has_handshake B wg0 "$A_PUB"
	began=$(now_ms)
	before=$(link_stat B wg0 rx_packets)
	sleep 5
	after=$(link_stat B wg0 rx_packets)
	# To look takes time as well.
	most=$((($(now_ms) - began) / 1000 + 1))
	at_least "$((after - before))" 4 "keepalives in 5 s"
	at_least "$most" "$((after - before))" "most keepalives in that time"
	on A wg set wg0 peer "$B_PUB" persistent-keepalive off
	sleep 1.2
	before=$(link_stat B wg0 rx_packets)
	sleep 2.5
	equal "$(link_stat B wg0 rx_packets)" "$before" "packets with keepalive off"
}
test_case "T2 V8 persistent keepalive each interval, none when off" t_keepalive_interval

t_keepalive_outage() {
	local before
	tunnel
	pings A 10.77.0.2
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 1
	sleep 1.5
	# Sessions live on, but for some seconds nothing can leave.
	on A ip link set vA down
	sleep 4
	on A ip link set vA up
	before=$(link_stat B wg0 rx_packets)
	# Without anybody sending.
	more() { (($(link_stat B wg0 rx_packets) >= before + 3)); }
	wait_until 10 more
}
test_case "T2 persistent keepalives outlive a network that is away" t_keepalive_outage

# nat: A - R - B, R hides A behind its own address, by connections of 2 s.
nat() {
	ns_add R
	ip -n "$(ns A)" link set vA netns "$(ns R)"
	on R ip addr add 192.0.2.1/24 dev vA
	on R ip link set vA up
	ip link add iA netns "$(ns A)" type veth peer name iR netns "$(ns R)"
	on A ip addr add 10.5.0.2/24 dev iA
	on R ip addr add 10.5.0.1/24 dev iR
	on A ip link set iA up
	on R ip link set iR up
	on A ip route add default via 10.5.0.1
	on R sysctl -qw net.ipv4.ip_forward=1
	on R nft -f - <<- 'RULES' || skip "no nft NAT"
		table ip nat {
			chain post {
				type nat hook postrouting priority 100;
				oifname "vA" masquerade
			}
		}
	RULES
	on R sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1 net.netfilter.nf_conntrack_udp_timeout_stream=2
}

t_nat() {
	need nft
	tunnel
	nat
	on B wg set wg0 peer "$A_PUB" endpoint 192.0.2.77:9
	pings A 10.77.0.2
	expect_endpoint B "$A_PUB" 192.0.2.1:1001
	transfer A B 10.77.0.2 --bytes 262144
	# With keepalives B can speak first, long after the connection's timeout.
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 1
	sleep 4
	pings B 10.77.0.1 1
	# Without, the mapping is gone.
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 0
	sleep 4
	refute answered B 10.77.0.1
	# A speaks again and B answers.
	pings A 10.77.0.2 1
	pings B 10.77.0.1 1
}
test_case "E2 V12 NAT: roaming to the mapping, kept open by keepalives" t_nat 90

t_icmp_nat() {
	need nft
	ns_add A C
	ip link add c0 netns "$(ns C)" type veth peer name a0 netns "$(ns A)"
	on C ip addr add 10.6.0.2/24 dev c0
	on A ip addr add 10.6.0.1/24 dev a0
	on C ip link set c0 up
	on A ip link set a0 up
	on C ip route add default via 10.6.0.1
	on A sysctl -qw net.ipv4.ip_forward=1
	on A ip link add wg0 type wireguard
	on A ip addr add 10.77.0.1/24 dev wg0
	on A ip link set wg0 up
	on A nft -f - <<- 'RULES' || skip "no nft NAT"
		table ip nat {
			chain post {
				type nat hook postrouting priority 100;
				oifname "wg0" masquerade
			}
		}
	RULES
	matches "$(on C ping -c 2 -i 0.2 -W 2 10.77.0.9 || true)" "Host Unreachable" "without NAT undone it would not arrive"
}
test_case "X4 ICMP answers go to the address before NAT" t_icmp_nat

run_tests
