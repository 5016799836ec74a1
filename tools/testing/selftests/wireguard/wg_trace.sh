#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# wg-trace, whose path is in WG_TRACE (see qemu/test.sh operator).

. "$(dirname "$0")/lib.sh"

wgt() { on A "$WG_TRACE" "$@"; }
# here: the case has something to run.
here() { [[ -n ${WG_TRACE:-} ]] || skip "no WG_TRACE: make test-operator has it"; }
# json FILE EXPRESSION: prints what the Python expression says of the JSON value v.
json() { python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$@"; }

t_once() {
	here
	tunnel
	pings A 10.77.0.2
	on A ping -c 1 -W 1 10.77.0.77 > /dev/null 2>&1 || true
	wgt --once --json wg0 > "$WORK/once"
	equal "$(json "$WORK/once" 'v["interface"]')" wg0 interface
	equal "$(json "$WORK/once" '[p["public_key"] for p in v["peers"]]')" "['$B_PUB']" peers
	equal "$(json "$WORK/once" 'v["peers"][0]["endpoint"]')" 192.0.2.2:1002 endpoint
	equal "$(json "$WORK/once" 'v["peers"][0]["latest_handshake"]')" "$(peer_field A wg0 "$B_PUB" 5)" handshake
	equal "$(json "$WORK/once" 'v["peers"][0]["rx_bytes"]')" "$(peer_field A wg0 "$B_PUB" 6)" "bytes received"
	# Without a name: the only interface there is.
	on_sys A "$WG_TRACE" --once > "$WORK/text"
	grep -qF "$B_PUB 192.0.2.2:1002 handshake" "$WORK/text"
	ours || return 0
	equal "$(json "$WORK/once" 'v["counters"]["tx_drop_no_peer"] > 0')" True "packets without a peer"
	grep -qE '^tx_drop_no_peer [1-9]' "$WORK/text"
}
test_case "one look, as JSON and as text" t_once

t_events() {
	here
	ours || skip "the C driver tells of nothing"
	tunnel
	wgt --json --seconds 20 wg0 > "$WORK/events" &
	local pid=$!
	# It has joined when the kernel lists a member.
	# shellcheck disable=SC2016
	wait_until 10 on A bash -c 'awk "\$2 == 16 && \$4 !~ /^0+\$/" /proc/net/netlink | grep .'
	pings A 10.77.0.2
	wait_until 15 grep -q '"handshake"' "$WORK/events"
	on A wg set wg0 peer "$B_PUB" remove
	wait_until 15 grep -q '"removed"' "$WORK/events"
	grep -qF "$B_PUB" "$WORK/events"
	wait "$pid"
}
test_case "events, a line of JSON each" t_events 120

t_screen() {
	here
	tunnel
	pings A 10.77.0.2
	python3 - "$(ns A)" "$WG_TRACE" "$B_PUB" << 'PYTHON'
import fcntl, os, pty, select, struct, subprocess, sys, termios, time
space, command, key = sys.argv[1:]
slow = int(os.environ.get("TEST_SLOWNESS", "1"))
main, side = pty.openpty()
fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
env = {**os.environ, "TERM": "xterm"}
child = subprocess.Popen(["nsenter", f"--net=/run/netns/{space}", command, "wg0"], stdin=side, stdout=side, stderr=side, env=env)
os.close(side)
seen, end = b"", time.monotonic() + 30 * slow
wanted = [b"Peers", b"Drops", b"Events", key.encode(), b"192.0.2.2:1002"]
while not all(text in seen for text in wanted):
    assert time.monotonic() < end, f"no frame: {seen!r}"
    if select.select([main], [], [], 1)[0]:
        seen += os.read(main, 65536)
os.write(main, b"q")
end = time.monotonic() + 20 * slow
while child.poll() is None:
    assert time.monotonic() < end, "it does not quit"
    if select.select([main], [], [], 0.2)[0]:
        try:
            seen += os.read(main, 65536)
        except OSError:
            pass
assert child.returncode == 0, child.returncode
assert b"\x1b[?1049l" in seen, "the terminal is not given back"
PYTHON
}
test_case "a frame in a terminal, and q ends it" t_screen 120

t_wrong() {
	here
	ns_add A
	fails_with "no WireGuard interface" on_sys A "$WG_TRACE" --once
	fails_with "nothere" wgt --once nothere
}
test_case "what is not there is said" t_wrong

run_tests
