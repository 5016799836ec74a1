#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# instrument.sh RUSTC ARGS...: a RUSTC_WORKSPACE_WRAPPER that adds libFuzzer's
# instrumentation to the crates of this tree, and to those alone: what other
# people's cryptography does with its input is no news to the fuzzer, only slow.

case " $* " in
*" --crate-name "*)
	exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table \
		-Cllvm-args=-sanitizer-coverage-trace-compares
	;;
*) exec "$@" ;;
esac
