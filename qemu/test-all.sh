#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# test-all.sh: everything there is to test, part by part, each with a time limit
# of its own; a table and the sum at the end. Hours without KVM.
#
#   PARTS="host netns"   these parts only
#   PART_SLOWNESS=N      N times as much time for each (1)
#   RESUME=1             do not repeat what has passed on the same code: hours can
#                        be had in pieces. Only of a tree without changes
#   LIST=1               run nothing, only tell what has passed so
#   RECORD=FILE          where that is kept (Documentation/test-all.txt): one line a
#                        part, so that it goes with the tree from machine to machine
#
# A part passes if its command exits with 0 and its last count has no failure;
# one that counts nothing is one failure. Exit status 0: nothing failed.

set -uo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tests=tools/testing/selftests/wireguard

# The files of the guest tests, some at a time, as a debug kernel takes hours for all of them: first
# those that go together, then all others; and the long ones.
pieces=("link netlink config" "module namespaces power trace" lifetimes "failslab fuzz" "flood roaming"
	"tunnel packets outer trains spread aead" protocol)
read -r -a long < <(sed 's/#.*//' "$WG_TREE/$tests/nightly" | xargs)
rest=''
for file in "$WG_TREE/$tests"/*.sh; do
	file=$(basename "$file" .sh)
	[[ " lib ${pieces[*]} ${long[*]} " == *" $file "* ]] || rest+="${rest:+ }$file"
done
pieces+=("$rest")

# NAME SECONDS COMMAND: one line is one part.
parts=(
	"check            2400 make check"
	"host             1800 make test-host"
	"fuzz             3600 TIME=120 make fuzz"
	"vm               4800 make test-vm"
	"operator         1800 make test-operator"
	"netns            1800 make test-netns"
	"arm64-smoke      2400 make test-arm64-smoke"
	"big-endian       7200 make test-host TARGET=s390x"
	"twovm            9600 NIGHTLY=1 make test-twovm"
	"deb             10800 VM_TIMEOUT=7200 make test-deb"
	"debug-netns      7200 make test-netns KERNEL=debug"
)
# More time for a file and for the machine than others need.
for file in "${long[@]}"; do
	parts+=("nightly-$file 14400 TEST_TIMEOUT=3600 VM_TIMEOUT=14400 make test-vm SUITE='$file'")
done
# Timers and numbers have been proven on the stock kernel; time for the unforeseen is well spent here.
parts+=("debug-fuzz_long 14400 TEST_TIMEOUT=9000 VM_TIMEOUT=14400 make test-vm KERNEL=debug SUITE='fuzz_long'")

# What depends on the size of a page.
parts+=("16k-tunnel 7200 ARCH=arm64 KERNEL=16k make test-vm SUITE='tunnel packets outer trains spread aead'")

for kernel in KERNEL=7.3 ARCH=arm64 KERNEL=debug KERNEL=kcsan; do
	for piece in "${pieces[@]}"; do
		# Fault injection is the debug kernel's.
		[[ $kernel == *debug ]] || piece=${piece/failslab /}
		parts+=("${kernel#*=}-${piece%% *} 7200 make test-vm $kernel SUITE='$piece'")
	done
done

names=()
for part in "${parts[@]}"; do names+=("${part%% *}"); done
read -r -a wanted <<<"${PARTS:-${names[*]}}"
for name in "${wanted[@]}"; do
	[[ " ${names[*]} " == *" $name "* ]] || die "PARTS: there is no \"$name\", but: ${names[*]}"
done

words=(':!Documentation' ':!README.md')
clean=''
[[ -n $(git -C "$WG_TREE" status --porcelain -- . "${words[@]}") ]] || clean=1

# unused_by FILES: the guest tests and their parts that these files, and what they name in turn, do
# not name.
unused_by() {
	local used=" lib.sh $1 " left file found=1
	read -r -a left < <(cd "$WG_TREE/$tests" && echo *.sh *.py)
	while ((found)); do
		found=0
		for file in "${left[@]}"; do
			[[ $used != *" $file "* ]] || continue
			# shellcheck disable=SC2086
			(cd "$WG_TREE/$tests" && grep -qE "(^|[^[:alnum:]_])(${file/./\\.}|(import|from) ${file%.*})([^[:alnum:]_]|\$)" $used) || continue
			used+="$file " found=1
		done
	done
	for file in "${left[@]}"; do [[ $used == *" $file "* ]] || echo "$file"; done
}

# nightly_only: the long tests and what no other one uses.
nightly_only() {
	local file files=()
	for file in "$WG_TREE/$tests"/*.sh; do
		file=$(basename "$file")
		[[ " ${long[*]} " == *" ${file%.sh} "* ]] || files+=("$file")
	done
	unused_by "${files[*]}"
}

# code_of COMMAND: a digest of what a part has passed with: its command and the files that it depends
# on. That is never words; for all but the checks not the bench either; for tests in a guest not the
# packages and the host's tests; for selected files of these, for all but the long ones, for two
# guests, and for tests that use none, not the other ones; for those on the host not the driver (of
# wg_kapi the models have some).
code_of() {
	local without=("${words[@]}") suite file
	[[ $1 == 'make check' ]] || without+=(':!.ci' ':!bench' ':!qemu/test-all.sh')
	case $1 in
	*test-host* | *'make fuzz') without+=(':!debian' ':!man' ':!qemu/guest' ':!rust/driver' ':!tools') ;;
	*test-deb*) without+=(':!fuzz' ':!rust/model' ":!$tests") ;;
	*test-*) without+=(':!debian' ':!man' ':!fuzz' ':!rust/model' ':!rust/proto/tests') ;;
	esac
	case $1 in
	*test-netns* | *smoke*) without+=(":!$tests") ;;
	*SUITE=\'*)
		suite=${1#*SUITE=\'}
		without+=(":!$tests/twovm")
		# shellcheck disable=SC2086
		while read -r file; do without+=(":!$tests/$file"); done < <(unused_by "$(printf '%s.sh ' ${suite%%\'*})")
		;;
	*test-twovm*)
		while read -r file; do without+=(":!$tests/$file"); done < <(unused_by "$(cd "$WG_TREE/$tests" && echo twovm/*)")
		;;
	'make test-vm' | *test-operator*)
		while read -r file; do without+=(":!$tests/$file"); done < <(nightly_only)
		;;
	esac
	{
		printf '%s\n' "$1"
		git -C "$WG_TREE" ls-files -s -- . "${without[@]}"
	} | key_of
}

record=${RECORD:-$WG_TREE/Documentation/test-all.txt}
commit=$(git -C "$WG_TREE" rev-parse --short=12 HEAD)

# passed_with NAME CODE: the tests that passed and the seconds that they took, if it is so recorded.
passed_with() {
	[[ ! -e $record ]] || awk -v n="$1" -v c="$2" '$1 == n && $2 == c { print $3, $4 }' "$record"
}

# enter NAME [CODE PASSED SECONDS]: what is recorded of a part from now on. Several runs may share
# a record.
enter() {
	(
		flock 9
		{
			grep '^#' "$record" || true
			{
				awk -v n="$1" '!/^#/ && NF && $1 != n' "$record"
				(($# == 1)) || printf '%-18s %s %5d %6d  %s  %s\n' "$@" "$(date -u +%F)" "$commit"
			} | LC_ALL=C sort
		} >"$record.new"
		mv "$record.new" "$record"
	) 9<"$(dirname "$record")"
}

out=$(mktemp "${TMPDIR:-/tmp}/wg-all.XXXXXX")
trap 'rm -f "$out"' EXIT
cd "$WG_TREE" || exit 1
passed=0 failed=0 table=()
began=$SECONDS

# run NAME SECONDS COMMAND: one part, its line for the table.
run() {
	local rc=0 p f took=$SECONDS note='' code='' before=''
	[[ -z $clean ]] || code=$(code_of "$3")
	[[ -z $code || -z ${RESUME:-}${LIST:-} ]] || before=$(passed_with "$1" "$code")
	if [[ -n $before ]]; then
		read -r p took <<<"$before"
		passed=$((passed + p))
		table+=("$(printf '%-18s %5d passed %5d failed %7d s  %s' "$1" "$p" 0 "$took" 'earlier')")
		return
	fi
	if [[ -n ${LIST:-} ]]; then
		table+=("$(printf '%-18s not yet' "$1")")
		return
	fi
	printf '\n== part %s: %s\n' "$1" "$3"
	# What selects cases is for single runs.
	timeout -k 60 "$(($2 * ${PART_SLOWNESS:-1}))" env -u SUITE -u ONLY -u PARTS bash -c "$3" </dev/null 2>&1 |
		tee "$out" || rc=$?
	took=$((SECONDS - took))
	read -r p f < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$out")
	if ((rc == 124 || rc == 137)); then
		note="not done after $took s"
	elif ((rc != 0)); then
		note="exit status $rc"
	elif ((p + f == 0)); then
		note="it counted nothing"
	fi
	[[ -z $note || $f != 0 ]] || f=1
	printf '== part %s: %d passed, %d failed, %d s\n' "$1" "$p" "$f" "$took"
	if [[ -n $code ]]; then
		if ((f == 0)); then
			enter "$1" "$code" "$p" "$took"
		else
			enter "$1"
		fi
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	table+=("$(printf '%-18s %5d passed %5d failed %7d s  %s' "$1" "$p" "$f" "$took" "$note")")
}

for part in "${parts[@]}"; do
	read -r name seconds command <<<"$part"
	[[ " ${wanted[*]} " != *" $name "* ]] || run "$name" "$seconds" "$command"
done

if [[ -n ${LIST:-} ]]; then
	printf '%s\n' "${table[@]}"
	exit 0
fi
printf '\n== all parts, %d s\n' $((SECONDS - began))
printf '%s\n' "${table[@]}"
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
