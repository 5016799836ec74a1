#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The end of everything, under traffic: module, links, peers, namespaces,
# addresses, CPUs, keys, ports; suspend; a great many interfaces and peers.
# LONG=1 (lifetimes_long.sh) does each many times over.

. "$(dirname "$0")/lib.sh"

# rounds SHORT LONG
rounds() { if [[ ${LONG:-} == 1 ]]; then echo "$2"; else echo "$1"; fi; }
limit() { if [[ ${LONG:-} == 1 ]]; then echo 900; else echo "${1:-90}"; fi; }
# blast FROM TO ADDRESS: endless traffic.
blast() {
	python3 "$TEST_DIR/blast.py" "$(ns "$1")" "$(ns "$2")" "$3" > /dev/null 2>&1 &
	ours_to_end $!
}
# ours_to_end PID: for all_over; without a word from the shell when it is killed.
ours_to_end() { echo "$1" >> "$WORK/pids"; disown "$1"; }
# flood NS ADDRESS: hundreds of pings a second, begun again when they end.
flood() {
	(while :; do on "$1" ping -q -i 0.004 -w 10 "$2"; sleep 0.05; done) > /dev/null 2>&1 &
	ours_to_end $!
}
traffic() {
	blast A B 10.77.0.2
	blast B A fd77::1
	flood A fd77::2
	flood B 10.77.0.1
}
many() { local n=$1; shift; python3 "$TEST_DIR/many.py" "$(ns "$n")" "$@"; }
# side A|B: that end of the tunnel, anew.
side() {
	local key="$1_KEY" pub=B_PUB self=1 other=2
	[[ $1 == A ]] || { pub=A_PUB; self=2; other=1; }
	on "$1" ip link add wg0 type wireguard
	on "$1" wg set wg0 private-key "$(key_file "${!key}")" listen-port "100$self" \
		peer "${!pub}" endpoint "192.0.2.$other:100$other" allowed-ips "10.77.0.$other/32,fd77::$other/128"
	on "$1" ip addr add "10.77.0.$self/24" dev wg0
	on "$1" ip addr add "fd77::$self/64" dev wg0 nodad
	on "$1" ip link set wg0 up
}
# works: data passes both ways, after a moment.
works() {
	wait_until 40 on A ping -q -c 1 -W 1 10.77.0.2
	wait_until 40 on B ping -q -c 1 -W 1 fd77::1
}
# kib NAME: a line of /proc/meminfo.
kib() { awk -v n="$1:" '$1 == n { print $2 }' /proc/meminfo; }
# kernel_kib: what the kernel has allocated for itself.
kernel_kib() { awk '/^(Slab|Percpu|VmallocUsed|KernelStack):/ { s += $2 } END { print s }' /proc/meminfo; }

t_reload() {
	local i
	tunnel
	traffic
	for ((i = 0; i < $(rounds 2 25); i++)); do
		works
		rmmod wireguard
		refute on A ip link show wg0 2> /dev/null
		modprobe wireguard
		side A
		side B
	done
	works
}
test_case "R19 the module is removed and loaded again" t_reload "$(limit)"

t_links() {
	local i end
	tunnel
	traffic
	for ((i = 0; i < $(rounds 2 60); i++)); do
		end=A
		((i % 2)) || end=B
		on "$end" ip link del wg0
		side "$end"
		works
	done
}
test_case "R14 R19 links are deleted and made again" t_links "$(limit)"

t_peers() {
	local i
	tunnel
	traffic
	works
	for ((i = 0; i < $(rounds 6 200); i++)); do
		on A wg set wg0 peer "$B_PUB" remove
		on A wg set wg0 peer "$B_PUB" endpoint 192.0.2.2:1002 allowed-ips 10.77.0.2/32,fd77::2/128
		on B wg set wg0 peer "$A_PUB" remove
		((i % 3)) || works_not_yet
		on B wg set wg0 peer "$A_PUB" endpoint 192.0.2.1:1001 allowed-ips 10.77.0.1/32,fd77::1/128
		((i % 4)) || works
	done
	works
}
works_not_yet() { refute on A ping -q -c 1 -W 0.2 10.77.0.2 > /dev/null 2>&1; }
test_case "N12 peers are removed and added again" t_peers "$(limit)"

# kill_ns NAME: ends its processes and the namespace with what is in it.
kill_ns() {
	local p
	for p in $(ip netns pids "$(ns "$1")"); do kill -KILL "$p" 2> /dev/null || true; done
	ns_del "$1"
}
free_port() { lacks ":$2 " on "$1" ss -ulnH; }
# abroad: a tunnel whose end in A lives in C, its sockets in A; both ends send.
abroad() {
	tunnel
	ns_add C
	on A ip link set wg0 netns "$(ns C)"
	on C ip addr add 10.77.0.1/24 dev wg0
	on C ip link set wg0 up
	on C ping -q -i 0.004 -w 60 10.77.0.2 > /dev/null 2>&1 &
	ours_to_end $!
	flood B 10.77.0.1
	wait_until 40 on C ping -q -c 1 -W 1 10.77.0.2
}
# all_over: nothing of the round is left.
all_over() {
	xargs -r kill -KILL < "$WORK/pids" 2> /dev/null || true
	: > "$WORK/pids"
	forget_all || true
}
t_device_ends() {
	local i
	for ((i = 0; i < $(rounds 1 10); i++)); do
		abroad
		kill_ns C
		# Its sockets close elsewhere.
		wait_until 20 free_port A 1001
		side A
		works
		all_over
	done
}
test_case "R17 R18 the namespace of the device ends" t_device_ends "$(limit)"

t_sockets_end() {
	local i
	for ((i = 0; i < $(rounds 1 10); i++)); do
		abroad
		kill_ns A
		wait_until 20 lacks LOWER_UP on C ip link show wg0
		fails_with "" on C wg set wg0 listen-port 1009
		kill_ns C
		all_over
	done
}
test_case "R16 the namespace of the sockets ends first, then that of the device" t_sockets_end "$(limit)"

t_addresses() {
	local i
	tunnel
	traffic
	works
	# Else the second address goes with the first.
	on A sysctl -qw net.ipv4.conf.vA.promote_secondaries=1
	for ((i = 0; i < $(rounds 2 50); i++)); do
		on A ip addr add 192.0.2.3/24 dev vA
		on A ip addr del 192.0.2.1/24 dev vA
		((i % 3)) || works
		on A ip addr add 192.0.2.1/24 dev vA
		on A ip addr del 192.0.2.3/24 dev vA
		on A ip route replace 192.0.2.2/32 dev vA mtu $((1280 + i % 3 * 100))
		on B ip link set vB mtu $((i % 2 ? 1500 : 1400))
		on A ip link set wg0 mtu $((i % 2 ? 1420 : 1280))
		on A ip addr del 10.77.0.1/24 dev wg0
		on A ip link set vA down
		on A ip addr add 10.77.0.1/24 dev wg0
		on A ip link set vA up
		on A ip route flush cache
		((i % 5)) || works
	done
	on A ip link set wg0 down
	on A ip link set wg0 up
	on A ip addr replace fd77::1/64 dev wg0 nodad
	works
}
test_case "E4 E5 R8 addresses, routes and MTUs change on both levels" t_addresses "$(limit)"

t_cpus() {
	local i cpu online=()
	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do [[ ! -w $cpu ]] || online+=("$cpu"); done
	((${#online[@]})) || skip "no CPU that can be taken offline"
	trap 'for cpu in "${online[@]}"; do echo 1 > "$cpu"; done' EXIT
	tunnel
	traffic
	for ((i = 0; i < $(rounds 2 40); i++)); do
		for cpu in "${online[@]}"; do echo 0 > "$cpu"; done
		works
		for cpu in "${online[@]}"; do echo 1 > "$cpu"; done
		works
	done
}
test_case "R10 CPUs go offline and come back" t_cpus "$(limit)"

t_keys() {
	local i old
	tunnel
	traffic
	for ((i = 0; i < $(rounds 2 50); i++)); do
		old=$A_PUB
		keys A
		on A wg set wg0 private-key "$(key_file "$A_KEY")"
		on B wg set wg0 peer "$old" remove peer "$A_PUB" endpoint 192.0.2.1:1001 allowed-ips 10.77.0.1/32,fd77::1/128
		works
	done
}
test_case "N11 private keys change" t_keys "$(limit)"

t_ports() {
	local i port
	tunnel
	traffic
	works
	for ((i = 0; i < $(rounds 10 250); i++)); do
		port=$((i % 3 == 2 ? 0 : 1003 + i % 3))
		on A wg set wg0 listen-port "$port"
		((i % 5)) || works
	done
	on A wg set wg0 listen-port 1001
	works
}
test_case "N9 listen ports change" t_ports "$(limit)"

t_suspend() {
	local i state before delay=/sys/module/suspend/parameters/pm_test_delay
	[[ -w /sys/power/pm_test ]] || skip "no test of suspend in this kernel"
	state=$(grep -oE 'freeze|mem|standby' /sys/power/state | head -n 1)
	[[ -n $state ]] || skip "no suspend in this kernel"
	[[ ! -w $delay ]] || echo 1 > "$delay"
	echo freezer > /sys/power/pm_test
	trap 'echo none > /sys/power/pm_test' EXIT
	tunnel
	traffic
	for ((i = 0; i < $(rounds 1 15); i++)); do
		works
		before=$(peer_field A wg0 "$B_PUB" 5)
		sleep 1.1
		echo "$state" > /sys/power/state
		# All keys are gone: what passes now passes by new ones.
		works
		wait_until 20 has_handshake A wg0 "$B_PUB" "$before"
	done
}
test_case "P1 suspend: everything is frozen, all keys are erased" t_suspend "$(limit)"

# interfaces N: makes them in C, sets PEAK, ends a third of them one by one and the
# rest with the namespace.
interfaces() {
	local i n=$1
	ns_add C
	for ((i = 0; i < n; i++)); do echo "link add w$i type wireguard"; done > "$WORK/add"
	for ((i = 0; i < n; i++)); do echo "link set w$i up"; done > "$WORK/up"
	for ((i = 0; i < n; i += 3)); do echo "link del w$i"; done > "$WORK/del"
	on C ip -batch "$WORK/add"
	many C devices w "$n"
	on C ip -batch "$WORK/up"
	equal "$(on C ip -o link show type wireguard up | wc -l)" "$n" "interfaces"
	sleep 1
	PEAK=$(kernel_kib)
	on C ip -batch "$WORK/del"
	equal "$(on C ip -o link show type wireguard | wc -l)" $((n - (n + 2) / 3)) "interfaces left"
	ns_del C
	works
}
t_interfaces() {
	local n before after
	n=$(rounds 40 300)
	tunnel
	flood A 10.77.0.2
	works
	# The first time the kernel's caches grow; what grows again is lost.
	interfaces "$n"
	sleep 3
	before=$(kernel_kib)
	interfaces "$n"
	wait_until 60 eval "(( \$(kernel_kib) < $before + ($PEAK - $before) / 4 + 1024 ))"
	after=$(kernel_kib)
	diag "$n interfaces, the second time: kernel memory before $before KiB, with them $PEAK, after $after; $(((PEAK - before) / n)) KiB each"
}
test_case "R12 R19 hundreds of interfaces that initiate, and their end" t_interfaces "$(limit 120)"

t_many_peers() {
	local n before peak after
	n=$(rounds 1000 10000)
	tunnel
	flood A 10.77.0.2
	blast B A 10.77.0.1
	works
	# Once ahead, so that the second time shows what stays.
	many A add wg0 500 500000
	many A remove wg0 500 500000
	sleep 2
	before=$(kernel_kib)
	many A add wg0 "$n" 0
	equal "$(many A count wg0)" $((n + 1)) "peers"
	peak=$(kernel_kib)
	pings A 10.77.0.2
	# Others in their place: the tunnel's own peer goes, too.
	many A remove wg0 $((n / 2)) 0
	equal "$(many A count wg0)" $((n - n / 2 + 1)) "peers"
	many A add wg0 "$((n / 2))" "$n"
	printf '[Interface]\nPrivateKey = %s\nListenPort = 1001\n[Peer]\nPublicKey = %s\nEndpoint = 192.0.2.2:1002\nAllowedIPs = 10.77.0.2/32, fd77::2/128\n' \
		"$A_KEY" "$B_PUB" > "$WORK/conf"
	on A wg setconf wg0 "$WORK/conf"
	equal "$(many A count wg0)" 1 "peers"
	works
	wait_until 60 eval "(( \$(kernel_kib) < $before + ($peak - $before) / 4 + 2048 ))"
	after=$(kernel_kib)
	diag "$n peers: kernel memory before $before KiB, with them $peak, after $after; $(((peak - before) * 1024 / n)) bytes each"
}
test_case "N10 N12 N16 thousands of peers: added, listed, removed, replaced; their memory returns" t_many_peers "$(limit 120)"

run_tests
