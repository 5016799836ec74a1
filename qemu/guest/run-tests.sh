#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-tests.sh [NAME...]: run the guest tests (those named, or all but the files
# listed in "nightly" beside them and those for kernels with checkers that this
# one has not; "tunnel" and "tunnel.sh" are the same)
# and judge each file: its results and plan (KTAP),
# its exit status, its time, the kernel log while it ran, and that the module
# can be removed after it; on a kernel with kmemleak also that nothing leaked.
# The last line is "N passed, N failed".
#
#   NIGHTLY=1        all, those of "nightly" too
#   TEST_SLOWNESS=N  how many times as long everything may take (1)
#   TEST_TIMEOUT=S   time for one file (600 times that, or what its line
#                    "# limit: SECONDS" says)

set -u
here=$(cd "$(dirname "$0")" && pwd)
tests=${TEST_DIR:-$here/../selftests}
export TEST_SLOWNESS=${TEST_SLOWNESS:-1}
passed=0 failed=0 skipped=0
table=()

cd "$tests" || exit 1
unset TEST_DIR

# nightly NAME: is this file among those that run only on request?
nightly() {
	[[ -f nightly ]] && sed 's/#.*//; s/[[:space:]]*$//; s/\.sh$//' nightly | grep -qxF -- "${1%.sh}"
}

# possible NAME: does the kernel have what this file says it needs? Such files are
# for kernels with certain checkers, and are no tests of any other.
possible() {
	local path
	path=$(sed -n 's/^# requires: //p' "$1")
	[[ -z $path || -e $path ]]
}

files=()
if (($#)); then
	for name; do files+=("${name%.sh}.sh"); done
else
	for name in *.sh; do
		[[ $name != lib.sh && -f $name ]] || continue
		[[ ${NIGHTLY:-} == 1 ]] || ! nightly "$name" || continue
		possible "$name" || continue
		files+=("$name")
	done
fi
if ((${#files[@]} == 0)); then
	echo "not ok - there are no tests"
	echo "0 passed, 1 failed"
	exit 1
fi

# problem TEXT: a failure that the file did not report itself.
problem() {
	echo "not ok - $file: $*"
	bad=$((bad + 1))
}

run_file() {
	local out status limit began took plan good=0 bad=0 skip=0 marker
	echo "# ==== $file"
	if [[ ! -f $file ]]; then
		problem "no such test"
		failed=$((failed + bad))
		return
	fi
	limit=$(sed -n 's/^# limit: \([0-9]*\)$/\1/p' "$file" | head -n 1)
	limit=${TEST_TIMEOUT:-$((${limit:-600} * TEST_SLOWNESS))}
	out=$(mktemp)
	began=$SECONDS
	marker="wg-test: $file $$.$RANDOM"
	echo "$marker" >/dev/kmsg
	timeout -k 10 "$limit" bash "./$file" </dev/null 2>&1 | tee "$out"
	status=${PIPESTATUS[0]}
	took=$((SECONDS - began))
	# A line that ends as skipped is neither passed nor failed.
	skip=$(grep -cE '^ok [0-9]+.*# SKIP' "$out")
	good=$(($(grep -cE '^ok [0-9]+' "$out") - skip))
	bad=$(grep -cE '^not ok [0-9]+' "$out")
	plan=$(grep -oE '^1\.\.[0-9]+' "$out" | head -n 1)
	if [[ -z $plan ]]; then
		problem "no plan"
	elif ((status != 124 && good + bad + skip != ${plan#1..})); then
		problem "$((good + bad + skip)) results, ${plan#1..} planned"
	fi
	if ((status == 124 || status == 137)); then
		problem "not done after $limit s"
	elif ((status != 0 && bad == 0)) && ! grep -qE '^1\.\.0 # SKIP' "$out"; then
		problem "exit status $status"
	fi
	# Once with the module, so that its functions have names in a report.
	if ! "$here/kmemleak"; then problem "memory leaked"; fi
	if [[ -d /sys/module/wireguard ]] && ! timeout 60 rmmod wireguard; then
		problem "the module cannot be removed"
	fi
	# A log that has run over has lost the marker, and is all of this file.
	dmesg | awk -v m="$marker" '{ line[NR] = $0 } index($0, m) { from = NR } END { for (i = from + 1; i <= NR; i++) print line[i] }' >"$out.log"
	if ! "$here/kernel-log-check" "$out.log" >"$out.bad"; then
		problem "the kernel log is not clean:"
		sed 's/^/# /' "$out.bad" | head -n 20
	fi
	rm -f "$out" "$out.log" "$out.bad"
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + skip))
	table+=("$(printf '%-22s %4d passed %4d failed %4d skipped %5d s' "$file" "$good" "$bad" "$skip" "$took")")
}

"$here/kmemleak" --forget
for file in "${files[@]}"; do
	run_file
done
file=all
bad=0
if ! "$here/kmemleak"; then problem "memory leaked"; fi
failed=$((failed + bad))
echo "# ===="
for file in ${table[@]+"${table[@]}"}; do echo "# $file"; done
echo "# skipped: $skipped"
echo "$passed passed, $failed failed"
((failed == 0))
