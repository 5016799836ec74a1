#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# exact.sh DRIVER ROW...: the rows that count instructions, on a machine whose
# clock is the instruction counter. DRIVER only names the results; with the
# driver "c" each traffic row is measured over the bare veth pair as well.

set -u -o pipefail
# shellcheck source=bench/guest/lib.sh
. "$(dirname "$0")/lib.sh"

driver=$1
shift
underlay
load_driver
tunnel
background iperf3 -s
background udpload hold 5300
background udpload gro 5301
# A fresh guest has things to finish: the figures are doubled before that.
sleep "${SETTLE:-12}"

# ---- one run of each row; the argument is the address to talk to ------------

# Mbit/s and instructions per byte of one TCP flow, at the receiver.
bulk() {
	local bits
	bits=$(on A iperf3 -c "$1" -t "${BULK_SECONDS:-1}" -O 0.3 -J | jq .end.sum_received.bits_per_second)
	awk -v b="$bits" 'BEGIN { printf "%.2f %.3f\n", b / 1e6, 8e9 / b }'
}

# Mean, median, 99th percentile and maximum in microseconds.
rtt_idle() { on A rtt "$1" "${RTT_SECONDS:-0.5}" 0 | awk '{ print $4, $5, $6, $7 }'; }

# The same every 5 ms while one TCP flow runs.
rtt_loaded() {
	local out
	on A iperf3 -c "$1" -t "${LOADED_SECONDS:-3}" >/dev/null &
	sleep 0.4
	out=$(on A rtt "$1" "${LOADED_PING_SECONDS:-2.5}" 0.005)
	wait $!
	awk '{ print $4, $5, $6, $7 }' <<<"$out"
}

# Datagrams a second that reach the socket, and the share sent that did.
small() {
	local before after sent took
	before=$(udp_delivered 5300)
	read -r _ sent took < <(on A udpload burst "$1" 5300 64 "${SMALL_SECONDS:-0.5}")
	sleep 0.2
	after=$(udp_delivered 5300)
	awk -v n=$((after - before)) -v s="$sent" -v t="$took" 'BEGIN { printf "%.0f %.0f %.3f\n", n / t, t * 1e9 / n, n / s }'
}

# Mbit/s of payload in 1,350-byte datagrams, and instructions per byte.
bulk_udp() {
	on A udpload gso "$1" 5301 1350 "${BULK_SECONDS:-1}" |
		awk '{ printf "%.2f %.3f\n", $2 * 8 / $3 / 1e6, $3 * 1e9 / $2 }'
}

for row; do
	case $row in
	bulk) what=(mbps,instr_per_byte bulk) ;;
	rtt) what=(mean,p50,p99,max rtt_idle) ;;
	small) what=(per_s,instr,share small) ;;
	loaded-rtt) what=(mean,p50,p99,max rtt_loaded) ;;
	bulk-udp) what=(mbps,instr_per_byte bulk_udp) ;;
	*) say "no such row: $row" && continue ;;
	esac
	TOLERANCE=1
	[[ $row != loaded-rtt ]] || TOLERANCE=6
	agree "$driver" "$row" "${what[@]}" 10.77.0.2
	[[ $driver != c || $row == loaded-rtt ]] || agree veth "$row" "${what[@]}" 192.0.2.2
done
cleanup
