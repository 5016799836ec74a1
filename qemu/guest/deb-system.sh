#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The package test inside of a whole Debian (qemu/test-deb.sh): started by
# wg-test.service. wg-quick, systemd-networkd and NetworkManager
# have a tunnel each to the other machine; the packages are upgraded, removed and
# replaced while these are up.

set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive
while [[ ! -e /dev/virtio-ports/out ]]; do sleep 1; done
exec >/dev/virtio-ports/out 2>&1 </dev/null
release=$(uname -r)
# Bounds are for a machine several times slower than a quiet one.
slow=4
count=0 passed=0 failed=0 started=$SECONDS

# check WHAT COMMAND...: one result; what the command printed if it failed.
check() {
	local what=$1 out begin=$SECONDS
	shift
	count=$((count + 1))
	if out=$("$@" 2>&1); then
		passed=$((passed + 1))
		echo "ok $count $what # $((SECONDS - begin)) s"
	else
		failed=$((failed + 1))
		echo "not ok $count $what # $((SECONDS - begin)) s"
		printf '%s\n' "$out" | tail -n 40 | sed 's/^/# /'
	fi
}

# within SECONDS COMMAND...: try until it succeeds.
within() {
	local end=$((SECONDS + $1 * slow))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 1
	done
}
same() { [[ -n $1 && $1 == "$2" ]] || { printf 'is "%s", not "%s"\n' "$1" "$2" && return 1; }; }

file_of() { modinfo -k "$release" -F filename wireguard; }
of_file() { modinfo -k "$release" -F "$1" wireguard | head -n 1; }
loaded() { cat "/sys/module/wireguard/$1"; }
in_updates() { [[ $(file_of) == */updates/$1 ]] || { file_of && return 1; }; }
is_stock() { [[ $(file_of) == */kernel/drivers/net/wireguard/* ]] || { file_of && return 1; }; }
# The module in memory is the file that modprobe finds.
loaded_is_file() { same "$(loaded srcversion)" "$(of_file srcversion)"; }
is_rust() { of_file description && [[ $(of_file description) == *Rust* ]]; }
is_ours() { loaded_is_file && is_rust; }
is_not_ours() { loaded_is_file && ! is_rust; }
is_next() { is_ours && same "$(loaded version)" 1.0.1; }

# signed_by CERTIFICATE NAME: the signature at the end of the module is of that key:
# the signed bytes, the certificate and the signature, checked by openssl.
signed_by() {
	local cert=$1 file dir size
	file=$(file_of) dir=$(mktemp -d)
	same "$(of_file signer)" "$2" || return
	same "$(of_file sig_key | tr -d ':\n')" \
		"$(openssl x509 -inform DER -in "$cert" -noout -serial | sed 's/.*=//')" || return
	xz -dc "$file" >"$dir/signed"
	# A line of 28 bytes ends the file, before it 12 bytes with the signature's length.
	same "$(tail -c 28 "$dir/signed")" "~Module signature appended~" || return
	size=$((16#$(tail -c 32 "$dir/signed" | head -c 4 | od -An -tx1 | tr -d ' \n')))
	tail -c $((size + 40)) "$dir/signed" | head -c "$size" >"$dir/signature"
	head -c -$((size + 40)) "$dir/signed" >"$dir/module"
	openssl x509 -inform DER -in "$cert" -out "$dir/cert.pem" || return
	openssl cms -verify -binary -inform DER -in "$dir/signature" -content "$dir/module" \
		-certfile "$dir/cert.pem" -nointern -noverify -out /dev/null || return
	# The same with a byte changed must not hold.
	printf 'x' >>"$dir/module"
	! openssl cms -verify -binary -inform DER -in "$dir/signature" -content "$dir/module" \
		-certfile "$dir/cert.pem" -nointern -noverify -out /dev/null
}

replied() { ping -c 1 -W 2 "10.0.$1.2" >/dev/null 2>&1; }
# tunnel K: small and large packets pass, after a handshake, over this interface.
tunnel() {
	local handshake
	if ! within 90 replied "$1"; then
		ip addr show dev "wg$1"
		ip route get "10.0.$1.2"
		wg show "wg$1"
		return 1
	fi
	ping -q -c 3 -i 0.3 -W 20 -s 1300 "10.0.$1.2" || return
	ip route get "10.0.$1.2" | grep -q "dev wg$1 " || return
	handshake=$(wg show "wg$1" latest-handshakes | cut -f2)
	((handshake > 0)) || { wg show "wg$1" && return 1; }
}
quick_up() { systemctl is-active wg-quick@wg0; }
networkd_up() { networkctl status wg1 | grep -E 'State:.*configured'; }
manager_up() {
	[[ $(nmcli -g GENERAL.TYPE device show wg2) == wireguard ]] &&
		nmcli -g GENERAL.STATE device show wg2 | grep -x '100 (connected)'
}
tunnels() {
	check "$1: wg-quick@wg0" eval 'tunnel 0 && within 60 quick_up'
	check "$1: systemd-networkd, wg1" eval 'tunnel 1 && within 60 networkd_up'
	check "$1: NetworkManager, wg2" eval 'tunnel 2 && within 60 manager_up'
}
# Take the module out with all tunnels up, and put everything up again. (That it
# is out cannot be looked at: NetworkManager makes its interface anew at once.)
reload() {
	modprobe -r wireguard || return
	systemctl restart wg-quick@wg0 systemd-networkd || return
	timeout $((60 * slow)) nmcli connection up wg2
}
# during COMMAND...: a ping each second through each tunnel meanwhile, all answered.
during() {
	local k rc=0 pids=()
	for k in 0 1 2; do
		ping -q -i 1 -W 60 "10.0.$k.2" >"/tmp/during$k" &
		pids+=($!)
	done
	"$@" || rc=$?
	sleep 2
	kill -INT "${pids[@]}"
	wait "${pids[@]}"
	for k in 0 1 2; do
		grep transmitted "/tmp/during$k"
		# The last one may still be under way.
		awk '/transmitted/ { found = 1; exit !($1 > 2 && $4 >= $1 - 1) } END { if (!found) exit 1 }' "/tmp/during$k" || rc=1
	done
	return "$rc"
}

nothing_left() {
	local left
	left=$(ls -d /var/lib/wireguard-rust /var/lib/dkms/wireguard-rust /usr/src/wireguard-rust-* 2>/dev/null)
	[[ -z $left ]] || { printf '%s\n' "$left" && return 1; }
}
install() { timeout $((1200 * slow)) apt-get install -y -q --no-install-recommends "$@"; }
remove() { timeout $((300 * slow)) apt-get remove -y -q "$@"; }

system_up() {
	local state
	state=$(timeout $((300 * slow)) systemctl is-system-running --wait)
	systemctl --failed --no-legend
	same "$state" running
}

echo "TAP version 13"
check "systemd is up, no unit failed" system_up
check "DKMS: modprobe finds updates/dkms" in_updates 'dkms/wireguard.ko*'
check "DKMS: the module loaded at boot is that one" is_ours
check "DKMS: signed by the machine owner's key that it made" signed_by /var/lib/dkms/mok.pub "DKMS module signing key"
check "nmcli: import of a wireguard connection" timeout $((60 * slow)) nmcli connection import type wireguard file /wg/wg2.conf
tunnels "DKMS"

old=$(loaded srcversion)
made=$(stat -c %Y "/var/lib/wireguard-rust/$release/.complete")
check "DKMS: upgrade with the tunnels up, no ping lost" during install /wg/upgrade/*-dkms_*.deb
check "upgrade: the old module stays until it is unloaded" same "$(loaded srcversion)" "$old"
check "upgrade: the Rust metadata was not made again" same "$(stat -c %Y "/var/lib/wireguard-rust/$release/.complete")" "$made"
check "upgrade: modprobe finds the new version" same "$(of_file version)" 1.0.1
check "upgrade: modprobe -r with the tunnels up, all up again" reload
check "upgrade: the module in use is the new one" is_next
tunnels "upgrade"

check "DKMS: removal with the tunnels up, no ping lost" during remove wireguard-rust-dkms
check "removal: the stock module is modprobe's again" is_stock
check "removal: nothing is left" nothing_left
check "removal: modprobe -r, all up again" reload
check "removal: the stock module is in use" is_not_ours
tunnels "stock"

check "prebuilt: installed with the tunnels up, no ping lost" during install /wg/upgrade/wireguard-rust-modules-*.deb
check "prebuilt: modprobe finds updates/" in_updates 'wireguard.ko*'
check "prebuilt: signed by the key given to make deb" signed_by /wg/prebuilt.der "Prebuilt modules"
check "prebuilt: modprobe -r, all up again" reload
check "prebuilt: the module in use is that one" is_ours
tunnels "prebuilt"
check "prebuilt: removal" remove "wireguard-rust-modules-$release"
check "prebuilt removed: the stock module is modprobe's again" is_stock
check "prebuilt removed: and after modprobe -r in use" eval 'reload && is_not_ours'

echo "1..$count"
echo "# $((SECONDS - started)) s after $(cut -d. -f1 /proc/uptime) s of uptime"
echo "$passed passed, $failed failed"
((failed == 0)) && status=0 || status=1
# The other machine waits for this.
: 2>/dev/null >/dev/tcp/192.0.2.2/9000
dmesg >/dev/virtio-ports/kmsg
echo "$status" >/dev/virtio-ports/status
sync
systemctl poweroff --force
