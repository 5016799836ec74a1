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

run_tests
