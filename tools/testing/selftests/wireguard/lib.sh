# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by every test file of this directory; to be sourced.
#
# A file registers its cases and runs them:
#
#	. "$(dirname "$0")/lib.sh"
#	t_name() { ...; }			# a case: any failing command fails it
#	test_case "S5 what it proves" t_name
#	run_tests
#
# Each case runs in a subshell under `set -e` with a time limit for each wait,
# starts without any namespace, link or process of an earlier case, and leaves
# none behind. Inside a case: `skip REASON` ends it as skipped, `fail REASON`
# as failed. Output is KTAP; the exit status is 0 only if no case failed.
#
# Environment: ONLY=REGEX runs the matching cases alone; VERBOSE=1 traces;
# TEST_SLOWNESS=N multiplies every time limit, for kernels with checkers.

set -u -o pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export TEST_SLOWNESS=${TEST_SLOWNESS:-1}

TEST_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NS_PREFIX="wgt$$"
SKIP_STATUS=4
export PYTHONPATH="$TEST_DIR"

case_names=()
case_funcs=()
case_limits=()

# diag TEXT...: a KTAP diagnostic line.
diag() { echo "# $*"; }
# fail TEXT...: ends the running case as failed.
fail() { diag "$*"; exit 1; }
# skip TEXT...: ends the running case as skipped.
skip() { echo "$*" > "$WORK/skip"; exit "$SKIP_STATUS"; }
# need COMMAND...: skips the case when a tool is missing.
need() { local c; for c; do command -v "$c" > /dev/null || skip "no $c"; done; }

# test_case NAME FUNCTION [SECONDS]: registers a case, by default limited to 60 s.
test_case() {
	case_names+=("$1")
	case_funcs+=("$2")
	case_limits+=("${3:-60}")
}

# ours: true when the loaded driver is the Rust one. It is installed apart from
# the kernel's own; TEST_DRIVER=ours|stock overrides the guess.
ours() {
	case "${TEST_DRIVER:-}" in
	ours) return 0 ;;
	stock) return 1 ;;
	esac
	[[ $(modinfo -n wireguard 2> /dev/null) != */kernel/drivers/net/wireguard/* ]]
}

# ---- namespaces -------------------------------------------------------------

# ns NAME: the full name of one of our namespaces.
ns() { echo "$NS_PREFIX-$1"; }
# ns_add NAME...: creates namespaces, with lo up and IPv6 without delay.
ns_add() {
	local n
	for n; do
		ip netns add "$(ns "$n")"
		on "$n" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0 \
			net.ipv6.conf.all.router_solicitations=0 \
			net.ipv6.conf.default.router_solicitations=0
		ip -n "$(ns "$n")" link set lo up
	done
}
# ns_del NAME: ends a namespace and waits until its name is gone.
ns_del() { ip netns del "$(ns "$1")"; }
# on NAME COMMAND...: runs a command in a namespace.
on() {
	local n=$1
	shift
	if [[ $1 == ip ]]; then
		shift
		ip -n "$(ns "$n")" "$@"
	else
		nsenter --net="/run/netns/$(ns "$n")" -- "$@"
	fi
}
# on_sys NAME COMMAND...: the same with a /sys that shows that namespace.
on_sys() { local n=$1; shift; ip netns exec "$(ns "$n")" "$@"; }

# ---- waiting ----------------------------------------------------------------

# now_ms: a monotonic clock in milliseconds.
now_ms() { local up; read -r up _ < /proc/uptime; echo $((10#${up/./} * 10)); }
# wait_until SECONDS COMMAND...: polls until the command holds.
wait_until() {
	local end=$(($(now_ms) + $1 * 1000 * TEST_SLOWNESS))
	shift
	until "$@" > /dev/null 2>&1; do
		(($(now_ms) < end)) || { diag "timed out waiting for: $*"; return 1; }
		sleep 0.05
	done
}
# refute COMMAND...: holds if the command fails.
refute() { if "$@"; then diag "unexpectedly succeeded: $*"; return 1; fi; }
# lacks PATTERN COMMAND...: holds if the command's output has no such line.
lacks() {
	local pat=$1
	shift
	if "$@" 2> /dev/null | grep -e "$pat" > /dev/null; then diag "'$*' has '$pat'"; return 1; fi
}
# equal ACTUAL EXPECTED [WHAT]
equal() { [[ $1 == "$2" ]] || { diag "${3:-value}: got '$1', expected '$2'"; return 1; }; }
# at_least ACTUAL MINIMUM [WHAT]
at_least() { (($1 >= $2)) || { diag "${3:-value}: got $1, expected at least $2"; return 1; }; }
# matches TEXT REGEX [WHAT]
matches() { [[ $1 =~ $2 ]] || { diag "${3:-text}: '$1' does not match '$2'"; return 1; }; }
# fails_with PATTERN COMMAND...: the command must fail and say so.
fails_with() {
	local pat=$1 out
	shift
	if out=$("$@" 2>&1); then diag "unexpectedly succeeded: $*"; return 1; fi
	[[ $out == *"$pat"* ]] || { diag "'$*' said '$out', expected '$pat'"; return 1; }
}

# ---- WireGuard --------------------------------------------------------------

# keys NAME...: sets NAME_KEY and NAME_PUB for each name.
keys() {
	local n k
	for n; do
		k=$(wg genkey)
		printf -v "${n}_KEY" %s "$k"
		printf -v "${n}_PUB" %s "$(wg pubkey <<< "$k")"
	done
}
# key_file KEY: the path of a file with that key.
key_file() { local f; f=$(mktemp "$WORK/key.XXXXXX"); echo "$1" > "$f"; echo "$f"; }
# peer_field NS IF PUBKEY COLUMN: one column of `wg show IF dump`:
# 2 psk, 3 endpoint, 4 allowed ips, 5 latest handshake, 6 rx, 7 tx, 8 keepalive.
peer_field() {
	on "$1" wg show "$2" dump | awk -F'\t' -v k="$3" -v c="$4" 'NR > 1 && $1 == k { print $c }'
}
# link_stat NS IF NAME: a counter such as rx_bytes or tx_dropped.
link_stat() { on_sys "$1" cat "/sys/class/net/$2/statistics/$3"; }
# link_json NS IF FILTER: jq-like lookup in `ip -d -j link show`, by python.
link_json() {
	on "$1" ip -d -j link show dev "$2" |
		python3 -c 'import json,sys
v = json.load(sys.stdin)[0]
for k in sys.argv[1].split("."):
    v = v.get(k) if isinstance(v, dict) else None
print("" if v is None else v)' "$3"
}
is_up() { on "$1" ip -o link show dev "$2" up | grep . > /dev/null; }
has_handshake() { (($(peer_field "$1" "$2" "$3" 5) > ${4:-0})); }

# underlay MTU: namespaces A and B, joined by a veth pair.
underlay() {
	local mtu=${1:-1500}
	ns_add A B
	ip link add vA mtu "$mtu" netns "$(ns A)" type veth peer name vB mtu "$mtu" netns "$(ns B)"
	on A ip addr add 192.0.2.1/24 dev vA
	on B ip addr add 192.0.2.2/24 dev vB
	on A ip addr add 2001:db8::1/64 dev vA nodad
	on B ip addr add 2001:db8::2/64 dev vB nodad
	on A ip link set vA up
	on B ip link set vB up
	wait_until 10 on A ping -6 -q -c 1 -W 1 2001:db8::2
}
# tunnel [MTU] [4|6] [UNDERLAY MTU]: underlay, and wg0 configured on both ends:
# ports 1001 and 1002, inside 10.77.0.{1,2}/24 and fd77::{1,2}/64.
tunnel() {
	local mtu=${1:-1420} outer=${2:-4} a=192.0.2.1 b=192.0.2.2
	underlay "${3:-1500}"
	[[ $outer == 4 ]] || { a="[2001:db8::1]"; b="[2001:db8::2]"; }
	keys A B
	on A ip link add wg0 type wireguard
	on B ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$A_KEY")" listen-port 1001 \
		peer "$B_PUB" endpoint "$b:1002" allowed-ips 10.77.0.2/32,fd77::2/128
	on B wg set wg0 private-key "$(key_file "$B_KEY")" listen-port 1002 \
		peer "$A_PUB" endpoint "$a:1001" allowed-ips 10.77.0.1/32,fd77::1/128
	on A ip addr add 10.77.0.1/24 dev wg0
	on B ip addr add 10.77.0.2/24 dev wg0
	on A ip addr add fd77::1/64 dev wg0 nodad
	on B ip addr add fd77::2/64 dev wg0 nodad
	on A ip link set wg0 mtu "$mtu" up
	on B ip link set wg0 mtu "$mtu" up
}
# hold_port NS ADDRESS PORT: a foreign UDP socket there, until `kill "$HOLDER"`.
hold_port() {
	python3 "$TEST_DIR/probe.py" bound "$(ns "$1")" "$2" "$3" > "$WORK/bound" &
	# shellcheck disable=SC2034
	HOLDER=$!
	wait_until 10 grep -q bound "$WORK/bound"
}
# pings NS ADDRESS [COUNT]: quick pings, all of which must be answered.
pings() { on "$1" ping -q -c "${3:-3}" -i 0.02 -W 5 -w 20 "$2" > /dev/null; }
# transfer FROM TO ADDRESS [OPTIONS]: byte-exact transfer both ways, see xfer.py.
transfer() {
	local from=$1 to=$2 dst=$3
	shift 3
	python3 "$TEST_DIR/xfer.py" --from "$(ns "$from")" --to "$(ns "$to")" --dst "$dst" "$@"
}

# ---- the kernel's own view ---------------------------------------------------

TRACING=/sys/kernel/tracing
# kernel_event NAME FUNCTION FIELD...: from now on each call of FUNCTION is noted
# with these fields of its arguments, by their names in the kernel's BTF
# ("dev=dev->name:string"). Ends with the case.
kernel_event() {
	local name=$1 function=$2
	shift 2
	[[ -e $TRACING/dynamic_events ]] || mount -t tracefs tracefs "$TRACING" 2> /dev/null || skip "no tracefs"
	grep -qF 'f[:[<group>' "$TRACING/README" || skip "no function probes"
	grep -qF '<argname>[->' "$TRACING/README" || skip "no BTF for probes"
	echo "f:wgtest/$name $function $*" >> "$TRACING/dynamic_events"
	echo 1 > "$TRACING/events/wgtest/$name/enable"
}
# kernel_events NAME: the lines noted so far.
kernel_events() { grep "$1: (" "$TRACING/trace" || true; }
# forget_events: ends all of them.
forget_events() {
	[[ -d $TRACING/events/wgtest ]] || return 0
	echo 0 > "$TRACING/events/wgtest/enable"
	sed -n 's,^[a-z][^:]*:\(wgtest/[a-z_]*\).*,-:\1,p' "$TRACING/dynamic_events" |
		while read -r line; do echo "$line" >> "$TRACING/dynamic_events"; done
	: > "$TRACING/trace"
}

# ---- running ----------------------------------------------------------------

# forget_all: ends every process, namespace and link of ours.
forget_all() {
	local n p
	forget_events
	if [[ -s ${WORK:-}/udp_mem ]]; then
		sysctl -qw net.ipv4.udp_mem="$(< "$WORK/udp_mem")"
		rm "$WORK/udp_mem"
	fi
	for n in $(ip netns list 2> /dev/null | awk -v p="$NS_PREFIX-" 'index($1, p) == 1 { print $1 }'); do
		for p in $(ip netns pids "$n" 2> /dev/null); do kill -KILL "$p" 2> /dev/null; done
		ip netns del "$n" 2> /dev/null
	done
	for n in $(ip -o link show type wireguard 2> /dev/null | awk -F': ' '{ print $2 }' | grep '^wgt'); do
		ip link del "$n" 2> /dev/null
	done
	return 0
}

# run_case FUNCTION SECONDS: its status. A case has a process group of its own,
# all of which ends with it; a watchdog ends a case that hangs.
run_case() {
	local pid dog rc
	set -m
	(
		trap 'diag "line $LINENO: failed: $BASH_COMMAND"' ERR
		set -eE
		[[ -z ${VERBOSE:-} ]] || set -x
		"$1"
	) < /dev/null &
	pid=$!
	( sleep "$2" && echo "# time limit of $2 s" && kill -KILL -- "-$pid" ) < /dev/null &
	dog=$!
	set +m
	wait "$pid" 2> /dev/null
	rc=$?
	kill -KILL -- "-$dog" "-$pid" 2> /dev/null
	wait "$dog" 2> /dev/null
	return "$rc"
}

run_tests() {
	local i number=0 failed=0 rc began took
	local picked=()
	for i in "${!case_names[@]}"; do
		[[ ${case_names[i]} =~ ${ONLY:-.} ]] && picked+=("$i")
	done
	echo "TAP version 13"
	if ((EUID != 0)); then echo "1..0 # SKIP needs root"; exit "$SKIP_STATUS"; fi
	echo "1..${#picked[@]}"
	[[ -d /sys/module/wireguard ]] || modprobe wireguard || true
	for i in ${picked[@]+"${picked[@]}"}; do
		number=$((number + 1))
		WORK=$(mktemp -d "${TMPDIR:-/tmp}/$NS_PREFIX.XXXXXX")
		export WORK
		began=$(now_ms)
		run_case "${case_funcs[i]}" "$((case_limits[i] * TEST_SLOWNESS))"
		rc=$?
		forget_all
		took=$(($(now_ms) - began))
		if ((rc == 0)); then
			echo "ok $number ${case_names[i]}"
		elif ((rc == SKIP_STATUS)) && [[ -e $WORK/skip ]]; then
			echo "ok $number ${case_names[i]} # SKIP $(cat "$WORK/skip")"
		else
			echo "not ok $number ${case_names[i]}"
			failed=$((failed + 1))
		fi
		diag "took $took ms"
		rm -rf "$WORK"
	done
	diag "$((number - failed)) of $number passed"
	((failed == 0)) || exit 1
	exit 0
}

trap forget_all EXIT
trap 'exit 1' INT TERM
