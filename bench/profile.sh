#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# profile.sh [MODULE [ROW]]: where the instructions go. MODULE is a .ko, "stock"
# (the C driver) or "ours" (default, built first), ROW one of bulk (default),
# small, rtt, bulk-udp. perf samples by the exact clock of "make bench" with the
# whole system in view; the first TOP (60) symbols and the sums by kind come out.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../qemu/lib.sh"

bench=$WG_TREE/bench
if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$bench/profile.sh" "$@"
fi

module=${1:-ours} row=${2:-bulk}
if [[ $module == ours ]]; then module=$("$WG_QEMU/build.sh"); fi
"$bench/tools.sh"
out=$WG_TREE/build/bench
clock=(--icount)
[[ -z ${CPUS:-} ]] || clock=(--smp "$CPUS")
"$WG_QEMU/vm.sh" "${clock[@]}" --module "$module" --mem 4096 --timeout 900 --dirty-ok \
	--add "$out/guest:/wg/bench" --add "$("$WG_QEMU/image.sh" perf):/wg/perf" \
	--run "PROFILE_SECONDS=${PROFILE_SECONDS:-1.5} bench/profile.sh x $row" |
	python3 "$bench/symbols.py" "${TOP:-60}"
