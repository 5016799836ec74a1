#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the outer packets look like: ECN, DSCP, TTL, DF, checksums, ports,
# counters; and how much the inner packet is padded.

. "$(dirname "$0")/lib.sh"

# watch: all outer packets at A's device, until the case ends.
watch() {
	# Checksums are to be finished before the packet reaches the wire.
	on A ethtool -K vA tx off gso off gro off > /dev/null
	on B ethtool -K vB tx off gso off gro off > /dev/null
	python3 "$TEST_DIR/sniff.py" watch "$(ns A)" vA "$WORK/cap" > "$WORK/ready" &
	wait_until 20 grep -q ready "$WORK/ready"
}
# seen EXPRESSION...: all soon hold for the packets captured, see sniff.py.
seen() {
	wait_until 5 python3 "$TEST_DIR/sniff.py" check "$WORK/cap" "$@" ||
		python3 "$TEST_DIR/sniff.py" check "$WORK/cap" "$@"
}
ping1() { on "$1" ping -q -c 1 -W 5 "${@:3}" "$2" > /dev/null; }

headers() {
	tunnel 1420 "$1"
	watch
	pings A 10.77.0.2
	pings A fd77::2
	transfer A B 10.77.0.2 --bytes 65536
	# Each direction: one index, counters from 0 on, one by one, in order.
	seen 'len(data) > 20' \
		'[x["type"] for x in p][:2] == [1, 2]' \
		'p[0]["len"] == 148 and p[1]["len"] == 92' \
		'all(x["zero"] for x in p)' \
		'all(x["csum"] for x in p)' \
		'not any(x["df"] or x["frag"] for x in p)' \
		'all(x["ttl"] == 64 and x["flow"] == 0 for x in p)' \
		'all((x["sport"], x["dport"]) == ((1001, 1002) if x["out"] else (1002, 1001)) for x in p)' \
		'all(x["tos"] == 0x88 for x in p if x["type"] in (1, 2))' \
		'all(x["len"] >= 32 for x in data)' \
		'all(len({x["index"] for x in data if x["out"] is way}) == 1 for way in (True, False))' \
		'all(d == list(range(len(d))) for d in ([x["counter"] for x in data if x["out"] is way] for way in (True, False)))'
}
t_headers4() { headers 4; }
t_headers6() { headers 6; }
test_case "O1 O2 O3 O4 O6 D1 D3 D6 IPv4 outside: ports, checksum, DF, TTL, DSCP, counters" t_headers4
test_case "O1 O2 O3 O4 O6 D1 D3 D6 IPv6 outside: ports, checksum, hop limit, DSCP, counters" t_headers6

t_ttl() {
	tunnel
	on A sysctl -qw net.ipv4.ip_default_ttl=77
	watch
	pings A 10.77.0.2
	seen 'all(x["ttl"] == 77 for x in p if x["out"]) and len(p) > 4'
}
test_case "O4 TTL is the namespace's default" t_ttl

t_ecn() {
	local dst tos want
	tunnel 1420 "$1"
	pings A 10.77.0.2
	pings A fd77::2
	watch
	for dst in 10.77.0.2 fd77::2; do
		for tos in 0x00 0x01 0x02 0x03 0xb8 0xb9 0xba 0xbb; do
			ping1 A "$dst" -Q "$tos" -s "$((tos * 5))"
		done
	done
	# CE inside becomes ECT(0) outside; DSCP stays inside.
	want='[0, 1, 2, 2, 0, 1, 2, 2] * 2'
	seen "[x['tos'] for x in data if x['out']][:16] == $want"
}
t_ecn4() { t_ecn 4; }
t_ecn6() { t_ecn 6; }
test_case "E1 X11 ECN is carried outside, DSCP is not, IPv4 outside" t_ecn4
test_case "E1 X11 ECN is carried outside, DSCP is not, IPv6 outside" t_ecn6

# padded [ADDRESS PAYLOAD LENGTH]...: pings of that payload make messages of LENGTH.
padded() {
	local want=()
	while (($#)); do
		ping1 A "$1" -s "$2" -M dont
		want+=("$3")
		shift 3
	done
	# But for a keepalive, which a slow machine is in time for.
	seen "[x['len'] for x in data if x['out'] and x['len'] > 32] == [$(IFS=, && echo "${want[*]}")]"
}
t_padding() {
	tunnel
	pings A 10.77.0.2
	watch
	padded 10.77.0.2 56 128 10.77.0.2 4 64 10.77.0.2 5 80 \
		10.77.0.2 1391 1452 10.77.0.2 1392 1452 10.77.0.2 1380 1440 \
		fd77::2 0 80 fd77::2 1372 1452
}
test_case "D2 padding to 16 bytes, never beyond the mtu" t_padding

t_padding_route() {
	tunnel
	pings A 10.77.0.2
	watch
	on A ip route add 10.77.0.2/32 dev wg0 mtu 1299
	on A ip -6 route add fd77::2/128 dev wg0 mtu 1291
	padded 10.77.0.2 1269 1331 10.77.0.2 1271 1331 10.77.0.2 56 128 10.77.0.2 1260 1328 \
		fd77::2 1243 1323 fd77::2 1235 1323
	seen "[x['total'] for x in data if x['len'] > 32][0] == 1359"
}
test_case "D2 R8 X6 padding keeps within the mtu of the route" t_padding_route

t_padding_mtu() {
	tunnel
	on A ip link set wg0 mtu 1277
	on B ip link set wg0 mtu 1277
	pings A 10.77.0.2
	watch
	padded 10.77.0.2 1249 1309 10.77.0.2 1245 1309 10.77.0.2 1237 1309 10.77.0.2 1236 1296
}
test_case "D2 padding with an odd mtu of the device" t_padding_mtu

t_keepalive() {
	tunnel
	pings A 10.77.0.2
	watch
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 100
	seen 'data[-1]["len"] == 32 and data[-1]["tos"] == 0 and data[-1]["out"]'
}
test_case "D5 V8 O6 a keepalive is an empty message of 32 bytes" t_keepalive

t_big_segments() {
	tunnel
	pings A 10.77.0.2
	watch
	transfer A B 10.77.0.2 --bytes 262144
	seen 'max(x["len"] for x in data) == 1452 and max(x["total"] for x in p) == 1480'
}
test_case "X7 D2 bulk data leaves in messages of the device's mtu" t_big_segments

run_tests
