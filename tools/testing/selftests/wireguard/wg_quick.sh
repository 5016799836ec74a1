#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wg-quick: up, down, save, strip, routes and the policy routing of a default
# route, with this driver underneath.

. "$(dirname "$0")/lib.sh"

# A second end in B (plain commands), and in A a configuration for wg-quick.
# prepare [LINES FOR INTERFACE] [ALLOWED IPS]
prepare() {
	need wg-quick
	underlay
	keys A B
	on B ip link add wg0 type wireguard
	on B wg set wg0 private-key "$(key_file "$B_KEY")" listen-port 1002 \
		peer "$A_PUB" allowed-ips 10.77.0.1/32,fd77::1/128
	on B ip addr add 10.77.0.2/24 dev wg0
	on B ip addr add fd77::2/64 dev wg0 nodad
	on B ip link set wg0 up
	# Something behind B that is reached through the tunnel only.
	on B ip addr add 10.99.0.1/32 dev lo
	on B ip addr add fd99::1/128 dev lo
	mkdir -p "$WORK/etc"
	CONF="$WORK/etc/wgq.conf"
	umask 077
	cat > "$CONF" <<- CONFIG
		[Interface]
		PrivateKey = $A_KEY
		ListenPort = 1001
		Address = 10.77.0.1/24, fd77::1/64
		${1:-MTU = 1380}

		[Peer]
		PublicKey = $B_PUB
		Endpoint = 192.0.2.2:1002
		AllowedIPs = ${2:-10.77.0.2/32, fd77::2/128, 10.99.0.0/16, fd99::/64}
	CONFIG
}
quick() { on_sys A wg-quick "$@" > "$WORK/quick" 2>&1 || { sed 's/^/# /' "$WORK/quick"; return 1; }; }

t_up_down() {
	prepare
	quick up "$CONF"
	equal "$(link_json A wgq mtu)" 1380 mtu
	on A ip addr show dev wgq | grep 'inet 10.77.0.1/24' > /dev/null
	on A ip addr show dev wgq | grep 'inet6 fd77::1/64' > /dev/null
	on A ip route show dev wgq | grep '^10.99.0.0/16' > /dev/null
	on A ip -6 route show dev wgq | grep '^fd99::/64' > /dev/null
	pings A 10.77.0.2
	pings A fd77::2
	pings A 10.99.0.1
	pings A fd99::1
	transfer A B 10.99.0.1 --bytes 262144
	quick down "$CONF"
	refute on A ip link show dev wgq 2> /dev/null
	equal "$(on A ip route | grep -c 10.99 || true)" 0 "routes left"
}
test_case "R1 R4 wg-quick up and down: addresses, mtu, routes, data" t_up_down

t_twice() {
	prepare
	quick up "$CONF"
	refute on_sys A wg-quick up "$CONF" > /dev/null 2>&1
	quick down "$CONF"
	quick up "$CONF"
	pings A 10.77.0.2
	quick down "$CONF"
	refute on_sys A wg-quick down "$CONF" > /dev/null 2>&1
}
test_case "R19 wg-quick up twice, down twice" t_twice

t_save() {
	prepare "SaveConfig = true"
	quick up "$CONF"
	pings A 10.77.0.2
	on A wg set wgq peer "$(wg genkey | wg pubkey)" allowed-ips 10.98.0.0/16 persistent-keepalive 21
	quick save "$CONF"
	equal "$(grep -c '^PublicKey' "$CONF")" 2 "peers saved"
	grep -q '^PersistentKeepalive = 21' "$CONF"
	quick down "$CONF"
	quick up "$CONF"
	equal "$(on A wg show wgq peers | wc -l)" 2 "peers after up"
	pings A 10.77.0.2
	quick down "$CONF"
}
test_case "N16 wg-quick save and load again" t_save

t_strip() {
	prepare
	quick up "$CONF"
	pings A 10.77.0.2
	quick strip "$CONF"
	cp "$WORK/quick" "$WORK/stripped"
	on A wg syncconf wgq "$WORK/stripped"
	pings A 10.77.0.2
	quick down "$CONF"
}
test_case "N12 wg syncconf of a stripped configuration" t_strip

t_default() {
	modprobe -a nf_tables nft_ct nft_fib nft_fib_inet 2> /dev/null || true
	prepare "MTU = 1420" "0.0.0.0/0, ::/0"
	# Something that only the default route leads to, and the way out is B.
	quick up "$CONF"
	equal "$(on A wg show wgq fwmark)" 0xca6c fwmark
	on A ip rule | grep 'not from all fwmark 0xca6c lookup 51820' > /dev/null
	on A ip -6 rule | grep 'not from all fwmark 0xca6c lookup 51820' > /dev/null
	on A ip route show table 51820 | grep '^default dev wgq' > /dev/null
	matches "$(on A ip route get 10.99.0.1)" "dev wgq" "inner route"
	matches "$(on A ip route get 192.0.2.2 mark 0xca6c)" "dev vA" "outer route"
	pings A 10.99.0.1
	pings A fd99::1
	transfer A B 10.99.0.1 --bytes 262144
	quick down "$CONF"
	lacks 51820 on A ip rule
	refute on A ip link show dev wgq 2> /dev/null
}
test_case "O5 wg-quick with a default route: fwmark keeps the outer packets out" t_default

t_hooks() {
	prepare "PostUp = echo up %i > $WORK/hook
PreDown = echo down %i >> $WORK/hook"
	quick up "$CONF"
	quick down "$CONF"
	equal "$(tr '\n' ' ' < "$WORK/hook")" "up wgq down wgq " hooks
}
test_case "R1 wg-quick hooks run" t_hooks

t_table_off() {
	prepare "Table = off"
	quick up "$CONF"
	equal "$(on A ip route show dev wgq | grep -c 10.99 || true)" 0 "routes"
	pings A 10.77.0.2
	# A device that is gone already.
	on A ip link del wgq
	refute on_sys A wg-quick down "$CONF" > /dev/null 2>&1
	quick up "$CONF"
	quick down "$CONF"
}
test_case "R19 wg-quick without routes, and after the link was deleted" t_table_off

run_tests
