# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the rows of the benchmark share: two namespaces A and B with a veth pair
# between them, one tunnel over it, and repetition until two runs agree.
#
# A result is one line: "@ DRIVER ROW METRIC VALUE RUNS", VALUE the mean of the
# two runs that agreed, RUNS all of them joined by commas. Other lines that
# begin with "#" are for people.

export PATH=/wg/bench:$PATH
# shellcheck disable=SC2034 # for the scripts that source this
WORK=$(mktemp -d)

say() { echo "# $*"; }
# within A B PERCENT: A and B differ by at most that.
within() { awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; m = a < b ? a : b; exit !(d <= m * p / 100) }'; }
mean() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6g", (a + b) / 2 }'; }
div() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6g", a / b }'; }

# result DRIVER ROW METRIC VALUE [RUNS]
result() { echo "@ $1 $2 $3 $4 ${5:-$4}"; }

# agree DRIVER ROW METRIC[,METRIC...] COMMAND...: run the command, which prints
# one number for each metric, until the first metric of two runs agrees.
agree() {
	local driver=$1 row=$2 names i run last=() now=() all=()
	IFS=, read -ra names <<<"$3"
	shift 3
	for ((run = 0; run < ${MOST_RUNS:-6}; run++)); do
		read -ra now < <("$@") || true
		if ((${#now[@]} != ${#names[@]})); then
			say "$driver $row: no figures (${now[*]})"
			return 1
		fi
		for i in "${!names[@]}"; do all[i]+=,${now[i]}; done
		if ((run > 0)) && within "${last[0]}" "${now[0]}" "${TOLERANCE:-1}"; then
			for i in "${!names[@]}"; do
				result "$driver" "$row" "${names[i]}" "$(mean "${last[i]}" "${now[i]}")" "${all[i]#,}"
			done
			return
		fi
		last=("${now[@]}")
	done
	say "$driver $row: no two runs agreed within ${TOLERANCE:-1} %: ${all[0]#,}"
	for i in "${!names[@]}"; do result "$driver" "$row" "${names[i]}" "${now[i]}" "${all[i]#,}"; done
}

on() {
	local ns=$1
	shift
	nsenter --net="/run/netns/$ns" -- "$@"
}

exec_in() {
	local ns=$1
	shift
	exec nsenter --net="/run/netns/$ns" -- "$@"
}

# underlay: namespaces A and B, 192.0.2.1 and .2.
underlay() {
	local n
	for n in A B; do
		ip netns add "$n"
		on "$n" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
		ip -n "$n" link set lo up
	done
	ip link add vA netns A type veth peer name vB netns B
	ip -n A addr add 192.0.2.1/24 dev vA
	ip -n B addr add 192.0.2.2/24 dev vB
	ip -n A link set vA up
	ip -n B link set vB up
}

keys() {
	local n k
	for n; do
		k=$(wg genkey)
		printf -v "${n}_KEY" %s "$k"
		printf -v "${n}_PUB" %s "$(wg pubkey <<<"$k")"
	done
}

# device NS: a new interface, wg0 or, with wireguard-go, goA or goB; its name is in
# dev. wg(8) finds wireguard-go by a socket of that name, whatever the namespace.
device() {
	dev=wg0
	if [[ ${driver:-} != go ]]; then
		ip -n "$1" link add "$dev" type wireguard
		return
	fi
	dev=go$1
	modprobe tun
	[[ -c /dev/net/tun ]] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
	mkdir -p /var/run/wireguard
	WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 exec_in "$1" wireguard-go -f "$dev" >/dev/null 2>&1 &
	children+=($!)
	local tries=300
	until [[ -S /var/run/wireguard/$dev.sock ]]; do
		((tries-- > 0)) || { say "wireguard-go does not start"; return 1; }
		sleep 0.1
	done
}

# end NS HOST PORT KEY PEER PEER_HOST PEER_PORT: one end of the tunnel.
end() {
	device "$1" || return
	on "$1" wg set "$dev" private-key <(echo "$4") listen-port "$3" \
		peer "$5" endpoint "192.0.2.$6:$7" allowed-ips "10.77.0.$6/32"
	ip -n "$1" addr add "10.77.0.$2/24" dev "$dev"
	ip -n "$1" link set "$dev" mtu 1420 up
}

# tunnel: wg0 in A (10.77.0.1, port 1001) and in B (10.77.0.2, port 1002).
tunnel() {
	keys A B
	# shellcheck disable=SC2153
	end A 1 1001 "$A_KEY" "$B_PUB" 2 1002
	# shellcheck disable=SC2153
	end B 2 1002 "$B_KEY" "$A_PUB" 1 1001
	on A ping -q -c 3 -i 0.1 -W 5 10.77.0.2 >/dev/null
}

# load_driver: the module loaded anew.
load_driver() {
	rmmod wireguard 2>/dev/null || true
	modprobe wireguard
}

# background COMMAND...: started in namespace B, ended by cleanup.
children=()
background() {
	# The command itself, not a shell around it, so that it can be ended; and
	# without the output's pipe, which would keep the machine up.
	exec_in B "$@" >/dev/null 2>&1 &
	children+=($!)
}

cleanup() {
	# iperf3 may hang on a polite signal.
	((${#children[@]} == 0)) || kill -KILL "${children[@]}" 2>/dev/null
	wait 2>/dev/null
	children=()
}

# udp_delivered PORT: datagrams that reached the socket "udpload hold PORT" in
# namespace B: it has room for a few, all others are its drops.
udp_delivered() {
	on B cat /proc/net/udp | awk -v port=":$(printf %04X "$1")" 'index($2, port) { print $NF }'
}
