#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device in one network namespace, its sockets in another: moves, and the
# end of either namespace.

. "$(dirname "$0")/lib.sh"

# split: sockets in S (over lo), wg0 in A and wg0 in B, both created in S.
split() {
	local outer=${1:-127.0.0.1}
	ns_add S A B
	keys A B
	on S ip link add wga type wireguard
	on S ip link add wgb type wireguard
	on S wg set wga private-key "$(key_file "$A_KEY")" listen-port 1001 \
		peer "$B_PUB" endpoint "$outer:1002" allowed-ips 10.77.0.2/32,fd77::2/128
	on S wg set wgb private-key "$(key_file "$B_KEY")" listen-port 1002 \
		peer "$A_PUB" endpoint "$outer:1001" allowed-ips 10.77.0.1/32,fd77::1/128
	on S ip link set wga netns "$(ns A)" name wg0
	on S ip link set wgb netns "$(ns B)" name wg0
	on A ip addr add 10.77.0.1/24 dev wg0
	on B ip addr add 10.77.0.2/24 dev wg0
	on A ip addr add fd77::1/64 dev wg0 nodad
	on B ip addr add fd77::2/64 dev wg0 nodad
	on A ip link set wg0 up
	on B ip link set wg0 up
}
no_sockets() { ! on "$1" grep -q ":$2 " /proc/net/udp && ! on "$1" grep -q ":$2 " /proc/net/udp6; }
# wireguard_devices: how many are left anywhere that we can see.
gone() { ! ip netns list | grep "^$(ns "$1")\b" > /dev/null; }

t_split4() {
	split
	pings A 10.77.0.2
	pings B fd77::1
	transfer A B 10.77.0.2 --back fd77::1 --bytes 1048576
	# Ports are taken in the creating namespace only.
	on S grep -q ':03E9 ' /proc/net/udp
	no_sockets A 03E9
	no_sockets B 03EA
}
test_case "R15 sockets stay in the creating namespace, IPv4 outside" t_split4

t_split6() {
	split "[::1]"
	on A ip link set wg0 mtu 34736
	on B ip link set wg0 mtu 34736
	pings A fd77::2
	transfer A B fd77::2 --back 10.77.0.1 --bytes 1048576
}
test_case "R15 R4 the same, IPv6 outside, MTU 34736" t_split6

t_move_up() {
	ns_add S A
	on S ip link add wg0 type wireguard
	on S wg set wg0 private-key "$(key_file "$(wg genkey)")" listen-port 1001
	on S ip link set wg0 up
	on S ip link set wg0 netns "$(ns A)"
	refute on S ip link show dev wg0 2> /dev/null
	# The move took it down; the configuration is still there.
	equal "$(on A wg show wg0 listen-port)" 1001 port
	refute is_up A wg0
	no_sockets S 03E9
	on A ip link set wg0 up
	on S grep -q ':03E9 ' /proc/net/udp
	# And back.
	on A ip link set wg0 netns "$(ns S)"
	on S ip link set wg0 up
	on S grep -q ':03E9 ' /proc/net/udp
}
test_case "R15 a device moved while up keeps its configuration" t_move_up

t_link_netns() {
	ns_add S A
	# Created from S directly in A: the sockets are in S.
	ip -n "$(ns S)" link add wg0 netns "$(ns A)" type wireguard
	on A wg set wg0 listen-port 1001
	on A ip link set wg0 up
	on S grep -q ':03E9 ' /proc/net/udp
	no_sockets A 03E9
	on A ip link del wg0
	no_sockets S 03E9
	# Created from outside, with link-netns naming the home of the sockets.
	ip link add wg1 netns "$(ns A)" link-netns "$(ns S)" type wireguard
	on A wg set wg1 listen-port 1001
	on A ip link set wg1 up
	on S grep -q ':03E9 ' /proc/net/udp
	no_sockets A 03E9
}
test_case "R15 created in another namespace, with and without link-netns" t_link_netns

t_creating_dies() {
	split
	pings A 10.77.0.2
	equal "$(on_sys A cat /sys/class/net/wg0/carrier)" 1 "carrier before"
	ns_del S
	wait_until 20 eval "[[ \$(on_sys A cat /sys/class/net/wg0/carrier) == 0 ]]"
	wait_until 20 eval "[[ \$(on_sys B cat /sys/class/net/wg0/carrier) == 0 ]]"
	refute on A ping -q -c 1 -W 1 10.77.0.2 > /dev/null
	fails_with "Operation not permitted" on A wg set wg0 listen-port 9
	fails_with "Operation not permitted" on A wg set wg0 fwmark 9
	# Everything else can still be set and shown.
	on A wg set wg0 peer "$B_PUB" persistent-keepalive 3 allowed-ips 10.77.0.0/24
	equal "$(on A wg show wg0 listen-port)" 1001 port
	on A wg set wg0 private-key "$(key_file "$(wg genkey)")"
	on A ip link set wg0 down
	fails_with "Machine is not on the network" on A ip link set wg0 up
	on A ip link del wg0
}
test_case "R16 the creating namespace ends: no carrier, ENONET, EPERM" t_creating_dies

t_creating_dies_busy() {
	split
	# One begins: of initiations that cross each other neither side keeps its own.
	pings A 10.77.0.2
	on A ping -q -f -w 20 10.77.0.2 > /dev/null 2>&1 &
	on B ping -q -f -w 20 fd77::1 > /dev/null 2>&1 &
	sleep 0.3
	ns_del S
	wait_until 20 eval "[[ \$(on_sys A cat /sys/class/net/wg0/carrier) == 0 ]]"
	jobs -p | xargs -r kill 2> /dev/null || true
}
test_case "R16 the creating namespace ends under traffic" t_creating_dies_busy

t_device_dies() {
	split
	pings A 10.77.0.2
	ns_del A
	# The device goes with it, and so do its sockets in the other namespace.
	wait_until 20 no_sockets S 03E9
	on S grep -q ':03EA ' /proc/net/udp
	# Its port is free again; nothing came to us.
	refute ip link show dev wg0 2> /dev/null
	on S ip link add wgx type wireguard
	on S wg set wgx listen-port 1001
	on S ip link set wgx up
}
test_case "R17 the device's namespace ends: device and sockets gone" t_device_dies

t_device_dies_busy() {
	split
	on B ping -q -f -w 20 10.77.0.1 > /dev/null 2>&1 &
	wait_until 10 has_handshake B wg0 "$A_PUB"
	sleep 0.3
	ns_del A
	wait_until 20 no_sockets S 03E9
	jobs -p | xargs -r kill 2> /dev/null || true
}
test_case "R17 the device's namespace ends under traffic" t_device_dies_busy

# Two devices, each created in the other's namespace: no cycle keeps them alive.
t_crosswise() {
	local i before after
	before=$(lsmod | awk '$1 == "wireguard" { print $3 }')
	for ((i = 0; i < 3; i++)); do
		ns_add A B
		on A ip link add wg0 netns "$(ns B)" type wireguard
		on B ip link add wg0 netns "$(ns A)" type wireguard
		on A wg set wg0 listen-port 1001
		on B wg set wg0 listen-port 1001
		on A ip link set wg0 up
		on B ip link set wg0 up
		# Both ends of the namespaces must be noticed: watch by their inodes.
		stat -Lc %i "/run/netns/$(ns A)" "/run/netns/$(ns B)" >> "$WORK/inodes"
		ns_del A
		ns_del B
	done
	wait_until 30 no_live_netns
	after=$(lsmod | awk '$1 == "wireguard" { print $3 }')
	equal "$after" "$before" "use count of the module"
}
# no_live_netns: the kernel has let go of all namespaces that we made; it counts
# them in the slab of struct net, where that is shown on its own. What is freed
# but kept ready by a CPU counts as well, until the slab is told to shrink; the
# one that died last is freed when the next dies. Six of ours would have leaked.
no_live_netns() { (($(net_count) <= NET_BASE + 1)); }
net_count() {
	local n shrink=/sys/kernel/slab/net_namespace/shrink
	[[ ! -w $shrink ]] || echo 1 > "$shrink"
	n=$(awk '$1 == "net_namespace" { print $2 }' /proc/slabinfo 2> /dev/null)
	echo "${n:-0}"
}
test_case "R17 R18 crosswise devices and namespaces vanish together" t_crosswise

# The route cache of a peer must not keep a dead namespace's devices.
t_dst_release() {
	split
	on S ip link add d0 type dummy
	on S ip addr add 198.51.100.1/24 dev d0
	on S ip link set d0 up
	on S ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev d0 nud permanent
	on A wg set wg0 peer "$B_PUB" endpoint 198.51.100.9:9
	refute on A ping -q -c 1 -W 1 10.77.0.2 > /dev/null
	on S timeout 10 ip link del d0
	lacks "waiting for d0" dmesg
	ns_del S
}
test_case "R18 route caches let go of devices that are removed" t_dst_release

# The deepest tables there can be, of many interfaces that go at once: whoever
# configures anything else meanwhile waits for a moment at most.
t_deep_end() {
	local i ips
	ns_add S
	ips=$(for ((i = 0; i <= 128; i++)); do echo -n "::/$i,"; done)
	ips+=$(for ((i = 0; i <= 32; i++)); do echo -n "0.0.0.0/$i,"; done)
	for ((i = 0; i < 12; i++)); do
		on S ip link add "wg$i" type wireguard
		on S wg set "wg$i" peer "$(wg pubkey < "$(key_file "$(wg genkey)")")" \
			allowed-ips "${ips%,}"
	done
	equal "$(on S wg show wg11 allowed-ips | wc -w)" 163 "words in the list"
	ip netns del "$(ns S)"
	python3 -u - <<- 'PY'
		import fcntl, socket, struct, time

		SIOCGIFTXQLEN, SIOCSIFTXQLEN = 0x8942, 0x8943
		sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		length = fcntl.ioctl(sock, SIOCGIFTXQLEN, struct.pack("=16si20x", b"lo", 0))
		longest, turns, end = 0, 0, time.monotonic() + 6
		while time.monotonic() < end:
		    begin = time.monotonic()
		    fcntl.ioctl(sock, SIOCSIFTXQLEN, length)
		    longest = max(longest, time.monotonic() - begin)
		    turns += 1
		    time.sleep(0.001)
		print(f"# {turns} turns, the longest took {longest * 1e3:.0f} ms")
		assert turns > 20 and longest < 2
	PY
}
test_case "R18 R19 the end of deep tables keeps nobody waiting" t_deep_end

t_two_devices_port() {
	ns_add S
	on S ip link add wg0 type wireguard
	on S ip link add wg1 type wireguard
	on S wg set wg0 listen-port 1001
	on S wg set wg1 listen-port 1001
	on S ip link set wg0 up
	fails_with "Address already in use" on S ip link set wg1 up
	on S ip link set wg0 down
	on S ip link set wg1 up
}
test_case "R13 two devices cannot listen on one port of a namespace" t_two_devices_port

t_init_sockets() {
	ns_add A
	ip link add wgt0 netns "$(ns A)" type wireguard
	on A ip link set wgt0 up
	on A ip link del wgt0
	# Back into the namespace of the sockets, then gone.
	ip link add wgt0 netns "$(ns A)" type wireguard
	on A ip link set wgt0 netns 1
	ip link set wgt0 up
	ip link del wgt0
}
test_case "R15 a device comes home to its sockets' namespace" t_init_sockets

NET_BASE=$(net_count)
export NET_BASE
run_tests
