#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wireguard-go as the other end: either side initiates, with and without a
# preshared key, IPv4 and IPv6 outside, byte for byte, and over real rekeys.

. "$(dirname "$0")/lib.sh"

export LOG_LEVEL=error WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1
# wg talks to wireguard-go by a socket named after the interface, whatever the
# namespace: its name must be one that no kernel device has.
GO="go$$"

# go_start NAME: wireguard-go in B.
go_start() {
	need wireguard-go
	[[ -c /dev/net/tun ]] || modprobe tun 2> /dev/null || true
	[[ -c /dev/net/tun ]] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; }
	mkdir -p /var/run/wireguard
	rm -f "/var/run/wireguard/$1.sock"
	on B wireguard-go -f "$1" > "$WORK/$1.log" 2>&1 &
	wait_until 20 test -S "/var/run/wireguard/$1.sock"
	wait_until 20 on B wg show "$1" || { sed 's/^/# /' "$WORK/$1.log"; on B ip link; return 1; }
}
# address NS IF HOST NET: inside addresses 10.NET.0.HOST and fdNET::HOST, up.
address() {
	on "$1" ip addr add "10.$4.0.$3/24" dev "$2"
	on "$1" ip addr add "fd$4::$3/64" dev "$2" nodad
	on "$1" ip link set "$2" mtu 1420 up
}
# join INITIATOR OUTER NET KIF GOIF KPORT GPORT [PSK]: our device KIF in A and
# wireguard-go's GOIF in B. Only the initiator knows where the other one is.
join() {
	local init=$1 outer=$2 net=$3 kif=$4 gif=$5 kport=$6 gport=$7 psk=${8:-}
	local a=192.0.2.1 b=192.0.2.2 with_psk=() to_go=() to_us=()
	[[ $outer == 4 ]] || { a="[2001:db8::1]"; b="[2001:db8::2]"; }
	[[ -z $psk ]] || with_psk=(preshared-key "$(key_file "$psk")")
	if [[ $init == we ]]; then to_go=(endpoint "$b:$gport"); else to_us=(endpoint "$a:$kport"); fi
	keys K G
	on A ip link add "$kif" type wireguard
	on A wg set "$kif" private-key "$(key_file "$K_KEY")" listen-port "$kport" \
		peer "$G_PUB" ${with_psk[@]+"${with_psk[@]}"} ${to_go[@]+"${to_go[@]}"} \
		allowed-ips "10.$net.0.2/32,fd$net::2/128"
	go_start "$gif"
	on B wg set "$gif" private-key "$(key_file "$G_KEY")" listen-port "$gport" \
		peer "$K_PUB" ${with_psk[@]+"${with_psk[@]}"} ${to_us[@]+"${to_us[@]}"} \
		allowed-ips "10.$net.0.1/32,fd$net::1/128"
	address A "$kif" 1 "$net"
	address B "$gif" 2 "$net"
	if [[ $init == we ]]; then
		pings A "10.$net.0.2" 1
	else
		pings B "10.$net.0.1" 1
	fi
	has_handshake A "$kif" "$G_PUB"
	has_handshake B "$gif" "$K_PUB"
}
# exchange NET: pings and bytes both ways, both families.
exchange() {
	pings A "10.$1.0.2"
	pings B "10.$1.0.1"
	pings A "fd$1::2"
	pings B "fd$1::1"
	transfer A B "10.$1.0.2" --back "fd$1::1" --bytes "${2:-1048576}" --udp 100 --percent 90
}
whole() {
	local psk=""
	[[ -z $3 ]] || psk=$(wg genpsk)
	underlay
	join "$1" "$2" 77 wg0 "$GO" 1001 1002 "$psk"
	exchange 77
}
t_we4() { whole we 4 ""; }
t_we6_psk() { whole we 6 psk; }
t_go4_psk() { whole go 4 psk; }
t_go6() { whole go 6 ""; }
test_case "H1 H12 D1 we initiate to wireguard-go, IPv4 outside" t_we4 90
test_case "H1 H7 D1 we initiate to wireguard-go, PSK, IPv6 outside" t_we6_psk 90
test_case "H1 H7 E2 wireguard-go initiates to us, PSK, IPv4 outside" t_go4_psk 90
test_case "H1 E2 wireguard-go initiates to us, IPv6 outside" t_go6 90

t_psk_mismatch() {
	underlay
	local before
	join we 4 77 wg0 "$GO" 1001 1002 "$(wg genpsk)"
	before=$(peer_field A wg0 "$G_PUB" 5)
	on A wg set wg0 peer "$G_PUB" preshared-key "$(key_file "$(wg genpsk)")"
	on A ip link set wg0 down
	on A ip link set wg0 up
	refute on A ping -q -c 1 -W 3 10.77.0.2 > /dev/null
	equal "$(peer_field A wg0 "$G_PUB" 5)" "$before" "latest handshake"
}
test_case "H7 another preshared key on each side: no session" t_psk_mismatch

# A quick change of keys from either side while data flows.
t_forced_rekey() {
	local first
	underlay
	join we 4 77 wg0 "$GO" 1001 1002
	first=$(peer_field A wg0 "$G_PUB" 5)
	sleep 1.1
	on A ip link set wg0 down
	on A ip link set wg0 up
	# IPv6 addresses went with the link.
	on A ip addr add fd77::1/64 dev wg0 nodad
	pings A 10.77.0.2 1
	wait_until 10 has_handshake A wg0 "$G_PUB" "$first"
	exchange 77 262144
}
test_case "R14 H5 a restart of our side makes a new session at once" t_forced_rekey 90

# not_yet IF PUB FIRST: the handshake at FIRST is still the last one 110 s later.
not_yet() {
	local left=$(($3 + 110 - $(date +%s)))
	((left > -5)) || { diag "$1: its session is too old already to tell: a slow machine"; return 0; }
	((left <= 0)) || sleep "$left"
	equal "$(peer_field A "$1" "$2" 5)" "$3" "handshake before 120 s"
}
# One real rekey at 120 s, on three tunnels at once: we initiate, wireguard-go
# initiates, and two devices of ours. No ping may be lost on the way.
t_rekey() {
	local name first=() pids=() p key within
	underlay
	join we 4 71 wg1 "${GO}a" 2001 2002 "$(wg genpsk)"
	local g1=$G_PUB
	join go 6 72 wg2 "${GO}b" 2003 2004 "$(wg genpsk)"
	local g2=$G_PUB
	keys A B
	on A ip link add wg3 type wireguard
	on B ip link add wg3 type wireguard
	on A wg set wg3 private-key "$(key_file "$A_KEY")" listen-port 2005 \
		peer "$B_PUB" endpoint 192.0.2.2:2006 allowed-ips 10.73.0.2/32,fd73::2/128
	on B wg set wg3 private-key "$(key_file "$B_KEY")" listen-port 2006 \
		peer "$A_PUB" allowed-ips 10.73.0.1/32,fd73::1/128
	address A wg3 1 73
	address B wg3 2 73
	pings A 10.73.0.2 1
	local g3=$B_PUB
	# On a slow machine an answer may come after the question was repeated.
	sleep 6
	first=("$(peer_field A wg1 "$g1" 5)" "$(peer_field A wg2 "$g2" 5)" "$(peer_field A wg3 "$g3" 5)")
	on A ping -q -i 0.25 -c 512 -W 3 10.71.0.2 > "$WORK/ping1" & pids+=($!)
	on B ping -q -i 0.25 -c 512 -W 3 fd72::1 > "$WORK/ping2" & pids+=($!)
	on A ping -q -i 0.25 -c 512 -W 3 fd73::2 > "$WORK/ping3" & pids+=($!)
	# Not before its time.
	not_yet wg1 "$g1" "${first[0]}"
	not_yet wg2 "$g2" "${first[1]}"
	not_yet wg3 "$g3" "${first[2]}"
	wait_until 30 has_handshake A wg1 "$g1" "${first[0]}"
	wait_until 30 has_handshake A wg2 "$g2" "${first[1]}"
	wait_until 30 has_handshake A wg3 "$g3" "${first[2]}"
	for p in "${pids[@]}"; do wait "$p" || true; done
	for name in 1 2 3; do
		key=$(grep -o '[0-9]* received' "$WORK/ping$name")
		diag "tunnel $name: $key of 512, handshakes $((($(peer_field A "wg$name" "$(eval echo "\$g$name")" 5)) - first[name - 1])) s apart"
		at_least "${key% *}" 511 "pings over the rekey"
		# wireguard-go's initiation may have to be repeated where machines are slow.
		within="^1(19|2[0-4])$"
		((name != 2)) || within="^1(19|2[0-9]|30)$"
		matches "$((($(peer_field A "wg$name" "$(eval echo "\$g$name")" 5)) - first[name - 1]))" "$within" "time between handshakes"
	done
	exchange 71 262144
	exchange 72 262144
	exchange 73 262144
}
test_case "K1 K3 K4 H13 rekey after 120 s: we, wireguard-go, both ours; no ping lost" t_rekey 240

run_tests
