#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A peer that is busy enough for a second CPU.

. "$(dirname "$0")/lib.sh"

# counter NS NAME: of ethtool -S.
counter() { on "$1" ethtool -S wg0 | awk -v name="$2:" '$1 == name { print $2 }'; }

# one_cpu_below: what the veth pair delivers comes on one CPU, so that order is the tunnel's doing.
one_cpu_below() {
	ip netns exec "$(ns A)" bash -c "echo 1 > /sys/class/net/vA/queues/rx-0/rps_cpus"
	ip netns exec "$(ns B)" bash -c "echo 1 > /sys/class/net/vB/queues/rx-0/rps_cpus"
}

# flows DST [OPTION]: order.py to DST; how many came of either flow is in bulk and slow.
flows() {
	read -r _ bulk slow < <(python3 "$TEST_DIR/order.py" --from "$(ns A)" --to "$(ns B)" --seconds $((4 * TEST_SLOWNESS)) \
		--dst "$@" | tee /dev/stderr | grep ^order)
	ours || return 0
	diag "received: $bulk and $slow; left to a worker $(counter B rx_spread), with a second one $(counter B rx_aside)," \
		"passed them $(counter B rx_passed)," \
		"dropped: $(counter B rx_drop_delay) delayed, $(counter B rx_drop_queue) full"
}

# busy INSIDE DST: the two flows of order.py through a tunnel.
busy() {
	local bulk slow
	ours || skip "the C driver has a queue for all"
	(($(nproc) > 1)) || skip "one CPU"
	tunnel 1420 "$1"
	one_cpu_below
	pings A "$2"
	# In one of 64 runs both flows count as one.
	for _ in {1..3}; do
		flows "$2"
		((bulk >= 0 && slow >= 0 && ($(counter B rx_passed) == 0 || $(counter B rx_aside) == 0))) || break
	done
	at_least "$bulk" 100 "datagrams of the busy flow, in order"
	at_least "$slow" 50 "datagrams of the slow flow, in order"
	at_least "$(counter B rx_spread)" 50 "trains and datagrams left to a worker"
	at_least "$(counter B rx_aside)" 1 "batches that the second of two workers had first"
	at_least "$(counter B rx_passed)" 1 "small datagrams that passed them"
}
t_order4() { busy 4 10.77.0.2; }
t_order6() { busy 6 fd77::2; }
test_case "V6 X7 beside a busy flow: each flow in order, a small one passes, IPv4" t_order4 240
test_case "V6 X7 beside a busy flow: each flow in order, a small one passes, IPv6" t_order6 240

# drops NS: what was dropped.
drops() { on "$1" ethtool -S wg0 | awk '/drop_/ && $2 { print $1, $2 }' | xargs; }

# pours INSIDE DST OPTION...: pour.py through a tunnel.
pours() {
	local seen received
	(($(nproc) > 1)) || skip "one CPU"
	tunnel 1420 "$1"
	one_cpu_below
	pings A "$2"
	# On a slow kernel no CPU has much time to spare.
	for _ in {1..6}; do
		read -r _ seen received < <(python3 "$TEST_DIR/pour.py" --from "$(ns A)" --to "$(ns B)" --dev vA \
			--dst "${@:2}" | tee /dev/stderr | grep ^pour)
		at_least "$seen" 500 "messages that left, in order"
		at_least "$received" 500 "datagrams that arrived, nothing being left behind"
		ours || return 0
		diag "A: $(drops A); B: $(drops B)"
		diag "$(counter A tx_helped) of $(counter A tx_batches) batches were encrypted by helpers"
		(($(counter A tx_helped) < 10)) || break
	done
	at_least "$(counter A tx_helped)" 10 "batches that helpers encrypted"
	equal "$(counter B rx_drop_decrypt)" 0 "messages that were damaged"
}
t_pour_one() { pours 4 10.77.0.2; }
t_pour_many() { pours 6 fd77::2 --senders 4 --calls 6; }
test_case "D6 X7 helpers encrypt for one sender: all leaves, in order" t_pour_one 240
test_case "D6 X7 helpers encrypt for four senders: all leaves, in order" t_pour_many 240

# workers_elsewhere: work for any CPU is done on the last one, until the case ends.
workers_elsewhere() {
	masks=/sys/devices/virtual/workqueue/cpumask
	[[ -w $masks ]] || skip "no mask of CPUs for work"
	mask=$(< "$masks")
	trap 'echo "$mask" > "$masks"' EXIT
	printf '%x\n' $((1 << ($(nproc) - 1))) > "$masks"
}

# What the CPU of the network has decrypted waits there, while that CPU is kept busy, when a worker on
# another one begins.
t_starts() {
	local bulk slow
	(($(nproc) > 1)) || skip "one CPU"
	tunnel
	one_cpu_below
	pings A 10.77.0.2
	workers_elsewhere
	for _ in {1..3}; do
		flows 10.77.0.2 --hog first --starts
		at_least "$bulk" 100 "datagrams of the flow with pauses, in order"
		at_least "$slow" 0 "datagrams of the slow flow, in order"
	done
	ours || return 0
	at_least "$(counter B rx_spread)" 50 "trains and datagrams left to a worker"
}
test_case "D6 each time that a worker takes over: what is decrypted arrives first" t_starts 240

# Packets that wait for more of them are sent by a worker, others by whoever brings them.
t_bursts() {
	local bulk slow
	(($(nproc) > 1)) || skip "one CPU"
	((TEST_SLOWNESS == 1)) || skip "no four packets in a tick of the clock on a kernel as slow as this"
	tunnel
	pings A 10.77.0.2
	# A host that takes a CPU away for longer than 20 ms can bring disorder. Without the driver's care
	# there is some in every round.
	for _ in {1..3}; do
		flows 10.77.0.2 --bursts
		((bulk < 0 || slow < 0)) || break
	done
	at_least "$bulk" 1000 "datagrams of the flow in bursts, in order"
	at_least "$slow" 50 "datagrams of the slow flow, in order"
	ours || return 0
	at_least "$(counter A tx_awaited)" 10 "times that packets waited for a worker"
}
test_case "D6 bursts of small datagrams arrive in order, whoever sends them" t_bursts 120

# All workers on a CPU that somebody else keeps busy: the queue gets long, and CoDel has to act.
t_delay() {
	local bulk slow all_bulk=0 all_slow=0
	ours || skip "the C driver has a queue for all"
	(($(nproc) > 1)) || skip "one CPU"
	tunnel
	one_cpu_below
	pings A 10.77.0.2
	workers_elsewhere
	# A slow kernel may need more than one round.
	for _ in {1..3}; do
		flows 10.77.0.2 --hog last
		at_least "$bulk" 0 "datagrams of the busy flow, in order"
		at_least "$slow" 0 "datagrams of the slow flow, in order"
		all_bulk=$((all_bulk + bulk)) all_slow=$((all_slow + slow))
		(($(counter B rx_drop_delay) == 0)) || break
	done
	at_least "$all_bulk" 30 "datagrams of the busy flow"
	at_least "$all_slow" 5 "datagrams of the slow flow"
	pings A 10.77.0.2
	at_least "$(counter B rx_drop_delay)" 1 "datagrams dropped as the worker was late"
}
test_case "S6 a sender that does not listen, and a worker that cannot follow: drops, in order" t_delay 240

run_tests
