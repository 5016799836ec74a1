#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is below refuses UDP GSO packets, or all packets.

. "$(dirname "$0")/lib.sh"

# counter NS NAME: of ethtool -S.
counter() { on "$1" ethtool -S wg0 | awk -v name="$2:" '$1 == name { print $2 }'; }

# bulk [BYTES]: TCP from A to B. Minutes are no failure: what is refused is sent again ever later.
bulk() { TEST_SLOWNESS=5 transfer A B 10.77.0.2 --bytes "${1:-4194304}"; }

# given_up: A has stopped to send trains, and data passes.
given_up() {
	local before
	bulk
	diag "messages refused: $(counter A tx_refused), trains sent: $(counter A tx_trains)"
	at_least "$(counter A tx_fall_backs)" 1 "times that trains were given up"
	before=$(counter A tx_trains)
	bulk 1048576
	equal "$(counter A tx_trains)" "$before" "trains sent since then"
}

t_filter() {
	ours || skip "no trains"
	need nft
	tunnel
	pings A 10.77.0.2
	bulk 1048576
	equal "$(counter A tx_refused)" 0 "messages refused before"
	on A nft -f - <<- 'EOF'
		table inet t {
			chain c {
				type filter hook output priority 0
				udp dport 1002 meta length > 1500 drop
			}
		}
	EOF
	given_up
	# Packets that come singly leave singly as well.
	on A ping -q -f -c 300 10.77.0.2 > /dev/null
}
test_case "S6 trains that a filter drops for their length: single messages instead" t_filter 240

t_policer() {
	ours || skip "no trains"
	tunnel 1420 6
	on A tc qdisc add dev vA clsact || skip "no clsact"
	on A tc filter add dev vA egress matchall action police rate 1gbit burst 2500 drop ||
		skip "no policer"
	pings A fd77::2
	given_up
}
test_case "S6 trains larger than the bucket of a policer: single messages instead" t_policer 240

t_all_refused() {
	ours || skip "no trains"
	need nft
	tunnel
	pings A 10.77.0.2
	bulk 1048576
	on A nft -f - <<- 'EOF'
		table inet t {
			chain c {
				type filter hook output priority 0
				udp dport 1002 drop
			}
		}
	EOF
	# UDP does not care, and sends full size trains by GSO.
	on A python3 - <<- 'PY'
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.IPPROTO_UDP, 103, 1300)  # UDP_SEGMENT
		s.connect(("10.77.0.2", 9))
		for _ in range(100):
		    try:
		        s.send(bytes(1300 * 20))
		    except ConnectionRefusedError:
		        pass
	PY
	at_least "$(counter A tx_refused)" 1000 "messages refused"
	equal "$(counter A tx_fall_backs)" 0 "times that trains were given up"
	on A nft flush ruleset
	bulk
	at_least "$(counter A tx_trains)" 100 "trains"
	equal "$(counter A tx_fall_backs)" 0 "times that trains were given up after it"
}
test_case "S6 trains are not blamed for a filter that drops everything" t_all_refused 240

# whole OUTER: over this version of IP.
whole() {
	local gso trains
	ours || skip "no trains"
	tunnel 1420 "$1"
	pings A 10.77.0.2
	transfer A B 10.77.0.2 --bytes 33554432 --one-way
	gso=$(counter A tx_gso) trains=$(counter A tx_trains)
	diag "GSO packets: $gso, trains: $trains"
	at_least "$gso" 200 "GSO packets from TCP"
	# The first ones may be larger.
	at_least "$((gso * 21 / 20 + 8))" "$trains" "trains at most, and there are more:"
}
t_whole_4() { whole 4; }
t_whole_6() { whole 6; }
test_case "S6 TCP makes packets that are one train each, IPv4 outside" t_whole_4 240
test_case "S6 TCP makes packets that are one train each, IPv6 outside" t_whole_6 240

run_tests
