#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What becomes of a packet between the socket it is from and the wire, as the
# kernel sees it: who owns it, its hash and marks, its route; full queues,
# tunnels in tunnels. Some cases read kernel structures by function probes.

. "$(dirname "$0")/lib.sh"

probe() { python3 "$TEST_DIR/probe.py" "$1" "$(ns "$2")" "${@:3}"; }
# hold: no outer packet leaves A's device any more.
hold() { on A tc qdisc replace dev vA root plug limit 100000000 || skip "no plug qdisc"; }

t_owner() {
	local out
	tunnel
	pings A 10.77.0.2
	hold
	out=$(probe outq A 10.77.0.2 8 1000 tc -n "$(ns A)" qdisc del dev vA root)
	diag "bytes of the socket in flight: while held, after: $out"
	at_least "${out% *}" 8000 "held"
	equal "${out#* }" 0 "after"
}
test_case "X12 packets belong to their socket until they have left" t_owner

# Each kind of packet that a tunnel makes: one message, a train of one socket's datagrams.
t_delivery_time() {
	local count out before
	tunnel
	pings A 10.77.0.2
	on A tc qdisc replace dev vA root fq || skip "no fq qdisc"
	before=$(dmesg | grep -c 'fq: likely mono' || true)
	for count in 1 8; do
		out=$(probe timed A "$(ns B)" 10.77.0.2 1000 "$count" 400)
		diag "$count datagrams, to leave after 400 ms, came after: $out ms"
		at_least "${out% *}" 399 "the first of $count"
	done
	# Small ones that wait for a session together, but not for each other.
	on A ip link set wg0 down
	on A ip link set wg0 up
	out=$(probe timed A "$(ns B)" 10.77.0.2 64 8 1000 100)
	diag "8 datagrams, to leave after 1,000 ms and from then on every 100 ms, came after: $out ms"
	at_least "${out% *}" 999 "the first of 8"
	at_least "${out#* }" 1699 "the last of 8"
	# TCP has a time for each of its packets.
	transfer A B 10.77.0.2 --bytes 262144
	equal "$(dmesg | grep -c 'fq: likely mono' || true)" "$before" "times of an unknown kind that fq has met"
}
test_case "X12 packets keep the time at which they are to leave" t_delivery_time

# Alone, in a train, in two, and among many small ones that leave together otherwise.
t_stamps() {
	local how
	tunnel
	pings A 10.77.0.2
	hold_port B 10.77.0.2 5000
	for how in "1000 1 1" "1200 8 1" "1200 52 1" "64 1 1000"; do
		# shellcheck disable=SC2086
		equal "$(probe stamped A 10.77.0.2 $how)" "${how##* }" "times that it was told (size, segments, count: $how)"
	done
	kill "$HOLDER"
}
test_case "X12 who wants to know when a packet has left is told" t_stamps

# A packet of two trains: the socket pays for both, and has nothing left to pay at the end.
t_owner_trains() {
	local out
	tunnel
	pings A 10.77.0.2
	hold_port B 10.77.0.2 9
	hold
	out=$(probe outq A 10.77.0.2 1 1200x52 tc -n "$(ns A)" qdisc del dev vA root)
	diag "bytes of the socket in flight: while held, after: $out"
	at_least "${out% *}" 62400 "held"
	equal "${out#* }" 0 "after"
	kill "$HOLDER"
}
test_case "X12 all trains of a packet belong to its socket" t_owner_trains

# The filter of a qdisc sends a copy into the tunnel, which leads to that very qdisc, whose lock is held.
t_mirrored() {
	local before
	tunnel
	pings A 10.77.0.2
	on A wg set wg0 peer "$B_PUB" allowed-ips 10.77.0.2/32,192.0.2.2/32
	on A tc qdisc add dev vA root handle 1: prio || skip "no prio qdisc"
	on A tc filter add dev vA parent 1: protocol ip prio 1 u32 match ip protocol 1 0xff \
		action mirred egress mirror dev wg0 || skip "no mirred"
	before=$(link_stat A wg0 tx_packets)
	pings A 192.0.2.2
	wait_until 5 eval "(( \$(link_stat A wg0 tx_packets) >= $before + 3 ))"
}
test_case "R20 packets that a filter below sends into the tunnel" t_mirrored

t_slowed_down() {
	local count
	tunnel
	pings A 10.77.0.2
	hold
	count=$(probe blocked A 10.77.0.2)
	diag "$count of 500 packets before the socket was full"
	at_least "$count" 1
	at_least 100 "$count" "packets that a small buffer allows"
}
test_case "X12 a sender is stopped by its own send buffer" t_slowed_down

t_owner_tcp() {
	local t=0 i
	need socat
	tunnel
	pings A 10.77.0.2
	on B socat -u TCP-LISTEN:5000,reuseaddr /dev/null &
	wait_until 10 eval 'on B ss -tln | grep -q :5000'
	on A socat -u /dev/zero TCP:10.77.0.2:5000 &
	wait_until 10 eval 'on A ss -tn | grep -q ESTAB'
	hold
	for ((i = 0; i < 50; i++)); do
		t=$(on A ss -tmn dst 10.77.0.2 | sed -n 's/.*skmem:([^)]*,t\([0-9]*\),.*/\1/p' | head -n 1)
		((${t:-0} == 0)) || break
		sleep 0.1
	done
	diag "bytes of the TCP socket in flight: $t"
	at_least "${t:-0}" 1000 "in flight"
}
test_case "X12 TCP knows what of it is still on the way" t_owner_tcp

t_orphaned() {
	local out
	underlay
	keys A B
	on A ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$A_KEY")" peer "$B_PUB" endpoint 192.0.2.2:9 allowed-ips 10.77.0.0/24
	on A ip addr add 10.77.0.1/24 dev wg0
	on A ip link set wg0 up
	out=$(probe outq A 10.77.0.2 8 1000 true)
	equal "$out" "0 0" "bytes of the socket while packets wait for a handshake"
	equal "$(link_stat A wg0 tx_dropped)" 0 tx_dropped
}
test_case "X12 X9 packets that wait for a handshake belong to no socket" t_orphaned

t_hash() {
	tunnel
	pings A 10.77.0.2
	hold_port B 10.77.0.2 9
	kernel_event sent dev_hard_start_xmit 'dev=dev->name:string' 'len=first->len' 'hash=first->hash:u32' \
		'mark=first->mark:u32' 'prio=first->priority:u32'
	# Two flows, marked, each known by the size of its packets.
	probe flow A 10.77.0.2 700 4 99 6
	probe flow A 10.77.0.2 900 4 98 5
	all_sent() { (($(kernel_events sent | grep -c 'dev="vA"') >= 8)); }
	wait_until 5 all_sent
	kernel_events sent > "$WORK/sent"
	python3 - "$WORK/sent" <<- 'PY'
		import re, sys
		rows = [re.search(r'dev="(\w+)" len=(\d+) hash=(\d+) mark=(\d+) prio=(\d+)', line) for line in open(sys.argv[1])]
		rows = [(r[1], *map(int, r.groups()[1:])) for r in rows if r]
		outer = {}
		for size in (700, 900):
		    inner = [r for r in rows if r[0] == "wg0" and r[1] == size + 28]
		    # IPv4, UDP, header and tag of the message, padding; and perhaps Ethernet.
		    length = (size + 28 + 15) // 16 * 16 + 60
		    outer[size] = [r for r in rows if r[0] == "vA" and r[1] in (length, length + 14)]
		    print("#", size, inner[:1], outer[size][:2])
		    assert len(inner) == 4 and len(outer[size]) == 4, rows
		    assert all(r[3] and r[4] for r in inner), "the inner packets bear mark and priority"
		    assert all(r[3:] == (0, 0) for r in outer[size]), "the outer ones do not"
		    assert len({r[2] for r in outer[size]}) == 1 and outer[size][0][2], "one hash for a flow"
		assert outer[700][0][2] != outer[900][0][2], "another for another flow"
	PY
}
test_case "X13 X11 the hash of the inner flow is kept, mark and priority are not" t_hash

# counted NAME: packets of a named nft counter of B.
counted() { on B nft list counter inet t "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
t_inward() {
	local messages packets
	need nft
	tunnel
	pings A 10.77.0.2
	on B nft -f - <<- 'EOF'
		table inet t {
			counter clean { }
			counter marked { }
			counter bulk { }
			chain c {
				type filter hook prerouting priority 0
				iifname "vB" udp dport 1002 meta mark set 5
				iifname "wg0" meta mark 0 counter name clean
				iifname "wg0" meta mark != 0 counter name marked
				iifname "wg0" meta l4proto tcp counter name bulk
			}
		}
	EOF
	pings A 10.77.0.2
	equal "$(counted marked)" 0 "inner packets with the mark of the outer one"
	equal "$(counted clean)" 3 "inner packets without"
	messages=$(link_stat B wg0 rx_packets)
	transfer A B 10.77.0.2 --bytes 4194304
	messages=$(($(link_stat B wg0 rx_packets) - messages)) packets=$(counted bulk)
	diag "TCP: $messages messages, $packets packets for the stack"
	# Where all takes long, fewer come together: 1.5 in one run, a little less in the next.
	((TEST_SLOWNESS > 1)) && packets=$((packets * 5 / 6))
	at_least "$messages" "$((packets * 3 / 2))" "messages, if they are put together"
}
test_case "V11 inner packets come without the outer mark, put together by GRO" t_inward

t_sockets() {
	local out
	tunnel
	out=$(on A ss -uanm)
	# The limit for sending is as large as it gets, for both families.
	equal "$(grep -A1 ':1001 ' <<< "$out" | grep -c 'tb2147483647')" 2 "sockets without a limit for sending"
}
test_case "O7 the sockets have no limit for sending" t_sockets

t_socket_error() {
	tunnel
	pings A 10.77.0.2
	on B ss -Kuan "sport = :1002" > "$WORK/killed" 2>&1 || skip "no ss -K"
	grep -q :1002 "$WORK/killed" || skip "the kernel ends no sockets (INET_DIAG_DESTROY)"
	# Only one: a second one would take the first along.
	on A ping -q -c 1 -W 3 10.77.0.2
	pings A 10.77.0.2
}
test_case "O3 an error of the socket holds up no message" t_socket_error

t_routes() {
	local cpus lookups
	cpus=$(nproc)
	tunnel
	pings A 10.77.0.2 20
	kernel_event route ip_route_output_flow 'to=flp4->daddr:x32'
	pings A 10.77.0.2 200
	# 192.0.2.2, as it lies in memory.
	lookups=$(kernel_events route | grep -c 'to=0x20200c0' || true)
	diag "$lookups lookups of the outer route for 200 packets"
	at_least "$((2 * cpus))" "$lookups" "lookups, one for each CPU and direction of work"
	# A new mark needs a new route.
	on A wg set wg0 fwmark 7
	pings A 10.77.0.2 20
	at_least "$(kernel_events route | grep -c 'to=0x20200c0')" "$((lookups + 1))" "lookups after a new mark"
}
test_case "O8 the outer route is looked up once, not for each packet" t_routes

# from_second: B reaches A at its second address, so that A's source is that one.
from_second() {
	on B wg set wg0 peer "$A_PUB" endpoint 192.0.2.11:"${1:-1001}"
	pings B 10.77.0.1
	wait_until 5 endpoint_is "192.0.2.11:${1:-1001}"
	pings A 10.77.0.2
	endpoint_is "192.0.2.11:${1:-1001}"
}
endpoint_is() { [[ $(peer_field B wg0 "$A_PUB" 3) == "$1" ]]; }

t_forget() {
	tunnel
	on A ip addr add 192.0.2.11/24 dev vA
	pings A 10.77.0.2
	from_second
	on A wg set wg0 fwmark 7
	pings A 10.77.0.2
	wait_until 5 endpoint_is 192.0.2.1:1001
	from_second
	on A wg set wg0 peer "$B_PUB" endpoint 192.0.2.2:1002
	pings A 10.77.0.2
	wait_until 5 endpoint_is 192.0.2.1:1001
	from_second
	on A wg set wg0 listen-port 1003
	pings A 10.77.0.2
	wait_until 5 endpoint_is 192.0.2.1:1003
	from_second 1003
	# What is set to what it was changes nothing.
	on A wg set wg0 listen-port 1003
	pings A 10.77.0.2
	endpoint_is 192.0.2.11:1003
}
test_case "E5 the source is forgotten with a new mark, endpoint or port" t_forget

# Somebody's sockets that nobody reads are not to close the tunnel.
t_udp_mem() {
	tunnel
	pings A 10.77.0.2
	python3 - "$(ns A)" > "$WORK/full" <<- 'END' &
		import socket, sys, time
		import netns
		kept = [netns.sock(sys.argv[1], socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
		for one in kept:
		    one.bind(("127.0.0.1", 0))
		    one.connect(one.getsockname())
		    for _ in range(100):
		        one.send(bytes(1000))
		print("full", flush=True)
		time.sleep(60)
	END
	wait_until 20 grep -q full "$WORK/full"
	# That is the machine's, see forget_all.
	sysctl -n net.ipv4.udp_mem > "$WORK/udp_mem"
	sysctl -qw net.ipv4.udp_mem='1 1 1'
	on A ip link set wg0 down
	on A ip link set wg0 up
	pings A 10.77.0.2
	transfer A B 10.77.0.2 --bytes 262144
}
test_case "O3 other sockets that use up the memory for UDP do not matter" t_udp_mem

# watch FILE: A's outer packets, until the case ends.
watch() {
	python3 "$TEST_DIR/sniff.py" watch "$(ns A)" vA "$WORK/$1" > "$WORK/$1.ready" &
	wait_until 20 grep -q ready "$WORK/$1.ready"
}
# source_of FILE TYPE INDEX ADDRESS: that message of A is from there.
source_of() {
	python3 "$TEST_DIR/sniff.py" check "$WORK/$1" \
		"[x['src'] for x in p if x['out'] and x['type'] == $2][$3] == '$4'"
}
t_forget_silence() {
	tunnel
	on A ip addr add 192.0.2.11/24 dev vA
	pings A 10.77.0.2
	from_second
	# A retry: the first initiation still has the source.
	watch retry
	on B ip link set wg0 down
	on A ip link set wg0 down
	on A ip link set wg0 up
	refute on A ping -q -c 1 -W 1 10.77.0.2 > /dev/null
	wait_until 5 source_of retry 1 0 192.0.2.11
	wait_until 10 source_of retry 1 1 192.0.2.1
	# Silence: data unanswered for 15 s.
	on B ip link set wg0 up
	wait_until 20 eval 'on A ping -q -c 1 -W 1 10.77.0.2'
	from_second
	watch silence
	on B ip link set wg0 down
	refute on A ping -q -c 1 -W 1 10.77.0.2 > /dev/null
	wait_until 5 source_of silence 4 0 192.0.2.11
	wait_until 20 source_of silence 1 0 192.0.2.1
}
test_case "E5 T1 T2 the source is forgotten with a retry, and after 15 s of silence" t_forget_silence 120

t_overflow() {
	local sent=0 packets dropped n
	# of_a COUNTER: from ethtool.
	of_a() { on A ethtool -S wg0 | sed -n "s/.*$1: //p"; }
	tunnel
	pings A 10.77.0.2
	hold_port B 10.77.0.2 9
	packets=$(link_stat A wg0 tx_packets)
	if ours; then packets=$((packets - $(of_a tx_keepalive))); fi
	# Two senders, so that one adds while the other's packets are encrypted.
	probe burst A 10.77.0.2 4 > "$WORK/one" &
	probe burst A 10.77.0.2 4 > "$WORK/two" &
	both_done() { [[ -s $WORK/one && -s $WORK/two ]]; }
	wait_until 40 both_done
	for n in one two; do sent=$((sent + $(cat "$WORK/$n"))); done
	# What was queued goes out; then the sum is right.
	quiet() {
		local before
		before=$(link_stat A wg0 tx_packets)
		sleep 0.5
		[[ $(link_stat A wg0 tx_packets) == "$before" ]]
	}
	wait_until 30 quiet
	packets=$(($(link_stat A wg0 tx_packets) - packets))
	dropped=$(link_stat A wg0 tx_dropped)
	diag "$sent packets: $packets sent, $dropped dropped"
	if ours; then
		# B has answered a ping, so where all this takes long there is a keepalive.
		packets=$((packets - $(of_a tx_keepalive)))
		equal "$((packets + dropped))" "$sent" "each is sent or counted as dropped"
		# A debug kernel takes longer to make packets than to send them.
		((TEST_SLOWNESS > 1)) || at_least "$dropped" 1 dropped
		equal "$(of_a tx_drop_staged)" "$dropped" "ethtool's count"
		# In order: nothing fell out of B's window.
		equal "$(on B ethtool -S wg0 | sed -n 's/.*rx_drop_replay: //p')" 0 "replays at B"
	else
		# Full rings drop without a word.
		at_least "$sent" "$packets" "sent"
	fi
	equal "$(link_stat A wg0 tx_errors)" 0 tx_errors
	pings A 10.77.0.2
	pings B 10.77.0.1
}
test_case "X10 S7 D6 a queue that is full drops packets; the session goes on" t_overflow 90

# nested N: a tunnel wgN in both namespaces whose endpoints are inside of wgN-1.
nested() {
	local n=$1 a=10.77.$(($1 - 1)).1 b=10.77.$(($1 - 1)).2
	keys A B
	on A ip link add "wg$n" mtu $((1420 - 80 * n)) type wireguard
	on B ip link add "wg$n" mtu $((1420 - 80 * n)) type wireguard
	on A wg set "wg$n" private-key "$(key_file "$A_KEY")" listen-port "$((2000 + n))" \
		peer "$B_PUB" endpoint "$b:$((3000 + n))" allowed-ips "10.77.$n.2/32"
	on B wg set "wg$n" private-key "$(key_file "$B_KEY")" listen-port "$((3000 + n))" \
		peer "$A_PUB" endpoint "$a:$((2000 + n))" allowed-ips "10.77.$n.1/32"
	on A ip addr add "10.77.$n.1/24" dev "wg$n"
	on B ip addr add "10.77.$n.2/24" dev "wg$n"
	on A ip link set "wg$n" up
	on B ip link set "wg$n" up
}
t_nested() {
	tunnel
	nested 1
	nested 2
	nested 3
	pings A 10.77.3.2
	pings B 10.77.3.1
	transfer A B 10.77.3.2 --bytes 131072
}
test_case "R20 tunnels in tunnels, four deep" t_nested 120

# A socket must not have more memory of the machine than it has paid for, by far.
t_pinned() {
	local went paid
	tunnel
	read -r went paid < <(probe pinned A "$(ns B)" 10.77.0.2 1000)
	diag "$went KiB of memory for $paid KiB that were paid for"
	at_least "$paid" 100 "KiB paid"
	at_least "$((2 * paid))" "$went" "twice what was paid, in KiB, for what comes back"
}
test_case "V11 small packets that are kept do not keep much memory" t_pinned

# What is above must not take from the kernel's limit what is needed below.
t_nested_between() {
	local n
	tunnel 1320
	nested 1
	for n in A B; do
		local at=1 other=2
		[[ $n == A ]] || { at=2 other=1; }
		on "$n" ip link set wg1 mtu 1240
		on "$n" ip link add vx0 type vxlan id 1 dstport 4789 local "192.0.2.$at" remote "192.0.2.$other"
		on "$n" ip addr add "10.78.0.$at/24" dev vx0
		on "$n" ip link set vx0 up
		on "$n" ip link add vx1 type vxlan id 2 dstport 4790 local "10.78.0.$at" remote "10.78.0.$other"
		on "$n" ip addr add "10.79.0.$at/24" dev vx1
		on "$n" ip link set vx1 up
	done
	on A wg set wg0 peer "$(on A wg show wg0 peers)" endpoint 10.79.0.2:1002
	on B wg set wg0 peer "$(on B wg show wg0 peers)" endpoint 10.79.0.1:1001
	pings A 10.77.0.2
	pings A 10.77.1.2
	pings B 10.77.1.1
	transfer A B 10.77.1.2 --bytes 131072
}
test_case "R20 a tunnel in a tunnel, in two of the kernel's own" t_nested_between

t_loop() {
	tunnel
	pings A 10.77.0.2
	# The way to the endpoint leads into the tunnel itself.
	on A wg set wg0 peer "$B_PUB" allowed-ips 10.77.0.2/32,192.0.2.2/32
	on A ip route add 192.0.2.2/32 dev wg0
	on A wg set wg0 fwmark 1
	refute on A ping -q -c 5 -i 0.1 -W 1 10.77.0.2 > /dev/null
	on A ip route del 192.0.2.2/32 dev wg0
	on A wg set wg0 fwmark 0
	wait_until 20 eval 'on A ping -q -c 1 -W 1 10.77.0.2'
	pings A 10.77.0.2
}
test_case "R20 a route to the endpoint through the tunnel itself harms nothing for long" t_loop 90

run_tests
