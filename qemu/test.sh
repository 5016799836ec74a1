#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh host|vm|netns|all: run the tests; the last line is "N passed, N failed".
#
#   host   cargo test of the workspace, inside the toolchain root
#   vm     the guest tests on the stock kernel; SUITE="tunnel config" selects
#          files, ONLY=REGEX cases by name, NIGHTLY=1 adds the files listed in
#          "nightly" of the tests' folder (long ones), MODULE=stock takes the C
#          driver instead of ours, or a path
#   netns  the kernel's own test, straight from its source package
#   all    host and vm
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
		cargo test --manifest-path "$WG_TREE/Cargo.toml" --workspace --locked --no-fail-fast 2>&1 |
		tee "$work/host" || rc=$?
	cp "$work/host" "$WG_TREE/build/host.tap"
	read -r p f < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$work/host")
	if ((p + f == 0 && rc == 0)); then rc=1; fi
	add "$p" "$f" "$rc" "host tests"
}

# guest WHAT OPTIONS...: one VM with the chosen module; its results are added.
guest() {
	local rc=0 module=${MODULE:-ours} what=$1 line="Linux $WG_KERNEL"
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
	local names=${SUITE:-} name run="TEST_SLOWNESS=$slowness"
	# What the tests themselves read, see their README.
	for name in NIGHTLY ONLY VERBOSE SEED FUZZ_SECONDS PINS TEST_TIMEOUT; do
		[[ -z ${!name:-} ]] || run+=" $name=$(printf '%q' "${!name}")"
	done
	guest "guest tests" --run "$run guest/run-tests.sh ${names//,/ }"
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

mkdir -p "$WG_TREE/build"
nightly=()
[[ ${NIGHTLY:-} != 1 ]] || nightly=(--nightly)
case ${1:-all} in
host)
	host
	ran --only host --results "$WG_TREE/build/host.tap"
	;;
vm)
	vm
	ran --only guest ${nightly[@]+"${nightly[@]}"} --results "$WG_TREE/build/guest.tap"
	;;
netns) netns ;;
all)
	host
	vm
	ran ${nightly[@]+"${nightly[@]}"} --results "$WG_TREE/build/host.tap" "$WG_TREE/build/guest.tap"
	;;
*) die "test.sh host|vm|netns|all" ;;
esac
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
