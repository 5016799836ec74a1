#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh [MAKE ARGUMENTS]: build wireguard.ko for the stock kernel inside the
# toolchain root, into build/RELEASE/ of this tree, and print the module's path.
# "build.sh CLIPPY=1" checks with clippy instead, in a folder of its own.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/build.sh" "$@"
fi

kdir=$("$WG_QEMU/kernel.sh" builddir)
release=$("$WG_QEMU/kernel.sh" release)
out=$WG_TREE/build/$release
[[ " $* " != *' CLIPPY=1 '* ]] || out+=-clippy
make_arch=(ARCH=x86_64)
[[ $WG_VARIANT == stock ]] || make_arch+=(LLVM=-19)
[[ $WG_ARCH != arm64 ]] || make_arch=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)

[[ -f $WG_TREE/Kbuild ]] || die "there is no Kbuild in $WG_TREE"
mkdir -p "$out"
"$WG_TREE/scripts/preflight.sh" --quiet "$kdir"
make -C "$kdir" M="$WG_TREE" MO="$out" "${make_arch[@]}" W=e -j "$(nproc)" \
	--no-print-directory "$@" modules >&2
printf '%s\n' "$out/wireguard.ko"
