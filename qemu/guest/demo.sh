#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh [--smoke]: the guest's part of the demo: alice and bob are two network
# namespaces joined by a veth pair. WireGuard connects them; real data goes both
# ways. With --smoke the files are smaller and nothing is measured; the last line
# is "N passed, N failed".

set -u
smoke='' size=32
if [[ ${1:-} == --smoke ]]; then smoke=yes size=8; fi
cd /tmp || exit 1
umask 077
table=()
failed=0

# step WHAT COMMAND...: run it, say how it went, with the last line it printed.
step() {
	local what=$1 out rc=0 mark=ok
	shift
	out=$("$@" 2>&1) || rc=$?
	if ((rc != 0)); then
		mark=FAILED
		failed=$((failed + 1))
	fi
	printf '  %-44s %s\n' "$what" "$mark"
	((rc == 0)) || printf '%s\n' "$out" | sed 's/^/      /'
	table+=("$(printf '%-44s %-7s %s' "$what" "$mark" "$( ((rc == 0)) && printf '%s\n' "$out" | tail -n 1)")")
	return "$rc"
}

alice() { ip netns exec alice "$@"; }
bob() { ip netns exec bob "$@"; }

load() {
	modprobe wireguard || return
	printf '%s %s, %s\n' "$(modinfo -F description wireguard | head -n 1)" \
		"$(cat /sys/module/wireguard/version)" "$(modinfo -n wireguard | sed 's|.*/\(kernel\|updates\)/|\1/|')"
}

network() {
	ip netns add alice && ip netns add bob &&
		ip link add name veth netns alice type veth peer name veth netns bob &&
		ip -n alice addr add 192.0.2.1/24 dev veth && ip -n bob addr add 192.0.2.2/24 dev veth &&
		ip -n alice link set lo up && ip -n bob link set lo up &&
		ip -n alice link set veth up && ip -n bob link set veth up &&
		echo "alice 192.0.2.1, bob 192.0.2.2"
}

# configure: links, keys, addresses, all as a user would with ip and wg.
configure() {
	local who
	for who in alice bob; do
		wg genkey >$who.key && wg pubkey <$who.key >$who.pub || return
		ip -n $who link add wg0 type wireguard || return
	done
	wg genpsk >psk
	alice wg set wg0 private-key alice.key listen-port 51820 peer "$(<bob.pub)" \
		preshared-key psk allowed-ips 10.0.0.2/32,fd00::2/128 endpoint 192.0.2.2:51820 || return
	bob wg set wg0 private-key bob.key listen-port 51820 peer "$(<alice.pub)" \
		preshared-key psk allowed-ips 10.0.0.1/32,fd00::1/128 || return
	ip -n alice addr add 10.0.0.1/24 dev wg0 && ip -n alice addr add fd00::1/64 dev wg0 nodad &&
		ip -n bob addr add 10.0.0.2/24 dev wg0 && ip -n bob addr add fd00::2/64 dev wg0 nodad &&
		ip -n alice link set wg0 up && ip -n bob link set wg0 up &&
		echo "with a preshared key; bob learns alice's endpoint"
}

handshake() {
	local i
	# The first packet of a tunnel starts the handshake.
	alice ping -c 1 -W 5 10.0.0.2 >/dev/null || return
	for ((i = 0; i < 50; i++)); do
		[[ $(alice wg show wg0 latest-handshakes | cut -f2) == 0 ]] || {
			echo "bob sees alice at $(bob wg show wg0 endpoints | cut -f2)"
			return 0
		}
		sleep 0.1
	done
	return 1
}

# pings ADDRESS: all must be answered.
pings() {
	local out
	out=$(alice ping -q -c 20 -i 0.02 -W 5 "$1") || { printf '%s\n' "$out"; return 1; }
	grep -q ' 0% packet loss' <<<"$out" || { printf '%s\n' "$out"; return 1; }
	sed -n 's|.*= [0-9.]*/\([0-9.]*\)/.*|20 of 20 answered, \1 ms on average|p' <<<"$out"
}

# send_file FROM TO ADDRESS: random bytes, $size MiB of them, compared by SHA-256.
send_file() {
	local receiver sent got began took bytes=$((size << 20))
	rm -f got
	head -c ${size}M /dev/urandom >sent
	ip netns exec "$2" timeout 120 ncat -l "$3" 9000 >got </dev/null &
	receiver=$!
	for ((i = 0; i < 100; i++)); do
		[[ -z $(ip netns exec "$2" ss -Hltn 'sport = 9000') ]] || break
		sleep 0.05
	done
	began=$(date +%s%N)
	ip netns exec "$1" timeout 120 ncat --send-only "$3" 9000 <sent || return
	wait "$receiver" || return
	took=$((($(date +%s%N) - began) / 1000000))
	sent=$(sha256sum <sent)
	got=$(sha256sum <got)
	[[ $sent == "$got" && $(stat -c %s got) == "$bytes" ]] || {
		echo "sent $sent, got $got ($(stat -c %s got) bytes)"
		return 1
	}
	echo "SHA-256 equal (${sent:0:12}...), $((bytes * 8 / took / 1000)) Mbit/s"
}

speed() {
	local server out rate
	bob iperf3 -s -1 -B 10.0.0.2 >/dev/null 2>&1 &
	server=$!
	for ((i = 0; i < 100; i++)); do
		[[ -z $(bob ss -Hltn 'sport = 5201') ]] || break
		sleep 0.05
	done
	out=$(alice timeout 60 iperf3 -c 10.0.0.2 -t 4 -J "$@") || { printf '%s\n' "$out"; return 1; }
	wait "$server"
	rate=$(jq '.end.sum_received.bits_per_second / 1e6 | round' <<<"$out") || return
	[[ $rate -gt 0 ]] && echo "$rate Mbit/s"
}

show() { alice wg show wg0 >show.txt && grep -q 'latest handshake' show.txt &&
	grep -q 'transfer:' show.txt && sed -n 's/^ *transfer: *//p' show.txt; }

unload() {
	ip -n alice link del wg0 && ip -n bob link del wg0 && ip netns del alice && ip netns del bob &&
		rmmod wireguard && [[ ! -d /sys/module/wireguard ]] && echo "nothing left behind"
}

clean_log() { dmesg >dmesg.txt && /wg/guest/kernel-log-check dmesg.txt && echo "no warning, bug or lock report"; }

echo
echo "Linux $(uname -r), $(nproc) CPUs. Two namespaces, alice and bob, joined by a veth pair."
step "load the module" load
step "namespaces and a veth pair" network
step "ip link add, wg set, both ends" configure
step "handshake" handshake
step "ping over IPv4" pings 10.0.0.2
step "ping over IPv6" pings fd00::2
step "$size MiB file, alice to bob" send_file alice bob 10.0.0.2
step "$size MiB file, bob to alice, IPv6" send_file bob alice fd00::1
if [[ -z $smoke ]]; then
	step "iperf3, alice to bob" speed
	step "iperf3, bob to alice" speed -R
fi
step "wg show" show
echo
sed 's/^/    /' show.txt 2>/dev/null
echo
step "remove everything, rmmod" unload
step "kernel log" clean_log
echo
printf '%s\n' "${table[@]}"
[[ -z $smoke ]] || echo "$((${#table[@]} - failed)) passed, $failed failed"
((failed == 0))
