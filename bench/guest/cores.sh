#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# cores.sh CPUS: TCP through one peer and through eight at once on several CPUs
# in real time, and what one sender and four get out to one peer if nobody has to
# receive it. The drivers take turns in this one boot; medians come out.
# The Rust module is /wg/bench/rust.ko, the C driver the kernel's own; other.ko, if
# there is one, takes its turn as well.

set -u -o pipefail
# shellcheck source=bench/guest/lib.sh
. "$(dirname "$0")/lib.sh"

cpus=$1
turns=${TURNS:-2}
seconds=${CORES_SECONDS:-3}
[[ -z ${QUICK:-} ]] || turns=2 seconds=2
underlay
# Nobody answers for it while its messages are dropped.
ip -n A neigh replace 192.0.2.2 lladdr "$(ip -n B -j link show vB | jq -r '.[0].address')" dev vA nud permanent
for i in {0..7}; do background iperf3 -s -p $((5201 + i)); done

# What either driver needs, loaded once.
modprobe wireguard
stock=$(modinfo -F filename wireguard)
for name in $(modinfo -F depends /wg/bench/rust.ko | tr , ' '); do modprobe "$name"; done
rmmod wireguard

# Eight tunnels: wg0 ... wg7 in A, all to the one wg0 in B.
tunnels() {
	local i key
	keys B
	ip -n B link add wg0 type wireguard
	on B wg set wg0 private-key <(echo "$B_KEY") listen-port 2000
	for i in {0..7}; do
		key=$(wg genkey)
		ip -n A link add "wg$i" type wireguard
		on A wg set "wg$i" private-key <(echo "$key") listen-port $((1001 + i)) \
			peer "$B_PUB" endpoint 192.0.2.2:2000 allowed-ips "10.77.$i.2/32"
		on B wg set wg0 peer "$(wg pubkey <<<"$key")" allowed-ips "10.77.$i.1/32"
		ip -n A addr add "10.77.$i.1/24" dev "wg$i"
		ip -n B addr add "10.77.$i.2/24" dev wg0
		ip -n A link set "wg$i" mtu 1420 up
	done
	ip -n B link set wg0 mtu 1420 up
	for i in {0..7}; do on A ping -q -c 2 -i 0.1 -W 5 "10.77.$i.2" >/dev/null || say "no answer through wg$i"; done
}

rate() { jq .end.sum_received.bits_per_second "$1" | awk '{ printf "%.1f\n", $1 / 1e6 }'; }
one() {
	on A iperf3 -c 10.77.0.2 -p 5201 -t "$seconds" -O 1 -J >"$WORK/one"
	rate "$WORK/one"
}
eight() {
	local i pids=()
	for i in {0..7}; do
		on A iperf3 -c "10.77.$i.2" -p $((5201 + i)) -t "$seconds" -O 1 -J >"$WORK/flow$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in {0..7}; do rate "$WORK/flow$i"; done | awk '{ s += $1 } END { printf "%.1f\n", s }'
}
loaded() {
	on A iperf3 -c 10.77.0.2 -p 5201 -t $((seconds + 2)) >/dev/null &
	sleep 1
	on A rtt 10.77.0.2 "$seconds" 0.005 | awk '{ print $4, $6 }'
	wait $!
}

# poured SENDERS: UDP GSO into one tunnel, whose messages are dropped where they arrive.
poured() {
	local i before pids=()
	on B nft -f - <<<$'table netdev t {\nchain c {\ntype filter hook ingress device vB priority 0; policy drop;\n}\n}\n'
	before=$(sent)
	for ((i = 0; i < $1; i++)); do
		on A udpload pour 10.77.0.2 9 1350 "$seconds" >/dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
	awk -v bytes=$(($(sent) - before)) -v s="$seconds" 'BEGIN { printf "%.1f\n", bytes * 8 / s / 1e6 }'
	on B nft flush ruleset
}
sent() { ip -n A -s -j link show vA | jq '.[0].stats64.tx.bytes'; }

drivers=(c rust)
[[ ! -e /wg/bench/other.ko ]] || drivers+=(other)
echo "@ cpu $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)"
declare -A runs
for ((turn = 0; turn < turns; turn++)); do
	for driver in "${drivers[@]}"; do
		if [[ $driver == c ]]; then insmod "$stock"; else insmod "/wg/bench/$driver.ko"; fi || say "$driver: not loaded"
		tunnels
		sleep 2
		runs[$driver one]+=,$(one)
		runs[$driver eight]+=,$(eight)
		runs[$driver pour_one]+=,$(poured 1)
		runs[$driver pour_four]+=,$(poured 4)
		# With the end of its flow: iperf3 may not come to an end without a link.
		read -r mean_us p99_us <<<"$(loaded)"
		runs[$driver loaded_mean]+=,$mean_us
		runs[$driver loaded_p99]+=,$p99_us
		for i in {0..7}; do ip -n A link del "wg$i"; done
		ip -n B link del wg0
		sleep 1
		rmmod wireguard
	done
	say "turn $((turn + 1)) of $turns: one peer C ${runs[c one]#,} Rust ${runs[rust one]#,}"
done
median() { tr , '\n' <<<"$1" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
for key in "${!runs[@]}"; do
	read -r driver metric <<<"$key"
	list=${runs[$key]#,}
	result "$driver" cores "${metric}_$cpus" "$(median "$list")" "$list"
done
cleanup
