#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# tools.sh: what the guest needs, in build/bench/guest: the scripts, and the
# traffic programs, static, so that they do not depend on the guest's libraries.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../qemu/lib.sh"

bench=$WG_TREE/bench
out=$WG_TREE/build/bench/guest
mkdir -p "$out"
cp "$bench"/guest/* "$out/"
for tool in "$bench"/tools/*.c; do
	name=$(basename "$tool" .c)
	[[ $out/$name -nt $tool && $out/$name -nt $bench/tools/common.h ]] ||
		gcc -static -O2 -Wall -Wextra -Werror -o "$out/$name" "$tool"
done
