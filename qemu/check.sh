#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check.sh [NAME...]: what a change must satisfy besides its tests. Checks:
# spdx unsafe shell contract fmt clippy panic. The last line is "N passed, N failed".

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$WG_TREE"

# tracked PATTERN...: files of this tree, also new ones not added yet.
tracked() {
	git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
		[[ ! -f $file ]] || printf '%s\n' "$file"
	done
}

# Every file names its licence in its first lines, but for the licence itself.
check_spdx() {
	local file bad=0
	while read -r file; do
		case $file in COPYING | Cargo.lock | */Cargo.lock | *.bin) continue ;; esac
		if ! head -n 3 "$file" | grep -q SPDX-License-Identifier; then
			echo "no SPDX line: $file"
			bad=1
		fi
	done < <(tracked)
	return "$bad"
}

# "unsafe" stands in rust/kapi alone, and the other crates forbid it.
check_unsafe() {
	local file bad=0
	while read -r file; do
		if sed 's,//.*,,' "$file" | grep -nE '\bunsafe\b' | sed "s,^,$file:,"; then bad=1; fi
	done < <(tracked '*.rs' ':!rust/kapi')
	for file in rust/proto/wg_proto.rs rust/driver/wireguard_main.rs; do
		if ! grep -q '^#!\[forbid(unsafe_code)\]' "$file"; then
			echo "$file: no #![forbid(unsafe_code)]"
			bad=1
		fi
	done
	return "$bad"
}

check_shell() {
	local files=() file
	while read -r file; do
		if [[ $file == *.sh ]] || head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b'; then files+=("$file"); fi
	done < <(tracked)
	"$WG_QEMU/root.sh" shellcheck -x "${files[@]}"
}

# Every item of the contract has a test, and the table of them is what it should be.
check_contract() {
	"$WG_QEMU/root.sh" "$WG_TREE/scripts/contract.py" --check
}

check_fmt() {
	local files=()
	mapfile -t files < <(tracked '*.rs')
	"$WG_QEMU/root.sh" rustfmt --check --color never --edition 2021 "${files[@]}"
}

check_clippy() {
	"$WG_QEMU/build.sh" CLIPPY=1 &&
		"$WG_QEMU/root.sh" env CARGO_TARGET_DIR="$WG_TREE/build/cargo" \
			cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
}

# A panic in the kernel takes the machine down: the module must not even refer
# to the functions that raise one.
check_panic() {
	local module bad
	module=$("$WG_QEMU/build.sh") || return 1
	bad=$("$WG_QEMU/root.sh" nm -u "$module" | grep -E '4core.*(panic|fail)|rust_begin_unwind|rust_panic' || true)
	[[ -n $bad ]] || return 0
	echo "$module refers to:"
	printf '%s\n' "$bad"
	return 1
}

names=("$@")
((${#names[@]})) || names=(spdx unsafe shell contract fmt clippy panic)
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for name in "${names[@]}"; do
	if "check_$name" >"$log" 2>&1; then
		say "ok - $name"
		passed=$((passed + 1))
	else
		tail -n "${CHECK_LINES:-60}" "$log" | sed 's/^/    /' >&2
		say "not ok - $name"
		failed=$((failed + 1))
	fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
