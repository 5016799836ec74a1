#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wg(8): set, show, showconf, setconf, syncconf, addconf, and what they keep.

. "$(dirname "$0")/lib.sh"

# one: namespace A with an idle wg0 in it.
one() { ns_add A; on A ip link add wg0 type wireguard; }
show() { on A wg show wg0 "$@"; }
conf() { on A wg showconf wg0; }
# pub N: a public key that depends on N alone.
pub() { printf 'peer %s' "$1" | sha256sum | head -c 64 | tr a-f A-F | basenc -d --base16 | base64; }

t_empty() {
	one
	equal "$(show private-key)" "(none)" private
	equal "$(show public-key)" "(none)" public
	equal "$(show listen-port)" 0 port
	equal "$(show fwmark)" off fwmark
	equal "$(show peers)" "" peers
}
test_case "N5 a new device shows no key, port 0, no fwmark, no peer" t_empty

t_clamp() {
	one
	# All ones: clamped to f8 ff .. ff 7f. A leading '/' turns into '+'.
	on A wg set wg0 private-key "$(key_file //////////////////////////////////////////8=)"
	equal "$(show private-key)" "$(python3 -c 'import base64
print(base64.b64encode(bytes([0xf8] + [0xff] * 30 + [0x7f])).decode())')" private
	equal "$(show public-key)" "$(show private-key | wg pubkey)" public
}
test_case "H9 the private key is stored clamped, the public key follows" t_clamp

t_zero_key() {
	one
	on A wg set wg0 private-key "$(key_file "$(wg genkey)")" listen-port 1234
	on A wg set wg0 private-key /dev/null
	equal "$(show private-key)" "(none)" private
	equal "$(show public-key)" "(none)" public
	equal "$(show listen-port)" 1234 port
}
test_case "N11 an all-zero private key removes the identity" t_zero_key

t_scalars() {
	one
	on A wg set wg0 listen-port 51820 fwmark 0xcafe
	equal "$(show listen-port)" 51820 port
	equal "$(show fwmark)" 0xcafe fwmark
	on A wg set wg0 fwmark off listen-port 0
	equal "$(show fwmark)" off fwmark
	on A wg set wg0 fwmark 0xffffffff
	equal "$(show fwmark)" 0xffffffff fwmark
}
test_case "N8 N9 port and fwmark are set, shown and reset" t_scalars

t_port_random() {
	local port
	one
	on A ip link set wg0 up
	port=$(show listen-port)
	at_least "$port" 1 "random port"
	on A ip link set wg0 down
	on A ip link set wg0 up
	equal "$(show listen-port)" "$port" "port after down and up"
}
test_case "R14 N9 a random port is reported and kept over down and up" t_port_random

t_port_busy() {
	one
	on A wg set wg0 listen-port 1000
	on A ip link set wg0 up
	hold_port A 0.0.0.0 2000
	fails_with "Address already in use" on A wg set wg0 listen-port 2000
	equal "$(show listen-port)" 1000 "port after the refusal"
	# The old sockets are still in use.
	on A grep -q ':03E8 ' /proc/net/udp
	kill "$HOLDER"
}
test_case "N9 a busy port is refused and the old sockets stay" t_port_busy

t_own_key() {
	local key
	one
	key=$(wg genkey)
	on A wg set wg0 private-key "$(key_file "$key")"
	on A wg set wg0 peer "$(wg pubkey <<< "$key")" allowed-ips 10.0.0.0/8
	equal "$(show peers)" "" "peers after adding ourselves"
	key=$(wg genkey)
	on A wg set wg0 peer "$(wg pubkey <<< "$key")" peer "$(pub 1)"
	equal "$(show peers | wc -l)" 2 "peers"
	on A wg set wg0 private-key "$(key_file "$key")"
	equal "$(show peers)" "$(pub 1)" "peers after becoming one of them"
}
test_case "N12 N11 our own key never is a peer" t_own_key

t_order() {
	local i want=()
	one
	for i in 5 3 9 1 7; do
		want+=("$(pub "$i")")
		on A wg set wg0 peer "$(pub "$i")"
	done
	equal "$(show peers | tr '\n' ' ')" "${want[*]} " "peers in order of creation"
	# A change does not move a peer; removal and re-adding puts it last.
	on A wg set wg0 peer "$(pub 3)" persistent-keepalive 20
	equal "$(show peers | tr '\n' ' ')" "${want[*]} " "order after a change"
	on A wg set wg0 peer "$(pub 5)" remove
	on A wg set wg0 peer "$(pub 5)"
	equal "$(show peers | tr '\n' ' ')" "${want[*]:1} ${want[0]} " "order after re-adding"
	# Allowed IPs: in order of insertion.
	on A wg set wg0 peer "$(pub 9)" allowed-ips 10.9.0.0/16,fd09::/64,10.1.0.0/16,0.0.0.0/0
	equal "$(peer_field A wg0 "$(pub 9)" 4)" 10.9.0.0/16,fd09::/64,10.1.0.0/16,0.0.0.0/0 "allowed IPs"
}
test_case "N16 peers and allowed IPs are listed in order" t_order

t_move() {
	one
	on A wg set wg0 peer "$(pub 1)" allowed-ips 10.0.0.0/24,10.0.1.0/24 peer "$(pub 2)" allowed-ips 10.0.2.0/24
	on A wg set wg0 peer "$(pub 2)" allowed-ips 10.0.2.0/24,10.0.0.0/24
	equal "$(peer_field A wg0 "$(pub 1)" 4)" 10.0.1.0/24 "left with the first"
	equal "$(peer_field A wg0 "$(pub 2)" 4)" 10.0.2.0/24,10.0.0.0/24 "now with the second"
	# A different length is a different prefix.
	on A wg set wg0 peer "$(pub 1)" allowed-ips 10.0.1.0/24,10.0.2.0/25
	equal "$(peer_field A wg0 "$(pub 2)" 4)" 10.0.2.0/24,10.0.0.0/24 "untouched by a longer prefix"
	# Host bits are ignored; wg replaces the list.
	on A wg set wg0 peer "$(pub 1)" allowed-ips 10.7.7.7/8,fd00::1/16 2> /dev/null
	equal "$(peer_field A wg0 "$(pub 1)" 4)" 10.0.0.0/8,fd00::/16 "host bits"
	on A wg set wg0 peer "$(pub 1)" allowed-ips ""
	equal "$(peer_field A wg0 "$(pub 1)" 4)" "(none)" "emptied"
}
test_case "N14 an allowed IP moves between peers, host bits are ignored" t_move

t_incremental() {
	one
	on A wg set wg0 peer "$(pub 1)" allowed-ips +10.0.0.0/24 2> /dev/null || skip "wg without +IP and -IP"
	on A wg set wg0 peer "$(pub 1)" allowed-ips +10.0.1.0/24,+fd00::/64
	equal "$(peer_field A wg0 "$(pub 1)" 4)" 10.0.0.0/24,10.0.1.0/24,fd00::/64 added
	on A wg set wg0 peer "$(pub 2)" allowed-ips +10.0.2.0/24
	on A wg set wg0 peer "$(pub 1)" allowed-ips -10.0.0.0/24,-10.0.2.0/24,-10.9.0.0/24
	equal "$(peer_field A wg0 "$(pub 1)" 4)" 10.0.1.0/24,fd00::/64 removed
	equal "$(peer_field A wg0 "$(pub 2)" 4)" 10.0.2.0/24 "the other peer's"
}
test_case "N14 single allowed IPs are added and removed" t_incremental

t_peer_fields() {
	local psk
	one
	psk=$(wg genpsk)
	on A wg set wg0 peer "$(pub 1)" preshared-key "$(key_file "$psk")" endpoint 192.0.2.9:5000 persistent-keepalive 25
	equal "$(peer_field A wg0 "$(pub 1)" 2)" "$psk" psk
	equal "$(peer_field A wg0 "$(pub 1)" 3)" 192.0.2.9:5000 endpoint
	equal "$(peer_field A wg0 "$(pub 1)" 8)" 25 keepalive
	equal "$(peer_field A wg0 "$(pub 1)" 5)" 0 "latest handshake"
	equal "$(peer_field A wg0 "$(pub 1)" 6)" 0 "received"
	on A wg set wg0 peer "$(pub 1)" preshared-key /dev/null endpoint "[2001:db8::9]:6000" persistent-keepalive off
	equal "$(peer_field A wg0 "$(pub 1)" 2)" "(none)" "psk removed"
	equal "$(peer_field A wg0 "$(pub 1)" 3)" "[2001:db8::9]:6000" endpoint
	equal "$(peer_field A wg0 "$(pub 1)" 8)" off keepalive
	on A wg set wg0 peer "$(pub 1)" persistent-keepalive 65535 endpoint "[fe80::1%1]:7"
	equal "$(peer_field A wg0 "$(pub 1)" 8)" 65535 keepalive
	equal "$(peer_field A wg0 "$(pub 1)" 3)" "[fe80::1%lo]:7" "scoped endpoint"
}
test_case "N12 N13 N15 fields of a peer are set, shown and reset" t_peer_fields

t_update_remove() {
	one
	on A wg set wg0 peer "$(pub 1)" remove
	equal "$(show peers)" "" "removing an unknown peer"
	on A wg set wg0 peer "$(pub 1)" allowed-ips 10.0.0.0/8 peer "$(pub 2)" allowed-ips 11.0.0.0/8
	on A wg set wg0 peer "$(pub 1)" remove
	equal "$(show peers)" "$(pub 2)" "left over"
	on A wg set wg0 peer "$(pub 2)" allowed-ips 10.0.0.0/8
	equal "$(show allowed-ips)" "$(pub 2)"$'\t'10.0.0.0/8 "the removed peer's prefix is free"
}
test_case "N12 removal of known and unknown peers" t_update_remove

# big_config FILE PEERS: a configuration with everything in it.
big_config() {
	python3 - "$2" > "$1" <<- 'PY'
		import base64, hashlib, ipaddress, sys
		def key(*what):
		    return base64.b64encode(hashlib.sha256(repr(what).encode()).digest()).decode()
		private = bytearray(hashlib.sha256(b"private").digest())
		private[0] &= 248
		private[31] = private[31] & 127 | 64
		print("[Interface]\nListenPort = 5555\nFwMark = 0x1234\nPrivateKey =", base64.b64encode(private).decode())
		for i in range(int(sys.argv[1])):
		    print("\n[Peer]\nPublicKey =", key("public", i))
		    if i % 2:
		        print("PresharedKey =", key("psk", i))
		    ips = [f"10.{i >> 8}.{i & 255}.{j * 16}/28" for j in range(i % 5)]
		    ips += [str(ipaddress.ip_network(f"fd00:{i:x}:{j:x}::/{48 + j}")) for j in range(i % 3)]
		    if ips:
		        print("AllowedIPs =", ", ".join(ips))
		    if i % 3 == 0:
		        print(f"Endpoint = 198.51.{i >> 8}.{i & 255}:{1000 + i}")
		    elif i % 3 == 1:
		        print(f"Endpoint = [{ipaddress.ip_address(f'2001:db8:{i:x}::1')}]:{2000 + i}")
		    if i % 4 == 0:
		        print("PersistentKeepalive =", 1 + i)
	PY
}
# normal: one line a peer and field, so that only what differs shows.
normal() { sed 's/ *= */=/' | grep -v '^$'; }

t_round_trip() {
	one
	big_config "$WORK/big" 1000
	on A wg setconf wg0 "$WORK/big"
	equal "$(show peers | wc -l)" 1000 peers
	conf > "$WORK/shown"
	diff <(normal < "$WORK/big" | sort) <(normal < "$WORK/shown" | sort) | head -n 5 | sed 's/^/# /' || true
	diff -q <(normal < "$WORK/big" | sort) <(normal < "$WORK/shown" | sort)
	# In order, too.
	diff -q <(grep PublicKey "$WORK/big" | normal) <(grep PublicKey "$WORK/shown" | normal)
	# What is shown can be loaded elsewhere and shows the same.
	on A ip link add wg1 type wireguard
	on A wg setconf wg1 "$WORK/shown"
	diff -q "$WORK/shown" <(on A wg showconf wg1)
	# Loading again changes nothing, by setconf and by syncconf.
	on A wg syncconf wg0 "$WORK/shown"
	diff -q "$WORK/shown" <(conf)
	on A wg setconf wg0 "$WORK/shown"
	diff -q "$WORK/shown" <(conf)
	# Half of it by syncconf, all of it back by addconf, none by an empty one.
	big_config "$WORK/half" 500
	on A wg syncconf wg0 "$WORK/half"
	equal "$(show peers | wc -l)" 500 "after syncconf with half"
	diff -q <(normal < "$WORK/half" | sort) <(conf | normal | sort)
	on A wg addconf wg0 "$WORK/big"
	diff -q <(normal < "$WORK/big" | sort) <(conf | normal | sort)
	echo "[Interface]" > "$WORK/none"
	on A wg setconf wg0 "$WORK/none"
	on A wg setconf wg1 "$WORK/none"
	equal "$(show peers)" "" "after an empty setconf"
}
test_case "N10 N16 N17 N19 round trip of 1,000 peers by setconf, syncconf, addconf" t_round_trip 180

# A session must survive syncconf of an unchanged peer; setconf ends it.
t_sync_keeps_session() {
	local before
	tunnel
	pings A 10.77.0.2
	before=$(peer_field A wg0 "$B_PUB" 5)
	on A wg showconf wg0 > "$WORK/conf"
	on A wg syncconf wg0 "$WORK/conf"
	equal "$(peer_field A wg0 "$B_PUB" 5)" "$before" "handshake time after syncconf"
	pings A 10.77.0.2
	equal "$(peer_field A wg0 "$B_PUB" 5)" "$before" "no new handshake was needed"
	on A wg setconf wg0 "$WORK/conf"
	equal "$(peer_field A wg0 "$B_PUB" 5)" 0 "handshake time after setconf"
	pings A 10.77.0.2
}
test_case "N10 N12 syncconf keeps a session, setconf replaces the peer" t_sync_keeps_session

t_psk_change() {
	local psk
	tunnel
	pings A 10.77.0.2
	psk=$(wg genpsk)
	# Only one side knows it: the running session goes on.
	on A wg set wg0 peer "$B_PUB" preshared-key "$(key_file "$psk")"
	pings A 10.77.0.2
	# A new handshake does not succeed until the other side has it, too.
	on A ip link set wg0 down
	on A ip link set wg0 up
	refute on A ping -q -c 1 -W 2 10.77.0.2 > /dev/null
	on B wg set wg0 peer "$A_PUB" preshared-key "$(key_file "$psk")"
	wait_until 15 on A ping -q -c 1 -W 1 10.77.0.2
}
test_case "N13 a preshared key counts from the next handshake on" t_psk_change

t_key_change() {
	local key pub before
	tunnel
	pings A 10.77.0.2
	key=$(wg genkey)
	pub=$(wg pubkey <<< "$key")
	on B wg set wg0 peer "$pub" endpoint 192.0.2.1:1001 allowed-ips 10.77.0.1/32,fd77::1/128
	on A wg set wg0 private-key "$(key_file "$key")"
	pings A 10.77.0.2
	has_handshake B wg0 "$pub"
	# The same key again does nothing to the session.
	before=$(peer_field A wg0 "$B_PUB" 5)
	on A wg set wg0 private-key "$(key_file "$key")"
	pings A 10.77.0.2
	equal "$(peer_field A wg0 "$B_PUB" 5)" "$before" "handshake time"
}
test_case "N11 a new private key forces a new handshake at once" t_key_change

t_errors() {
	ns_add A
	fails_with "No such device" on A wg show nothing
	on A ip link add d0 type dummy
	fails_with "Operation not supported" on A wg show d0
	on A ip link add wg0 type wireguard
	fails_with "" on A wg set wg0 peer nonsense
	equal "$(on A wg show interfaces)" wg0 interfaces
	on A ip link add wg1 type wireguard
	equal "$(on A wg show interfaces | tr ' ' '\n' | sort | tr '\n' ' ')" "wg0 wg1 " interfaces
}
test_case "N6 devices that do not exist or are of another kind" t_errors

run_tests
