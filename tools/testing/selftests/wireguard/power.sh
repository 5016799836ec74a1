#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Suspend, hibernation and copied virtual machines: what becomes of the keys.
# The kernel is only told to prepare for sleep ("pm_test"): it freezes all
# processes, waits, and goes on; or asked for a snapshot of its memory that is
# then not taken.

. "$(dirname "$0")/lib.sh"

PM=/sys/power
DELAY=/sys/module/suspend/parameters/pm_test_delay
FORK=/sys/bus/acpi/devices/WGTS0001:00/status

# sleep_through STATE SECONDS: freeze, wait and thaw, as before a suspend to
# memory (mem) or to idle (freeze).
sleep_through() {
	local delay was rc=0
	[[ -w $PM/pm_test && -w $DELAY ]] || skip "no pm_test"
	grep -qw "$1" "$PM/state" || skip "no state '$1'"
	delay=$(cat "$DELAY")
	was=$(sed 's/.*\[\(.*\)\].*/\1/' "$PM/pm_test")
	echo "$2" > "$DELAY"
	echo freezer > "$PM/pm_test"
	echo "$1" > "$PM/state" || rc=$?
	echo "$was" > "$PM/pm_test"
	echo "$delay" > "$DELAY"
	equal "$rc" 0 "prepared for sleep"
}
handshake() { peer_field "$1" wg0 "$2" 5; }

# wiped COMMAND...: after it either side needs a new session, and gets one at once.
wiped() {
	local a b
	tunnel
	pings A 10.77.0.2
	a=$(handshake A "$B_PUB") b=$(handshake B "$A_PUB")
	sleep 2.1
	# The session lives.
	pings A 10.77.0.2
	equal "$(handshake A "$B_PUB")" "$a" "handshake without reason"
	"$@"
	pings "${FIRST:-A}" "${FIRST_TO:-10.77.0.2}"
	at_least "$(handshake A "$B_PUB")" "$((a + 2))" "a new handshake of A"
	at_least "$(handshake B "$A_PUB")" "$((b + 2))" "a new handshake of B"
}
t_suspend() { wiped sleep_through freeze 1; }
t_suspend_ram() { wiped sleep_through mem 1; }
snapshot() {
	[[ -c /dev/snapshot ]] || skip "no /dev/snapshot"
	# A program that hibernates the machine begins with this.
	: < /dev/snapshot
}
t_hibernate() { wiped snapshot; }
test_case "P1 suspend to idle wipes all keys, then a handshake at once" t_suspend
test_case "P1 suspend to memory does" t_suspend_ram
test_case "P1 hibernation does" t_hibernate

# Nothing keeps a wiped keypair.
t_suspend_keypairs() {
	local c=/sys/kernel/debug/dynamic_debug/control mark="wgtest-$$-$RANDOM"
	[[ -w $c ]] || skip "no dynamic debug"
	tunnel
	pings A 10.77.0.2
	echo "$mark" > /dev/kmsg
	echo "module wireguard +p" > "$c"
	sleep_through freeze 1
	echo "module wireguard -p" > "$c"
	equal "$(dmesg | sed "1,/$mark/d" | grep -cE 'wg0: Keypair [0-9]+ destroyed')" 2 "keypairs that are gone, one on each side"
}
test_case "P1 the keypairs themselves are freed" t_suspend_keypairs

# An initiation is repeated after 5 s; its worker is frozen for 12.
t_frozen() {
	underlay
	keys A B
	on A ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$A_KEY")" peer "$B_PUB" endpoint 192.0.2.2:1002 \
		allowed-ips 10.77.0.0/24 persistent-keepalive 1
	python3 "$TEST_DIR/probe.py" arrivals "$(ns B)" 192.0.2.2 1002 "$WORK/stop" > "$WORK/arrivals" &
	wait_until 10 grep -q bound "$WORK/arrivals"
	on A ip link set wg0 up
	sleep 1
	sleep_through freeze 12
	sleep 1
	touch "$WORK/stop"
	wait_until 10 grep -q "done" "$WORK/arrivals"
	diag "initiations, seconds: $(tr '\n' ' ' < "$WORK/arrivals")"
	python3 - "$WORK/arrivals" <<- 'PY'
		import sys
		times = [float(line) for line in open(sys.argv[1]) if line[0].isdigit()]
		gaps = [b - a for a, b in zip(times, times[1:])]
		# Only the last one, right after, came later than it should.
		assert gaps and gaps[-1] >= 12, "none while all was frozen, one after"
	PY
}
test_case "P3 handshakes wait while the system is frozen, and go on after" t_frozen

vm_fork() {
	local mark="wgtest-$$-$RANDOM"
	echo "$mark" > /dev/kmsg
	cat "$FORK" > /dev/null
	wait_until 10 eval "dmesg | sed '1,/$mark/d' | grep -q 'due to virtual machine fork'"
}
t_fork() {
	[[ -e $FORK ]] || skip "no generation ID that can be changed (qemu/vm.sh --vmfork)"
	wiped vm_fork
}
t_fork_responder() {
	[[ -e $FORK ]] || skip "no generation ID that can be changed (qemu/vm.sh --vmfork)"
	FIRST=B FIRST_TO=10.77.0.1 wiped vm_fork
}
test_case "P2 a copied virtual machine makes a new session before it sends" t_fork
test_case "P2 so does its responder" t_fork_responder

run_tests
