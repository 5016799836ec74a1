#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scale.sh DRIVER: 10,000 idle peers on one device: time to add them, to replace
# them with none, to delete the device with them; memory and kernel threads.

set -u -o pipefail
# shellcheck source=bench/guest/lib.sh
. "$(dirname "$0")/lib.sh"

driver=$1
peers=10000
[[ -z ${QUICK:-} ]] || peers=1000
load_driver
prepare.py peers "$peers" "$WORK/peers"
printf '[Interface]\nPrivateKey = %s\n' "$(wg genkey)" | cat - "$WORK/peers" >"$WORK/full"
: >"$WORK/empty"

now() { date +%s.%N; }
took() {
	local start
	start=$(now)
	"$@" || say "$driver scale: failed: $*"
	awk -v a="$start" -v b="$(now)" 'BEGIN { printf "%.4f\n", b - a }'
}
available() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo
}
# Threads of the kernel alone: they have no command line.
threads() {
	local n=0 d
	for d in /proc/[0-9]*; do
		[[ -n $(tr -d '\0' <"$d/cmdline" 2>/dev/null) ]] || n=$((n + 1))
	done
	echo "$n"
}

ip link add wg0 type wireguard
ip link set wg0 up
ip addr add 10.255.255.254/32 dev wg0
sleep 3
# Memory is that of the first time: slabs keep some of it afterwards. The time of
# it counts as well, with the mean of the second.
before=$(available) threads_before=$(threads)
add=$(took wg setconf wg0 "$WORK/full")
sleep 5
after=$(available) threads_after=$(threads)
replace=$(took wg setconf wg0 "$WORK/empty")
sleep 3
add2=$(took wg setconf wg0 "$WORK/full")
replace2=$(took wg setconf wg0 "$WORK/empty")
sleep 3
wg setconf wg0 "$WORK/full"
sleep 3
delete=$(took ip link del wg0)
# Prefixes of one peer, two at a time: /16 of IPv4, /128 of IPv6.
awk -v n="$((peers > 5000 ? 255 : 25))" -v key="$(wg genkey | wg pubkey)" 'BEGIN {
	print "[Peer]\nPublicKey = " key
	for (a = 1; a <= n; a++) for (b = 0; b < 256; b++) printf "AllowedIPs = %d.%d.0.0/16,%d::%d/128\n", a, b, a, b
}' >"$WORK/many"
prefixes=()
for _ in 1 2 3; do
	ip link add wg0 type wireguard
	prefixes+=("$(took wg setconf wg0 "$WORK/many")")
	ip link del wg0
	sleep 2
done
result "$driver" scale add_s "$(mean "$add" "$add2")" "$add,$add2"
result "$driver" scale replace_s "$(mean "$replace" "$replace2")" "$replace,$replace2"
result "$driver" scale delete_s "$delete"
result "$driver" scale kib_per_peer "$(div $((before - after)) "$peers")"
result "$driver" scale threads $((threads_after - threads_before))
result "$driver" scale prefixes_s "$(printf '%s\n' "${prefixes[@]}" | sort -n | sed -n 2p)" "$(IFS=, && echo "${prefixes[*]}")"
