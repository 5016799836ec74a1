#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# exact.sh DRIVER ROW...: the rows that count instructions, on a machine whose
# clock is the instruction counter. DRIVER only names the results; with the
# driver "c" each traffic row is measured over the bare veth pair as well, with
# "go" it is wireguard-go.

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
	on A iperf3 -c "$1" -t "${LOADED_SECONDS:-3}" -J >"$WORK/load" &
	sleep 0.4
	out=$(on A rtt "$1" "${LOADED_PING_SECONDS:-2.5}" 0.005)
	wait $!
	awk -v b="$(jq .end.sum_received.bits_per_second "$WORK/load")" '{ print $4, $5, $6, $7, b / 1e6 }' <<<"$out"
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

# Instructions for one packet that finds no endpoint, with one peer to choose
# and with many. The difference is small beside the packet: the mean of five.
lookup_packet() {
	on A udpload spread 10.0.0.0 9 "$PREFIXES" 37 0.3 >/dev/null
	for _ in 1 2 3 4 5; do on A udpload spread 10.0.0.0 9 "$PREFIXES" 37 "${LOOKUP_SECONDS:-0.4}"; done |
		awk -v d="$driver" -v m="$1" '{ v = $3 * 1e9 / $2; s += v; all = all (NR > 1 ? "," : "") sprintf("%.1f", v) }
			END { printf "@ %s lookup %s %.1f %s\n", d, m, s / NR, all }'
}
lookup() {
	PREFIXES=100000
	local peers=10000
	[[ -z ${QUICK:-} ]] || peers=1000 PREFIXES=10000
	ip -n A link add wgl type wireguard
	ip -n A link set wgl up
	ip -n A route add 8.0.0.0/5 dev wgl
	ip -n A route add 16.0.0.0/4 dev wgl
	ip -n A route add 32.0.0.0/3 dev wgl
	ip -n A route add 64.0.0.0/4 dev wgl
	on A wg set wgl peer "$A_PUB" allowed-ips 0.0.0.0/0
	# What tells the sender costs more or less by the second: without it.
	on A sysctl -qw net.ipv4.icmp_msgs_per_sec=1 net.ipv4.icmp_msgs_burst=0 ||
		sysctl -qw net.ipv4.icmp_msgs_per_sec=1 net.ipv4.icmp_msgs_burst=0
	lookup_packet one | tee "$WORK/one"
	prepare.py prefixes "$peers" "$PREFIXES" 37 "$WORK/prefixes"
	on A wg setconf wgl "$WORK/prefixes"
	sleep 3
	lookup_packet many | tee "$WORK/many"
	result "$driver" lookup instr "$(awk '$3 == "lookup" { v = $5 - v } END { printf "%.1f", v }' "$WORK/one" "$WORK/many")"
	ip -n A link del wgl
}

# Handshakes a second that a responder with many peers answers; the initiations
# were made before and come from a plain socket. The first of a peer may cost
# more than those that follow. Each run has new peers.
handshakes() {
	local count=300 first again
	prepare.py initiations "$B_PUB" "$count" "$WORK/first" "$WORK/again" "$WORK/peers" || return 1
	on B wg addconf wg0 "$WORK/peers"
	sleep 2
	first=$(on A replay window 192.0.2.2 1002 "$WORK/first" 32)
	sleep 1
	again=$(on A replay window 192.0.2.2 1002 "$WORK/again" 32)
	printf '%s\n' "$again" "$first" | awk -v c="$count" '
		{ printf "%.1f %.0f %.3f%s", $2 / $3, $3 * 1e9 / $2, $2 / c, NR == 1 ? " " : "\n" }'
	# Only the one peer again.
	on B wg show wg0 peers | grep -vF "$A_PUB" | sed 's/.*/peer & remove/' | xargs nsenter --net=/run/netns/B wg set wg0
	sleep 2
}

# Goodput of bulk while initiations with a valid mac1 come from everywhere, and
# while the same packets go to a socket that drops them.
flooded() {
	on A replay spoof 192.0.2.2 "$1" "$WORK/flood" "${FLOOD_RATE:-5000}" 600 >/dev/null &
	local pid=$! bits
	sleep 0.5
	bits=$(on A iperf3 -c 10.77.0.2 -t "${BULK_SECONDS:-1}" -O 0.3 -J | jq .end.sum_received.bits_per_second)
	pkill -x replay
	wait "$pid" 2>/dev/null
	sleep 2
	awk -v b="$bits" 'BEGIN { printf "%.2f\n", b / 1e6 }'
}
flood() {
	ip -n B route add default via 192.0.2.1
	prepare.py flood "$B_PUB" 5000 "$WORK/flood"
	TOLERANCE=2 agree "$driver" flood dropped flooded 5300 | tee "$WORK/dropped"
	TOLERANCE=2 agree "$driver" flood mbps flooded 1002 | tee "$WORK/flooded"
	result "$driver" flood share "$(awk '$3 == "flood" { if (NR == FNR) d = $5; else f = $5 } END { printf "%.3f", f / d }' "$WORK/dropped" "$WORK/flooded")"
	ip -n B route del default
}

for row; do
	case $row in
	bulk) what=(mbps,instr_per_byte bulk) ;;
	rtt) what=(mean,p50,p99,max rtt_idle) ;;
	small) what=(per_s,instr,share small) ;;
	loaded-rtt) what=(mean,p50,p99,max,mbps rtt_loaded) ;;
	bulk-udp) what=(mbps,instr_per_byte bulk_udp) ;;
	handshakes)
		TOLERANCE=1 agree "$driver" handshakes per_s,instr,share,first_per_s,first_instr,first_share handshakes
		continue
		;;
	lookup | flood)
		"$row"
		continue
		;;
	*) say "no such row: $row" && continue ;;
	esac
	TOLERANCE=1
	[[ $row != loaded-rtt ]] || TOLERANCE=6
	agree "$driver" "$row" "${what[@]}" 10.77.0.2
	[[ $driver != c || $row == loaded-rtt ]] || agree veth "$row" "${what[@]}" 192.0.2.2
done
cleanup
