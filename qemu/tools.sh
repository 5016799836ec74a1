#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# tools.sh [check]: build wg-trace in the Debian 13 root, and print the folder
# that it is in; "check": lints alone.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

target=$WG_TREE/build/tools
cargo=("$WG_QEMU/root.sh" env "CARGO_TARGET_DIR=$target" CARGO_TERM_COLOR=never
	timeout -k 10 1200 cargo)
manifest=(--manifest-path "$WG_TREE/tools/wg-trace/Cargo.toml" --locked)
case ${1:-} in
check) "${cargo[@]}" clippy "${manifest[@]}" --all-targets -- -D warnings ;;
'')
	"${cargo[@]}" build "${manifest[@]}" --release >&2
	printf '%s\n' "$target/release"
	;;
*) die "tools.sh [check]" ;;
esac
