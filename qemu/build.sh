#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh [MAKE ARGUMENTS]: build wireguard.ko for the stock kernel inside the
# toolchain root, into build/RELEASE/ of this tree, and print the module's path.
# "build.sh CLIPPY=1" checks with clippy instead, in a folder of its own;
# "build.sh --aead-test" builds the test module of tools/testing/aead.

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
folder=$WG_TREE name=wireguard
if [[ ${1:-} == --aead-test ]]; then
	folder=$WG_TREE/tools/testing/aead name=wg_aead_test
	out+=-aead-test
	shift
fi
make_arch=("${WG_MAKE_ARCH[@]}")
[[ $WG_VARIANT == stock ]] || make_arch+=(LLVM=-19)

[[ -f $folder/Kbuild ]] || die "there is no Kbuild in $folder"
mkdir -p "$out"
"$WG_TREE/scripts/preflight.sh" --quiet "$kdir"
make -C "$kdir" M="$folder" MO="$out" "${make_arch[@]}" W=e -j "$(nproc)" \
	--no-print-directory "$@" modules >&2
printf '%s\n' "$out/$name.ko"
