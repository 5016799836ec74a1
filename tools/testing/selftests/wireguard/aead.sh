#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The AEAD of the data path (rust/kapi/helpers/aead.c and the packets around it)
# beside lib/crypto's: equal results and nothing written elsewhere, for every
# length. Runs in the kernel, by a module for tests: tools/testing/aead.
#
#   AEAD_EVERY=1   every length above 4,096 as well, not each 127th: half an hour
#                  where the machine is emulated

. "$(dirname "$0")/lib.sh"

MODULE_FILE=${AEAD_MODULE:-/wg/wg_aead_test.ko}
# What is left out between long texts; odd, so that all places in a block come.
STEP=127
[[ -z ${AEAD_EVERY:-} ]] || STEP=1

# lengths WHAT FIRST LAST STEP: one run of the module.
lengths() {
	[[ -f $MODULE_FILE ]] || skip "no $MODULE_FILE: the tests were started in another way than by make"
	modprobe -a libchacha libpoly1305 libchacha20poly1305
	! [[ -d /sys/module/wg_aead_test ]] || rmmod wg_aead_test
	local mark
	mark=$(dmesg | wc -l)
	insmod "$MODULE_FILE" what="$1" first="$2" last="$3" step="$4" ||
		fail "$(dmesg | tail -n +$((mark + 1)) | grep wg_aead_test | tail -n 3)"
	rmmod wg_aead_test
	diag "$(dmesg | tail -n +$((mark + 1)) | grep -o "wg_aead_test: .*" | tail -n 1)"
}

t_seal() { lengths seal 0 4096 1; }
t_seal_long() { lengths seal 4097 66000 "$STEP"; }
t_open() { lengths open 0 4096 1; }
t_open_long() { lengths open 4097 66000 "$STEP"; }
t_forged() { lengths forged 0 4096 1; }
t_forged_long() { lengths forged 4097 66000 127; }
t_train() { lengths train 0 4096 3; }
t_packet_seal() { lengths packet_seal 0 2048 3; lengths packet_seal 2051 66000 509; }
t_packet_open() { lengths packet_open 0 2048 5; lengths packet_open 2051 66000 509; }
t_packet_train() { lengths packet_train 0 2048 5; lengths packet_train 2051 21900 509; }

LIMIT=120
[[ -z ${AEAD_EVERY:-} ]] || LIMIT=3600
test_case "seal: lib/crypto's result for 0 to 4096 bytes" t_seal "$LIMIT"
test_case "seal: lib/crypto's result for up to 66000 bytes" t_seal_long "$LIMIT"
test_case "open: lib/crypto's result for 0 to 4096 bytes, in place, elsewhere, folded" t_open "$LIMIT"
test_case "open: lib/crypto's result for up to 66000 bytes" t_open_long "$LIMIT"
test_case "open: a wrong bit in tag or text is refused, 0 to 4096 bytes" t_forged "$LIMIT"
test_case "open: a wrong bit in tag or text is refused, up to 66000 bytes" t_forged_long "$LIMIT"
test_case "open: messages one behind the other" t_train "$LIMIT"
test_case "packets: sealed from head and fragments" t_packet_seal "$LIMIT"
test_case "packets: opened from head and fragments, cloned, forged" t_packet_open "$LIMIT"
test_case "packets: opened out of trains" t_packet_train "$LIMIT"
run_tests
