#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel-debug.sh WHAT: what kernel.sh gives, for KERNEL=debug: the same Linux
# release built from Debian's source package by Clang (so that KASAN covers Rust
# as well) with lockdep, KASAN, UBSAN, kmemleak and more; see config/debug.config.
# Called by kernel.sh, inside the toolchain root; amd64 only.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:-builddir}
[[ $WG_ARCH == amd64 ]] || die "there is a debug kernel for amd64 only"
make_args=(ARCH=x86_64 LLVM=-19 LOCALVERSION='')
# Where this fragment has a say, it has the last one.
config=$WG_QEMU/config/debug.config

stock() { WG_VARIANT=stock "$WG_QEMU/kernel.sh" "$@"; }

# configure OUT: all no, then the kernel's own test configuration, then ours.
configure() {
	local out=$1 line lost=0 theirs=$source/tools/testing/selftests/wireguard/qemu
	cat "$theirs/kernel.config" "$theirs/debug.config" "$config" >"$out/wanted.config"
	make -C "$source" O="$out" "${make_args[@]}" KCONFIG_ALLCONFIG="$out/wanted.config" allnoconfig
	while read -r line; do
		grep -qxF "$line" "$out/.config" || {
			printf 'lost in the configuration: %s\n' "$line"
			lost=1
		}
	done < <(grep '^CONFIG_' "$config")
	return "$lost"
}

build() {
	local out=$1
	configure "$out" || return 1
	make -C "$source" O="$out" "${make_args[@]}" -j "$(nproc)" bzImage modules || return 1
	make -C "$source" O="$out" "${make_args[@]}" INSTALL_MOD_PATH="$out/installed" modules_install || return 1
	rm -f "$out/installed/lib/modules"/*/{build,source}
}

build_step() {
	progress "building the debug kernel $version (on two cores about a quarter of an hour)" \
		"$WG_QEMU/kernel-debug.sh" --build "$1"
}

stock_version=$(stock version)
version=${stock_version%%-*}
id=$({
	printf '%s\n' v1 "$stock_version" "${make_args[*]}" "$(rustc -vV)" "$(clang-19 --version)" "$(bindgen --version)"
	cat "$config"
} | key_of)
out=$WG_CACHE/kernel/$WG_ARCH/$version-debug-$id

case $what in
version)
	printf '%s debug %s\n' "$stock_version" "$id"
	exit
	;;
release)
	printf '%s-debug\n' "$version"
	exit
	;;
esac

source=$(stock source)
case $what in
source) printf '%s\n' "$source" ;;
--build) build "$2" ;;
builddir | vmlinuz | modules)
	make_in_place "$out" build_step
	case $what in
	builddir) printf '%s\n' "$out" ;;
	vmlinuz) printf '%s\n' "$out/arch/x86/boot/bzImage" ;;
	modules) printf '%s\n' "$out/installed" ;;
	esac
	;;
*) die "kernel-debug.sh: no such thing: $what" ;;
esac
