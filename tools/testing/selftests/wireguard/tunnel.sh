#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Data through the tunnel, byte for byte: IPv4 and IPv6 inside and outside,
# MTU 1420, 1280 and 34736, TCP both ways compared by SHA-256, bursts of UDP.

. "$(dirname "$0")/lib.sh"

# both_ways OUTER MTU: everything over one tunnel, IPv4 and IPv6 inside.
both_ways() {
	local outer=$1 mtu=$2 lower=1500 size
	((mtu <= 1420)) || lower=65535
	tunnel "$mtu" "$outer" "$lower"
	size=$((mtu - 48))
	((size <= 20000)) || size=20000
	pings A 10.77.0.2
	pings B 10.77.0.1
	pings A fd77::2
	pings B fd77::1
	transfer A B 10.77.0.2 --back fd77::1 --bytes 2097152 --udp 200 --size "$size"
	equal "$(link_stat B wg0 rx_errors)" 0 rx_errors
	equal "$(link_stat A wg0 tx_errors)" 0 tx_errors
}
for outer in 4 6; do
	for mtu in 1420 1280 34736; do
		eval "t_${outer}_$mtu() { both_ways $outer $mtu; }"
		test_case "R4 V11 X7 IPv4 and IPv6 inside, IPv$outer outside, MTU $mtu" "t_${outer}_$mtu"
	done
done

# Full-size, small, odd and empty payloads, each answered.
t_sizes() {
	local size
	tunnel
	for size in 0 1 15 16 17 100 1391 1392; do
		on A ping -q -c 2 -i 0.02 -W 5 -s "$size" 10.77.0.2 > /dev/null
		on A ping -q -c 2 -i 0.02 -W 5 -s "$((size > 1372 ? 1372 : size))" fd77::2 > /dev/null
	done
	# Larger than the device: fragmented inside, whole again on the other side.
	on A ping -q -c 2 -i 0.02 -W 5 -s 8000 10.77.0.2 > /dev/null
	on A ping -q -c 2 -i 0.02 -W 5 -s 8000 fd77::2 > /dev/null
}
test_case "D2 V9 payloads of every residue and fragmented packets" t_sizes

# An inner packet larger than the outer path: fragmented outside (no DF).
t_outer_fragments() {
	tunnel 3000 4 1500
	transfer A B 10.77.0.2 --back fd77::1 --bytes 262144
}
test_case "O1 messages larger than the path are fragmented outside" t_outer_fragments

t_offloads() {
	tunnel
	on A ethtool -K wg0 tso off gso off > /dev/null
	transfer A B 10.77.0.2 --bytes 524288
	on A ethtool -K wg0 tso on gso on sg on > /dev/null
	on B ethtool -K wg0 gro off > /dev/null
	transfer A B fd77::2 --bytes 524288
	on A ethtool -K vA tx off > /dev/null
	on B ethtool -K vB gro on > /dev/null
	transfer B A 10.77.0.1 --bytes 524288
}
test_case "R7 byte-exact whatever offloads are on or off" t_offloads

# A sniffer clones every packet: nothing may be changed in place under it.
t_sniffed() {
	need tcpdump
	tunnel
	on A tcpdump -Z root -i wg0 -w /dev/null -U > /dev/null 2>&1 &
	on B tcpdump -Z root -i vB -w /dev/null -U > /dev/null 2>&1 &
	on B tcpdump -Z root -i wg0 -w /dev/null -U > /dev/null 2>&1 &
	pings A 10.77.0.2
	sleep 0.5
	transfer A B 10.77.0.2 --back fd77::1 --bytes 524288 --udp 100
	equal "$(jobs -pr | wc -l)" 3 "sniffers still at work"
}
test_case "X7 V5 byte-exact while packets are cloned by sniffers" t_sniffed

# A socket that has a clone of each packet, and then somebody who writes to the header: now there are
# two packets with fragments in common, of which none says so.
t_shared_fragments() {
	need tc
	tunnel
	on B tc qdisc add dev vB clsact
	on B tc filter add dev vB ingress protocol ip matchall action pedit ex munge ip ttl set 9 pipe action csum ip4h
	python3 - "$(ns B)" vB > "$WORK/seen" <<- 'END' &
		import signal, socket, sys
		import netns
		sock = netns.sock(sys.argv[1], socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
		rcvbuf_force = 33
		sock.setsockopt(socket.SOL_SOCKET, rcvbuf_force, 1 << 26)
		sock.bind((sys.argv[2], 3))
		stopped = []
		signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
		sock.settimeout(0.2)
		print("ready", flush=True)
		large = holes = 0
		while True:
		    try:
		        packet = sock.recv(1 << 17)
		    except TimeoutError:
		        if stopped:
		            break
		        continue
		    if len(packet) > 2000:
		        large += 1
		        holes += bytes(32) in packet[58:]
		print("seen", large, holes, flush=True)
	END
	wait_until 20 grep -q ready "$WORK/seen"
	pings A 10.77.0.2
	transfer A B 10.77.0.2 --bytes 1048576
	kill -TERM $!
	wait_until 20 grep -q seen "$WORK/seen"
	diag "$(grep seen "$WORK/seen")"
	if ours; then at_least "$(awk '/seen/ { print $2 }' "$WORK/seen")" 1 "large packets captured"; fi
	equal "$(awk '/seen/ { print $3 }' "$WORK/seen")" 0 "packets that are not as they were sent"
}
test_case "X7 V5 what others have of the same memory stays as it was sent" t_shared_fragments

run_tests
