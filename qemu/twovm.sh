#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# twovm.sh: two virtual machines of one CPU each, joined by virtio network
# devices: the module under test (MODULE=ours|stock|PATH) in the first, the C
# driver (FAR=stock|ours|PATH) in the second. The first runs the cases of
# tools/testing/selftests/wireguard/twovm, the second does its part of them.
# SUITE="handshake data" selects files, ONLY=REGEX cases; NIGHTLY=1 has the long
# ones. The last line is "N passed, N failed".
#
# Links, see README.md there for what each is for:
#   control, stream   QEMU's own sockets: nothing but frames
#   uso, uso-tx, plain   tap devices on a bridge, which know segmentation; left
#                     out where this machine has no tap devices or no bridges

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

driver() {
	case $1 in
	ours) "$WG_QEMU/build.sh" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

if [[ ${1:-} != --apart ]]; then
	# What needs the network or other processors, before leaving both.
	for part in vmlinuz release; do "$WG_QEMU/kernel.sh" "$part" >/dev/null; done
	for part in base modules tree; do "$WG_QEMU/image.sh" "$part" >/dev/null; done
	near=${MODULE:-ours} far=${FAR:-stock}
	NEAR_KO=$(driver "$near")
	FAR_KO=$(driver "$far")
	[[ $near == stock ]] || near=ours
	[[ $far == stock ]] || far=ours
	host_needs ip iproute2
	export NEAR_KO FAR_KO NEAR=$near FAR=$far
	exec unshare --net "$0" --apart
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/wg-twovm.XXXXXX")
far_pid=''
cleanup() {
	[[ -z $far_pid ]] || kill "$far_pid" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# bridge NUMBER: two tap devices of link NUMBER, joined.
bridge() {
	local end
	ip link add "br$1" type bridge mcast_snooping 0 || return
	for end in 1 2; do
		ip tuntap add "tap$1$end" mode tap vnet_hdr || return
		ip link set "tap$1$end" mtu 9200 txqueuelen 10000 master "br$1" up || return
	done
	ip link set "br$1" mtu 9200 up
}

taps=''
if [[ -z ${WG_NO_TAP:-} ]]; then
	if (bridge 1 && bridge 2 && bridge 3) 2>"$work/bridge.err"; then
		taps=yes
	else
		note "no links of tap devices here: $(head -n 1 "$work/bridge.err")"
	fi
fi

# links END: QEMU's arguments for the devices of one end.
links() {
	local end=$1 server=off
	((end == 1)) || server=on
	nic() { printf -- '-device virtio-net-pci,romfile=,netdev=n%d,mac=52:54:00:77:%02x:%02x%s ' "$1" "$1" "$end" "${2:-}"; }
	printf -- '-netdev stream,id=n255,server=%s,addr.type=unix,addr.path=%s ' "$server" "$work/control"
	nic 255
	printf -- '-netdev stream,id=n0,server=%s,addr.type=unix,addr.path=%s ' "$server" "$work/link"
	nic 0
	[[ -n $taps ]] || return 0
	local number
	for number in 1 2 3; do
		printf -- '-netdev tap,id=n%d,ifname=tap%d%d,script=no,downscript=no,vnet_hdr=on ' "$number" "$number" "$end"
	done
	nic 1
	# Segmentation is the network's work, as with a real device; what comes is single frames.
	nic 2 ,guest_uso4=off,guest_uso6=off,guest_tso4=off,guest_tso6=off,guest_ufo=off,guest_ecn=off
	nic 3 ,host_uso=off,guest_uso4=off,guest_uso6=off,guest_tso4=off,guest_tso6=off,guest_ufo=off,guest_ecn=off,mrg_rxbuf=off
}

mkdir -p "$WG_TREE/build"
names=${SUITE:-}
slowness=${TEST_SLOWNESS:-1}
[[ $WG_VARIANT != debug ]] || slowness=${TEST_SLOWNESS:-5}
limit=2400
[[ -z ${NIGHTLY:-} ]] || limit=4800
limit=${VM_TIMEOUT:-$((limit * slowness))}
quoted=$(printf '%q' "${ONLY:-}")

say "== two guests: $NEAR and $FAR, Linux $WG_KERNEL, $WG_ARCH"
VM="$WG_QEMU/vm.sh"
"$VM" --module "$FAR_KO" --smp 1 --mem "${MEM:-1024}" --timeout "$((limit + 60))" \
	--log "$WG_TREE/build/kernel-far.log" --qemu "$(links 2)" \
	--run "TEST_SLOWNESS=$slowness PYTHONPATH=selftests python3 selftests/twovm/end.py serve" >"$work/far" 2>&1 &
far_pid=$!
# The end that listens first.
for ((i = 0; i < 600; i++)); do
	[[ -S $work/control && -S $work/link ]] && break
	kill -0 "$far_pid" 2>/dev/null || break
	sleep 0.1
done
rc=0
"$VM" --module "$NEAR_KO" --smp 1 --mem "${MEM:-1024}" --timeout "$limit" \
	--log "$WG_TREE/build/kernel.log" --qemu "$(links 1)" \
	--run "export TEST_SLOWNESS=$slowness NIGHTLY=${NIGHTLY:-} ONLY=$quoted NEAR=$NEAR FAR=$FAR PYTHONPATH=/wg/selftests
TEST_DIR=/wg/selftests/twovm TEST_TIMEOUT=$limit guest/run-tests.sh ${names//,/ }; rc=\$?
python3 selftests/twovm/end.py quit; exit \$rc" | tee "$work/near" || rc=$?
if ((rc == 124 || rc == 125)); then
	kill "$far_pid" 2>/dev/null || true
fi
far_rc=0
wait "$far_pid" || far_rc=$?
far_pid=''
read -r passed failed < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$work/near")
if ((rc != 0 && failed == 0)); then
	say "not ok - the first guest (exit status $rc)"
	failed=$((failed + 1))
fi
if ((far_rc != 0)); then
	cat "$work/far" >&2
	say "not ok - the second guest (exit status $far_rc)"
	failed=$((failed + 1))
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
