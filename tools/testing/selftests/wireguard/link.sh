#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The network device: its properties, its states, its errors and its counters.

. "$(dirname "$0")/lib.sh"

probe() { python3 "$TEST_DIR/probe.py" "$1" "$(ns "$2")" "${@:3}"; }
# one: namespace A with wg0, addresses, up, and a route through it.
one() {
	ns_add A
	on A ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$(wg genkey)")"
	on A ip addr add 10.77.0.1/24 dev wg0
	on A ip addr add fd77::1/64 dev wg0 nodad
	on A ip link set wg0 up
}

t_kind() {
	ns_add A
	on A ip link add wg0 type wireguard
	equal "$(link_json A wg0 linkinfo.info_kind)" wireguard kind
	equal "$(link_json A wg0 linkinfo.info_data)" "" "info data"
	equal "$(link_json A wg0 link_netnsid)" "" "link netns id"
	equal "$(on A ip -o link show type wireguard | wc -l)" 1 "listed by kind"
	on A ip link del wg0
	refute on A ip link show dev wg0 2> /dev/null
}
test_case "R1 link kind wireguard, no info data, no link netns id" t_kind

t_layer() {
	ns_add A
	on A ip link add wg0 type wireguard
	equal "$(on_sys A cat /sys/class/net/wg0/type)" 65534 type
	equal "$(on_sys A cat /sys/class/net/wg0/addr_len)" 0 "address length"
	equal "$(($(on_sys A cat /sys/class/net/wg0/flags)))" $((0x90)) "flags POINTOPOINT|NOARP"
	on_sys A grep -qx DEVTYPE=wireguard /sys/class/net/wg0/uevent
	equal "$(link_json A wg0 link_type)" none "link type"
}
test_case "R3 layer none, point to point, no ARP, device type" t_layer

t_mtu() {
	ns_add A
	on A ip link add wg0 type wireguard
	equal "$(link_json A wg0 mtu)" 1420 "default mtu"
	equal "$(link_json A wg0 min_mtu)" 0 "min mtu"
	equal "$(link_json A wg0 max_mtu)" 2147483552 "max mtu"
	on A ip link set wg0 mtu 2147483552
	equal "$(link_json A wg0 mtu)" 2147483552 mtu
	refute on A ip link set wg0 mtu 2147483553 2> /dev/null
	on A ip link set wg0 mtu 0
	on A ip link set wg0 mtu 34736
	equal "$(link_json A wg0 mtu)" 34736 mtu
}
test_case "R4 mtu 1420, from 0 to 2147483552" t_mtu

t_mtu_static() {
	tunnel 1420 4 1400
	pings A 10.77.0.2
	equal "$(link_json A wg0 mtu)" 1420 "mtu over a smaller path"
}
test_case "R4 the mtu does not follow the path" t_mtu_static

t_queue() {
	one
	equal "$(link_json A wg0 qdisc)" noqueue qdisc
	equal "$(link_json A wg0 txqlen)" 1000 "queue length"
	equal "$(link_json A wg0 num_tx_queues)" 1 "tx queues"
	equal "$(link_json A wg0 num_rx_queues)" 1 "rx queues"
}
test_case "R5 noqueue, length 1000, one queue each way" t_queue

t_queues() {
	ns_add A
	on A ip link add wg0 numtxqueues 3 numrxqueues 2 type wireguard
	equal "$(link_json A wg0 num_tx_queues)" 3 "tx queues"
	equal "$(link_json A wg0 num_rx_queues)" 2 "rx queues"
}
test_case "R5 queue counts follow the request" t_queues

t_features() {
	local f
	one
	on A ethtool -k wg0 > "$WORK/features"
	for f in rx-checksumming tx-checksum-ip-generic scatter-gather generic-segmentation-offload \
		generic-receive-offload tcp-segmentation-offload tx-tcp-segmentation \
		tx-tcp-ecn-segmentation tx-tcp-mangleid-segmentation tx-tcp6-segmentation \
		tx-udp-segmentation tx-sctp-segmentation tx-gso-list highdma; do
		grep -Eq "^[[:space:]]*$f: on" "$WORK/features" || fail "feature $f is not on"
	done
	for f in tso gso sg tx gro; do
		on A ethtool -K wg0 "$f" off > /dev/null
		on A ethtool -K wg0 "$f" on > /dev/null
	done
	equal "$(link_json A wg0 tso_max_size)" 524280 "tso max size"
	on A ip link set wg0 gso_max_size 131072 gso_ipv4_max_size 131072
	equal "$(link_json A wg0 gso_max_size)" 131072 "gso max size"
}
test_case "R7 offload features, switchable, BIG TCP sizes" t_features

t_ethtool() {
	one
	on A ethtool -i wg0 > "$WORK/info"
	equal "$(sed -n 's/^driver: //p' "$WORK/info")" wireguard driver
	equal "$(sed -n 's/^version: //p' "$WORK/info")" "$(uname -r)" version
}
test_case "R9 ethtool tells the driver's name" t_ethtool

t_open() {
	ns_add A
	on A sysctl -qw net.ipv4.conf.all.send_redirects=1
	on A ip link add wg0 type wireguard
	on A sysctl -qw net.ipv4.conf.wg0.send_redirects=1
	on A ip link set wg0 up
	equal "$(on A cat /proc/sys/net/ipv4/conf/wg0/send_redirects)" 0 "send_redirects of the device"
	equal "$(on A cat /proc/sys/net/ipv4/conf/all/send_redirects)" 0 "send_redirects of all"
	equal "$(on A cat /proc/sys/net/ipv6/conf/wg0/addr_gen_mode)" 1 "addr_gen_mode none"
	equal "$(on A ip -o -6 addr show dev wg0 | wc -l)" 0 "IPv6 addresses"
	equal "$(on_sys A cat /sys/class/net/wg0/operstate)" unknown operstate
	equal "$(on_sys A cat /sys/class/net/wg0/carrier)" 1 carrier
}
test_case "R13 open: no redirects, no link-local address, carrier" t_open

t_sockets() {
	ns_add A
	on A ip link add wg0 type wireguard
	on A wg set wg0 listen-port 4242
	refute on A grep -q ':1092 ' /proc/net/udp
	on A ip link set wg0 up
	on A grep -q ' 00000000:1092 ' /proc/net/udp
	on A grep -q ' 00000000000000000000000000000000:1092 ' /proc/net/udp6
	on A ip link set wg0 down
	refute on A grep -q ':1092 ' /proc/net/udp
	refute on A grep -q ':1092 ' /proc/net/udp6
}
test_case "O1 R14 one IPv4 and one IPv6 socket while up, none while down" t_sockets

t_open_busy() {
	ns_add A
	on A ip link add wg0 type wireguard
	on A wg set wg0 listen-port 2000
	hold_port A 0.0.0.0 2000
	fails_with "Address already in use" on A ip link set wg0 up
	refute is_up A wg0
	kill "$HOLDER"
	wait_until 5 on A ip link set wg0 up
}
test_case "R13 open fails with EADDRINUSE and can be tried again" t_open_busy

# in_cgroup KIND COMMAND...: runs it where that is denied, see probe.py.
in_cgroup() {
	local rc=0
	python3 "$TEST_DIR/probe.py" denied "$@" || rc=$?
	((rc != 4)) || skip "no BPF programs for cgroups"
	return "$rc"
}
t_cgroup() {
	tunnel
	on A ip link set wg0 down
	refute in_cgroup bind ip -n "$(ns A)" link set wg0 up 2> "$WORK/said"
	grep -q "Operation not permitted" "$WORK/said"
	refute is_up A wg0
	in_cgroup receive ip -n "$(ns A)" link set wg0 up
	pings A 10.77.0.2
	pings B 10.77.0.1
}
test_case "R13 the cgroup of whoever brings the link up: asked for the port, not for what comes in" t_cgroup

t_open_busy6() {
	ns_add A
	on A ip link add wg0 type wireguard
	on A wg set wg0 listen-port 2000
	on A sysctl -qw net.ipv6.bindv6only=1
	hold_port A :: 2000
	fails_with "Address already in use" on A ip link set wg0 up
	refute on A grep -q ':07D0 ' /proc/net/udp
}
test_case "R13 a busy IPv6 port fails the open and closes the IPv4 socket" t_open_busy6

t_no_ipv6() {
	ns_add A
	on A sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	on A ip link add wg0 type wireguard
	on A ip link set wg0 up
}
test_case "O1 up with IPv6 disabled in the namespace" t_no_ipv6

t_down_up() {
	local before
	tunnel
	pings A 10.77.0.2
	before=$(peer_field A wg0 "$B_PUB" 5)
	at_least "$before" 1 handshake
	on A ip link set wg0 down
	on A ip link set wg0 up
	# The session was dropped, a new one is made at once.
	pings A 10.77.0.2
	equal "$(link_json A wg0 operstate)" UNKNOWN operstate
	equal "$(on A wg show wg0 listen-port)" 1001 port
}
test_case "R14 down drops the sessions, up begins anew at once" t_down_up

t_no_peer() {
	one
	equal "$(probe udp A 10.77.0.9)" "ENOKEY icmp 3 1" "IPv4"
	equal "$(probe udp A fd77::9)" "ENOKEY icmp 1 3" "IPv6"
	equal "$(link_stat A wg0 tx_errors)" 2 tx_errors
	equal "$(link_stat A wg0 tx_packets)" 0 tx_packets
}
test_case "X2 X4 X5 S6 no peer: ENOKEY, ICMP unreachable, tx_errors" t_no_peer

t_no_endpoint() {
	one
	on A wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 10.77.0.0/24,fd77::/64
	equal "$(probe udp A 10.77.0.9)" "EDESTADDRREQ icmp 3 1" "IPv4"
	equal "$(probe udp A fd77::9)" "EDESTADDRREQ icmp 1 3" "IPv6"
	equal "$(link_stat A wg0 tx_errors)" 2 tx_errors
}
test_case "X3 X4 X5 S6 no endpoint: EDESTADDRREQ, ICMP unreachable, tx_errors" t_no_endpoint

t_ping_messages() {
	one
	matches "$(on A ping -c 1 -W 1 10.77.0.9 2>&1 || true)" "Required key not available" ping
	on A wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 10.77.0.0/24
	matches "$(on A ping -c 1 -W 1 10.77.0.9 2>&1 || true)" "Destination address required" ping
}
test_case "X2 X3 what ping says" t_ping_messages

t_protocol() {
	local v4=45000020000000004011000000000000 v6=6000000000001140
	one
	v4+=0a4d0002
	v4=${v4:0:24}0a4d00010a4d0002000000000000000000000000
	v6+=fd770000000000000000000000000001fd770000000000000000000000000009
	# The protocol must be the one of the version nibble.
	equal "$(probe raw A wg0 0x0800 "$v4")" ENOKEY "IPv4 as IPv4"
	equal "$(probe raw A wg0 0x86dd "$v6")" ENOKEY "IPv6 as IPv6"
	equal "$(link_stat A wg0 tx_errors)" 2 tx_errors
	equal "$(probe raw A wg0 0x86dd "$v4")" EPROTONOSUPPORT "IPv4 as IPv6"
	equal "$(probe raw A wg0 0x0800 "$v6")" EPROTONOSUPPORT "IPv6 as IPv4"
	equal "$(probe raw A wg0 0x0806 "$v4")" EPROTONOSUPPORT "IPv4 as ARP"
	equal "$(probe raw A wg0 0x0800 "${v4:0:24}")" EPROTONOSUPPORT "short IPv4"
	equal "$(probe raw A wg0 0x86dd "${v6:0:60}")" EPROTONOSUPPORT "short IPv6"
	equal "$(link_stat A wg0 tx_errors)" 7 tx_errors
	# Without a protocol the header operations find it.
	equal "$(probe dgram A wg0 "$v4")" ENOKEY "IPv4 by parse_protocol"
	equal "$(probe dgram A wg0 "$v6")" ENOKEY "IPv6 by parse_protocol"
}
test_case "X1 R3 protocol must agree with the packet: EPROTONOSUPPORT" t_protocol

# quiet: until the keepalive of 10 s after the last answer has gone; nothing is sent after it for minutes.
quiet() { sleep 11; }

t_counters() {
	local sent packets
	tunnel
	on A ping -q -c 10 -f -W 5 10.77.0.2 > /dev/null
	quiet
	sent=$(peer_field A wg0 "$B_PUB" 7)
	# The first ping confirms the session, or a keepalive does where another CPU
	# was quicker with the ping (S5). One more keepalive at the end.
	packets=$((12 + (sent - 1460) / 32))
	[[ $sent == 1460 || $sent == 1492 ]] || equal "$sent" 1460 "A transmitted"
	equal "$(peer_field A wg0 "$B_PUB" 6)" 1372 "A received"
	equal "$(peer_field B wg0 "$A_PUB" 6)" "$sent" "B received"
	equal "$(peer_field B wg0 "$A_PUB" 7)" 1372 "B transmitted"
	equal "$(link_stat A wg0 tx_bytes)" "$sent" "A tx_bytes"
	equal "$(link_stat A wg0 rx_bytes)" 1372 "A rx_bytes"
	equal "$(link_stat B wg0 rx_bytes)" "$sent" "B rx_bytes"
	equal "$(link_stat B wg0 tx_bytes)" 1372 "B tx_bytes"
	equal "$(link_stat A wg0 tx_packets)" "$packets" "A tx_packets"
	equal "$(link_stat A wg0 rx_packets)" 11 "A rx_packets"
	equal "$(link_stat B wg0 rx_packets)" "$packets" "B rx_packets"
	equal "$(link_stat B wg0 tx_packets)" 11 "B tx_packets"
}
test_case "S5 S1 S2 S3 S4 R10 transfer counters after ten pings" t_counters

t_counters_bulk() {
	local side key
	tunnel
	transfer A B 10.77.0.2 --bytes 524288 --udp 50
	quiet
	for side in A B; do
		key=$B_PUB
		[[ $side == A ]] || key=$A_PUB
		equal "$(peer_field "$side" wg0 "$key" 6)" "$(link_stat "$side" wg0 rx_bytes)" "$side received"
		equal "$(peer_field "$side" wg0 "$key" 7)" "$(link_stat "$side" wg0 tx_bytes)" "$side transmitted"
	done
	equal "$(peer_field A wg0 "$B_PUB" 7)" "$(peer_field B wg0 "$A_PUB" 6)" "A to B"
	equal "$(peer_field B wg0 "$A_PUB" 7)" "$(peer_field A wg0 "$B_PUB" 6)" "B to A"
}
test_case "S5 S8 peer and link counters agree after bulk data" t_counters_bulk

t_staged() {
	underlay
	keys A B
	on A ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$A_KEY")" peer "$B_PUB" endpoint 192.0.2.2:9 allowed-ips 10.77.0.0/24
	on A ip addr add 10.77.0.1/24 dev wg0
	on A ip link set wg0 up
	equal "$(probe udp A 10.77.0.2 200)" "ok none" "sends while no session exists"
	# The last ones may still wait for a worker, on a busy machine.
	wait_until 10 eval "(( \$(link_stat A wg0 tx_dropped) >= 71 ))"
	equal "$(link_stat A wg0 tx_dropped)" 71 "tx_dropped after 200 packets"
	equal "$(link_stat A wg0 tx_errors)" 0 tx_errors
	on A ip link set wg0 down
	equal "$(link_stat A wg0 tx_dropped)" 200 "tx_dropped after down"
}
test_case "X8 R14 S6 staged packets: oldest dropped beyond 128, purged on down" t_staged

# Packets that wait for the handshake are sent in order once it is done.
t_staged_flush() {
	tunnel
	on B ip link set wg0 down
	equal "$(probe udp A 10.77.0.2 20)" "ok none" sends
	on B ip link set wg0 up
	# Either side's next handshake brings them over.
	on B wg set wg0 peer "$A_PUB" persistent-keepalive 60
	wait_until 10 has_handshake A wg0 "$B_PUB"
	wait_until 5 eval "(( \$(link_stat B wg0 rx_packets) >= 21 ))"
}
test_case "X9 H12 staged packets go out when a session exists" t_staged_flush

t_many() {
	local i
	ns_add A
	for ((i = 0; i < 50; i++)); do
		on A ip link add "wg$i" type wireguard
		on A ip link set "wg$i" up
	done
	equal "$(on A wg show interfaces | wc -w)" 50 interfaces
	equal "$(on A wg show all listen-port | awk '{ print $2 }' | sort -u | wc -l)" 50 "different ports"
	ns_del A
}
test_case "R13 R17 fifty interfaces, each on its own port, gone with the namespace" t_many 120

t_name() {
	ns_add A
	on A ip link add wg0 type wireguard
	on A ip link set wg0 name tunnel7
	on A wg set tunnel7 private-key "$(key_file "$(wg genkey)")" listen-port 77
	equal "$(on A wg show interfaces)" tunnel7 interfaces
	on A ip link set tunnel7 up
	on A ip link del tunnel7
}
test_case "R1 a renamed device goes on working" t_name

t_threads() {
	tunnel
	pings A 10.77.0.2
	if ours; then
		refute pgrep -f 'napi/wg0' > /dev/null
		on_sys A bash -c 'echo 1 > /sys/class/net/wg0/threaded'
		pgrep -f 'napi/wg0' > /dev/null
		pings A 10.77.0.2
		transfer A B 10.77.0.2 --bytes 524288
		on_sys A bash -c 'echo 0 > /sys/class/net/wg0/threaded'
		pings A 10.77.0.2
	else
		equal "$(on_sys A cat /sys/class/net/wg0/threaded)" 1 threaded
	fi
}
test_case "R11 threads: none a peer in this driver, threaded NAPI in the C driver" t_threads

# Lanes go from threads to softirqs and back while there is always something in them.
t_threads_come_and_go() {
	local i sender
	ours || skip "the C driver has them switched on for good"
	tunnel
	pings A 10.77.0.2
	hold_port B 10.77.0.2 9
	python3 "$TEST_DIR/probe.py" burst "$(ns A)" 10.77.0.2 8 > /dev/null &
	sender=$!
	for ((i = 0; i < 40; i++)); do
		on_sys B bash -c "echo $((i % 2 == 0)) > /sys/class/net/wg0/threaded"
		sleep 0.1
	done
	wait "$sender"
	kill "$HOLDER"
	equal "$(on_sys B cat /sys/class/net/wg0/threaded)" 0 threaded
	pings A 10.77.0.2
	transfer A B 10.77.0.2 --bytes 524288
}
test_case "R11 threads of lanes come and go under load" t_threads_come_and_go

t_room() {
	local line
	ns_add A
	on A ip link add wg0 type wireguard
	kernel_event room dev_get_stats 'name=dev->name:string' 'head=dev->needed_headroom:u16' 'tail=dev->needed_tailroom:u16'
	on A ip -s link show dev wg0 > /dev/null
	line=$(kernel_events room | grep 'name="wg0"' | tail -n 1)
	# 16 + 40 + 8 and what the kernel adds for cache lines (64 bytes, at least 32).
	matches "$line" 'head=(96|128|192) tail=32$' "needed room"
	[[ $(uname -m) != x86_64 ]] || matches "$line" 'head=128 ' "headroom"
}
test_case "R6 packets are made with 128 bytes of headroom and 32 of tailroom" t_room

t_workqueues() {
	local event=$TRACING/events/workqueue/workqueue_queue_work
	[[ -d $event ]] || skip "no trace events of work queues"
	: > "$TRACING/trace"
	echo 'workqueue ~ "wg-*"' > "$event/filter"
	echo 1 > "$event/enable"
	tunnel
	pings A 10.77.0.2
	echo 0 > "$event/enable"
	echo 0 > "$event/filter"
	# Handshakes are worked on there.
	grep -q 'workqueue=wg-kex-wg0' "$TRACING/trace"
	# One that may be needed to free memory has a thread of its own for that. The namespaces of
	# the case before may still be on their way out.
	wait_until 10 eval "(( \$(cat /proc/[0-9]*/comm 2> /dev/null | tee '$WORK/threads' | grep -c 'R-wg-crypt-wg0\$') <= 2 ))"
	equal "$(grep -c 'R-wg-crypt-wg0$' "$WORK/threads")" 2 "rescuers of wg-crypt-wg0, for two interfaces"
	refute grep -q 'R-wg-kex' "$WORK/threads"
	on A ip link del wg0
	on B ip link del wg0
	cat /proc/[0-9]*/comm > "$WORK/threads" 2> /dev/null || true
	refute grep 'R-wg-' "$WORK/threads"
}
test_case "R12 work queues wg-kex and wg-crypt for each interface" t_workqueues

t_log_sockets() {
	local mark="wgtest-$$-$RANDOM"
	ns_add A
	on A ip link add wg0 type wireguard
	on A wg set wg0 listen-port 2000
	on A sysctl -qw net.ipv6.bindv6only=1
	hold_port A 0.0.0.0 2000
	echo "$mark" > /dev/kmsg
	fails_with "Address already in use" on A ip link set wg0 up
	kill "$HOLDER"
	wait "$HOLDER" 2> /dev/null || true
	hold_port A :: 2000
	fails_with "Address already in use" on A ip link set wg0 up
	dmesg | sed "1,/$mark/d" | sed -n 's/.*wireguard: //p' > "$WORK/lines"
	equal "$(cat "$WORK/lines")" "wg0: Could not create IPv4 socket
wg0: Could not create IPv6 socket" "lines in the log"
}
test_case "G1 sockets that cannot be made are told in the log" t_log_sockets

run_tests
