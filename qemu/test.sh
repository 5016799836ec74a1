#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh host|be|fuzz|vm|netns|operator|smoke|all: run the tests; the last line is "N passed, N failed".
#
#   host   cargo test of the workspace, inside the toolchain root
#   be     cargo test of wg_proto on a big-endian machine (s390x), emulated
#   fuzz   every fuzz target on its corpus, and for TIME seconds (12) beyond it;
#          TARGET="messages tunnel" selects some
#   vm     the guest tests on the stock kernel; SUITE="tunnel config" selects
#          files, ONLY=REGEX cases by name, NIGHTLY=1 adds the files listed in
#          "nightly" of the tests' folder (long ones), MODULE=stock takes the C
#          driver instead of ours, or a path
#   netns  the kernel's own test, straight from its source package
#   smoke  the demo's steps with less data, to see that another machine or
#          kernel works at all: ARCH=arm64 KERNEL=7.3 make test-smoke
#   operator   what an operator uses, with the kernel's own netlink client and
#          our wg-trace in the guest
#   all    host, fuzz, vm and operator
#
# KERNEL=debug and KERNEL=kcsan take a kernel with checkers: everything is much
# slower there.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# How many times as long as on the stock kernel a test may take.
slowness=1
[[ $WG_VARIANT == stock ]] || slowness=${TEST_SLOWNESS:-5}

passed=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/wg-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

# add PASSED FAILED STATUS WHAT: a part's result; a part that failed without a
# failed test (it did not build, the machine died) is one failure.
add() {
	passed=$((passed + $1))
	failed=$((failed + $2))
	if (($3 != 0 && $2 == 0)); then
		say "not ok - $4 (exit status $3)"
		failed=$((failed + 1))
	fi
}

host() {
	local rc=0
	say "== host tests: cargo test"
	"$WG_QEMU/root.sh" env CARGO_TARGET_DIR="$WG_TREE/build/cargo" CARGO_TERM_COLOR=never \
		timeout -k 10 "${HOST_TIMEOUT:-1500}" \
		cargo test --manifest-path "$WG_TREE/Cargo.toml" --workspace --exclude wg_fuzz --locked --no-fail-fast 2>&1 |
		tee "$work/host" || rc=$?
	cp "$work/host" "$WG_TREE/build/host.tap"
	read -r p f < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$work/host")
	if ((p + f == 0 && rc == 0)); then rc=1; fi
	add "$p" "$f" "$rc" "host tests"
}

# The same crate where the first byte is the most significant one. Debian's QEMU runs
# its programs; everything in the test's own dependencies is built for it, too.
be() {
	local rc=0 target=s390x-unknown-linux-gnu
	say "== host tests on $target, emulated"
	WG_ROOT_EXTRA=s390x "$WG_QEMU/root.sh" env CARGO_TARGET_DIR="$WG_TREE/build/cargo-be" CARGO_TERM_COLOR=never \
		CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
		CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER='qemu-s390x -L /usr/s390x-linux-gnu' \
		CC_s390x_unknown_linux_gnu=s390x-linux-gnu-gcc \
		timeout -k 10 "${HOST_TIMEOUT:-3600}" \
		cargo test --manifest-path "$WG_TREE/Cargo.toml" -p wg_proto --target "$target" \
		--locked --no-fail-fast --lib --tests 2>&1 |
		tee "$work/be" || rc=$?
	read -r p f < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$work/be")
	if ((p + f == 0 && rc == 0)); then rc=1; fi
	add "$p" "$f" "$rc" "host tests on $target"
}

fuzz() {
	local rc=0
	say "== fuzz targets: ${TIME:-12} s each"
	"$WG_QEMU/root.sh" timeout -k 10 "${FUZZ_TIMEOUT:-$((1500 + 5 * ${TIME:-12}))}" \
		"$WG_TREE/fuzz/run.sh" | tee "$work/fuzz" || rc=$?
	read -r p f < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$work/fuzz")
	add "$p" "$f" "$rc" "fuzz targets"
}

# guest WHAT OPTIONS...: one VM with the chosen module; its results are added.
guest() {
	local rc=0 module=${MODULE:-ours} what=$1 line="Linux $WG_KERNEL$WG_FLAVOUR"
	shift
	[[ $WG_VARIANT == stock ]] || line+=" $WG_VARIANT"
	say "== $what: $line, $WG_ARCH"
	if [[ $module == ours ]]; then
		module=$("$WG_QEMU/build.sh") || {
			add 0 0 1 "building the module"
			return 0
		}
	fi
	"$WG_QEMU/vm.sh" --module "$module" --smp "${SMP:-2}" --vmfork --timeout "${VM_TIMEOUT:-$((2400 * slowness))}" \
		--log "$WG_TREE/build/kernel.log" "$@" | tee "$work/vm" || rc=$?
	read -r p f < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$work/vm")
	add "$p" "$f" "$rc" "$what"
}

vm() {
	local names=${SUITE:-} name run="TEST_SLOWNESS=$slowness" aead
	aead=$("$WG_QEMU/build.sh" --aead-test) || {
		add 0 0 1 "building tools/testing/aead"
		return 0
	}
	# Every length takes its time.
	[[ -z ${AEAD_EVERY:-} ]] || TEST_TIMEOUT=${TEST_TIMEOUT:-7200}
	# What the tests themselves read, see their README.
	for name in NIGHTLY ONLY VERBOSE SEED FUZZ_SECONDS PINS AEAD_EVERY TEST_TIMEOUT; do
		[[ -z ${!name:-} ]] || run+=" $name=$(printf '%q' "${!name}")"
	done
	guest "guest tests" --add "$aead" --run "$run guest/run-tests.sh ${names//,/ }"
	[[ ! -e $work/vm ]] || cp "$work/vm" "$WG_TREE/build/guest.tap"
}

netns() {
	guest "netns.sh" \
		--add "$("$WG_QEMU/kernel.sh" source)/tools/testing/selftests/wireguard/netns.sh:/wg/netns.sh" \
		--run "guest/netns.sh /wg/netns.sh"
}

# ran WHAT...: after a run without a selection: did every test that the table of
# the contract names run? build/contract.md is that table with the results.
ran() {
	local bad count
	[[ -z ${SUITE:-} && -z ${ONLY:-} ]] || return 0
	bad=$("$WG_QEMU/root.sh" "$WG_TREE/scripts/contract.py" --out "$WG_TREE/build/contract.md" "$@") || true
	[[ -n $bad ]] || return 0
	printf '%s\n' "$bad" | sed 's/^/not ok - contract: /'
	# What failed was counted above already.
	count=$(grep -cv ': failed$' <<<"$bad" || true)
	add 0 "$count" 0 "the contract"
}

# What it needs is made at the same time, as far as it can be.
smoke() {
	local image rc=0
	"$WG_QEMU/root.sh" true
	"$WG_QEMU/kernel.sh" version >/dev/null
	"$WG_QEMU/image.sh" base >/dev/null &
	image=$!
	"$WG_QEMU/kernel.sh" builddir >/dev/null || rc=$?
	wait "$image" || rc=$?
	if ((rc != 0)); then
		add 0 0 "$rc" "kernel and image"
		return
	fi
	guest "smoke test" --run "guest/demo.sh --smoke"
}

operator() {
	local tools ynl
	ynl=$("$WG_QEMU/image.sh" ynl)
	tools=$("$WG_QEMU/tools.sh") || {
		add 0 0 1 "building the tools"
		return 0
	}
	guest "operator's tests" --add "$ynl:/wg/ynl" \
		--add "$WG_TREE/Documentation/netlink/specs/wireguard.yaml:/wg/ynl/wireguard.yaml" \
		--add "$tools/wg-trace:/wg/bin/wg-trace" \
		--run "YNL=/wg/ynl WG_TRACE=/wg/bin/wg-trace TEST_SLOWNESS=$slowness guest/run-tests.sh events wg_trace"
}

mkdir -p "$WG_TREE/build"
nightly=()
[[ ${NIGHTLY:-} != 1 ]] || nightly=(--nightly)
case ${1:-all} in
host)
	host
	ran --only host --results "$WG_TREE/build/host.tap"
	;;
be) be ;;
fuzz) fuzz ;;
vm)
	vm
	ran --only guest ${nightly[@]+"${nightly[@]}"} --results "$WG_TREE/build/guest.tap"
	;;
netns) netns ;;
smoke) smoke ;;
operator) operator ;;
all)
	host
	fuzz
	vm
	ran ${nightly[@]+"${nightly[@]}"} --results "$WG_TREE/build/host.tap" "$WG_TREE/build/guest.tap"
	operator
	;;
*) die "test.sh host|be|fuzz|vm|netns|operator|smoke|all" ;;
esac
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
