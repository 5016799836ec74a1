#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module itself: aliases, loading on demand, version, unloading with
# everything in use, reloading, and what it leaves behind.

. "$(dirname "$0")/lib.sh"

MARK=0
loaded() { [[ -d /sys/module/wireguard ]]; }
unload() { rmmod wireguard; }
# log_mark, log_since: the kernel log from a moment on.
log_mark() { MARK=$(dmesg | wc -l); }
log_since() { dmesg | tail -n +$((MARK + 1)); }
clean_log() {
	local bad
	bad=$(log_since | grep -Ei 'WARNING:|BUG:|Oops|leaked|Objects remaining|still (in use|has)|refcount' | head -n 3) || true
	[[ -z $bad ]] || fail "kernel log: $bad"
}

t_info() {
	modinfo wireguard > "$WORK/info"
	grep -q '^alias: *rtnl-link-wireguard$' "$WORK/info"
	grep -q '^alias: *net-pf-16-proto-16-family-wireguard$' "$WORK/info"
	grep -Eq '^license: *GPL( v2)?$' "$WORK/info"
	grep -q '^version: *1\.0\.0$' "$WORK/info"
}
test_case "R2 aliases, licence and version of the module" t_info

t_version() {
	modprobe wireguard
	equal "$(cat /sys/module/wireguard/version)" 1.0.0 version
}
test_case "R2 /sys/module/wireguard/version" t_version

t_load_lines() {
	! loaded || unload
	log_mark
	modprobe wireguard
	wait_until 5 eval "log_since | grep -i wireguard" > /dev/null
	at_least "$(log_since | grep -ci wireguard)" 1 "lines on load"
	clean_log
}
test_case "R2 loading says so in the log" t_load_lines

t_autoload_link() {
	! loaded || unload
	ns_add A
	on A ip link add wg0 type wireguard
	loaded
}
test_case "R2 ip link add loads the module" t_autoload_link

t_autoload_family() {
	! loaded || unload
	ns_add A
	# Asking for the generic netlink family by name.
	PYTHONPATH=$TEST_DIR on A python3 -c 'import genl; genl.Client(None)'
	loaded
}
test_case "R2 asking for the netlink family loads the module" t_autoload_family

t_unload_idle() {
	modprobe wireguard
	log_mark
	unload
	refute loaded
	clean_log
	modprobe wireguard
}
test_case "R19 unloads when idle" t_unload_idle

t_unload_devices() {
	local i
	ns_add A B
	for ((i = 0; i < 8; i++)); do
		on A ip link add "wg$i" type wireguard
		on A wg set "wg$i" private-key "$(key_file "$(wg genkey)")" \
			peer "$(wg genkey | wg pubkey)" allowed-ips 0.0.0.0/0,::/0 endpoint 127.0.0.1:9
		((i % 2)) || on A ip link set "wg$i" up
	done
	on A ip link set wg3 netns "$(ns B)"
	log_mark
	equal "$(lsmod | awk '$1 == "wireguard" { print $3 }')" 0 "use count with devices"
	unload
	refute on A ip link show dev wg0 2> /dev/null
	refute on B ip link show dev wg3 2> /dev/null
	clean_log
}
test_case "R19 devices hold no reference: unloading deletes them" t_unload_devices

t_unload_traffic() {
	tunnel
	pings A 10.77.0.2
	on A ping -q -f -w 30 10.77.0.2 > /dev/null 2>&1 &
	on B ping -q -f -w 30 fd77::1 > /dev/null 2>&1 &
	transfer A B 10.77.0.2 --bytes 8388608 > /dev/null 2>&1 &
	sleep 1
	log_mark
	unload
	refute on A ip link show dev wg0 2> /dev/null
	clean_log
	jobs -p | xargs -r kill 2> /dev/null || true
}
test_case "R19 unloads under traffic" t_unload_traffic

t_unload_handshake() {
	underlay
	keys A B
	on A ip link add wg0 type wireguard
	on A wg set wg0 private-key "$(key_file "$A_KEY")" peer "$B_PUB" \
		endpoint 192.0.2.2:9 allowed-ips 0.0.0.0/0 persistent-keepalive 1
	on A ip addr add 10.77.0.1/24 dev wg0
	on A ip link set wg0 up
	on A ping -q -c 1 -W 1 10.77.0.2 > /dev/null || true
	log_mark
	unload
	clean_log
}
test_case "R19 unloads with a handshake, packets and timers pending" t_unload_handshake

t_reload_loop() {
	local i
	! loaded || unload
	log_mark
	for ((i = 0; i < 4; i++)); do
		tunnel
		pings A 10.77.0.2 1
		((i % 2)) || { on A ip link del wg0; on B ip link del wg0; }
		unload
		ip netns del "$(ns A)"
		ip netns del "$(ns B)"
	done
	clean_log
	modprobe wireguard
}
test_case "R19 loaded, used and unloaded again and again" t_reload_loop 120

# The same in a loop, looking at what the kernel holds in slabs afterwards.
t_no_leak() {
	local i before after
	used() { awk '$1 == "Slab:" { print $2 }' /proc/meminfo; }
	round() {
		tunnel
		pings A 10.77.0.2 1
		unload
		ip netns del "$(ns A)"
		ip netns del "$(ns B)"
	}
	round
	round
	sleep 1
	before=$(used)
	for ((i = 0; i < 4; i++)); do round; done
	wait_until 20 eval "(( \$(awk '\$1 == \"Slab:\" { print \$2 }' /proc/meminfo) < $before + 6000 ))"
	after=$(used)
	diag "slab before $before KiB, after $after KiB"
	modprobe wireguard
}
test_case "R19 repeated use leaves no memory behind" t_no_leak 120

control() {
	local f
	for f in /sys/kernel/debug/dynamic_debug/control /proc/dynamic_debug/control; do
		[[ -w $f ]] && { echo "$f"; return; }
	done
	return 1
}
# Each object that is created must be destroyed; both are told in the log.
t_debug_lines() {
	local c
	modprobe wireguard
	mount -t debugfs none /sys/kernel/debug 2> /dev/null || true
	c=$(control) || skip "no dynamic debug"
	echo "module wireguard +p" > "$c"
	log_mark
	tunnel
	pings A 10.77.0.2
	on A wg set wg0 peer "$(wg genkey | wg pubkey)"
	on A ip link del wg0
	on B ip link del wg0
	sleep 0.5
	log_since | sed -n 's/.*wireguard: //p' > "$WORK/lines"
	echo "module wireguard -p" > "$c"
	grep -q 'wg0: Interface created' "$WORK/lines"
	grep -q 'wg0: Interface destroyed' "$WORK/lines"
	python3 - "$WORK/lines" <<- 'PY'
		import re, sys
		state = {}
		for line in open(sys.argv[1]):
		    for what, event in re.findall(r"wg0: ([A-Z][a-z]+ ?[0-9]*).*? (created|destroyed)\b", line):
		        state.setdefault(what.strip(), []).append(event)
		print("#", {k: len(v) for k, v in state.items()})
		numbered = {k: v for k, v in state.items() if k.startswith(("Peer ", "Keypair "))}
		bad = [k for k, v in numbered.items() if v != ["created", "destroyed"]]
		if bad or sum(k.startswith("Peer ") for k in numbered) < 3 or sum(k.startswith("Keypair ") for k in numbered) < 2:
		    print("# unbalanced or missing:", bad, state)
		    sys.exit(1)
	PY
}
test_case "G2 G3 G4 each peer and keypair is told created, then destroyed" t_debug_lines

t_numbers() {
	local c _
	modprobe wireguard
	mount -t debugfs none /sys/kernel/debug 2> /dev/null || true
	c=$(control) || skip "no dynamic debug"
	echo "module wireguard +p" > "$c"
	log_mark
	for _ in 1 2 3; do
		tunnel
		pings A 10.77.0.2 1
		on A ip link del wg0
		on B ip link del wg0
		ns_del A
		ns_del B
	done
	sleep 0.5
	log_since > "$WORK/lines"
	echo "module wireguard -p" > "$c"
	python3 - "$WORK/lines" <<- 'PY'
		import re, sys
		text = open(sys.argv[1]).read()
		for what in ("Peer", "Keypair"):
		    numbers = [int(n) for n in re.findall(rf"wg0: {what} (\d+) created", text)]
		    print("#", what, numbers)
		    assert len(numbers) >= 6 and numbers == sorted(set(numbers)), what
	PY
}
test_case "G5 numbers of peers and keypairs only grow, whatever goes" t_numbers

t_parallel() {
	local i p pids=()
	modprobe wireguard
	ns_add A
	log_mark
	for ((i = 0; i < 4; i++)); do
		(
			for p in 1 2 3 4 5 6 7 8; do
				ip -n "$(ns A)" link add "wg$i" type wireguard
				ip -n "$(ns A)" link set "wg$i" up
				ip -n "$(ns A)" link del "wg$i"
			done
		) 2> /dev/null &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p"; done
	equal "$(on A ip -o link show type wireguard | wc -l)" 0 "devices left"
	clean_log
}
test_case "R19 creation and deletion in parallel" t_parallel

run_tests
