#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel-debug.sh WHAT: what kernel.sh gives, for a kernel with checkers: the same
# Linux release built from Debian's source package by Clang, so that sanitizers
# cover Rust as well.
#
#   KERNEL=debug   lockdep, KASAN, UBSAN, kmemleak and more, config/debug.config
#   KERNEL=kcsan   the data race detector, config/kcsan.config
#
# Called by kernel.sh, inside the toolchain root; amd64 only.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:-builddir}
[[ $WG_ARCH == amd64 ]] || die "there is a $WG_VARIANT kernel for amd64 only"
make_args=(ARCH=x86_64 LLVM=-19 LOCALVERSION='')
# Where these fragments have a say, they have the last one.
configs=("$WG_QEMU/config/guest.config" "$WG_QEMU/config/net.config" "$WG_QEMU/config/$WG_VARIANT.config")

stock() { WG_VARIANT=stock "$WG_QEMU/kernel.sh" "$@"; }

# configure OUT: all no, then the kernel's own test configuration, then ours.
configure() {
	local out=$1 line lost=0 theirs=$source/tools/testing/selftests/wireguard/qemu
	{
		cat "$theirs/kernel.config"
		[[ $WG_VARIANT != debug ]] || cat "$theirs/debug.config"
		cat "${configs[@]}"
	} >"$out/wanted.config"
	make -C "$source" O="$out" "${make_args[@]}" KCONFIG_ALLCONFIG="$out/wanted.config" allnoconfig
	while read -r line; do
		grep -qxF "$line" "$out/.config" || {
			printf 'lost in the configuration: %s\n' "$line"
			lost=1
		}
	done < <(cat "${configs[@]}" | grep '^CONFIG_')
	return "$lost"
}

# thread_sanitizer TREE: links to all of the kernel source, apart from one line:
# rustc is told that KCSAN's instrumentation is fit for the kernel's target, as
# the kernel itself only says so for KASAN's. Our Kbuild then asks for it.
thread_sanitizer() {
	local tree=$1 script=scripts/generate_rust_target.rs
	rm -rf --one-file-system "$tree"
	cp -rs "$source" "$tree" || return 1
	rm "$tree/$script"
	sed 's/"supported-sanitizers", \["kcfi", "kernel-address"\]/"supported-sanitizers", ["kcfi", "kernel-address", "thread"]/' \
		"$source/$script" >"$tree/$script"
	grep -q '"thread"' "$tree/$script"
}

build() {
	local out=$1
	if [[ $WG_VARIANT == kcsan ]]; then
		# Beside the build folder, and for as long as it.
		thread_sanitizer "$out.source" || return 1
		source=$out.source
	fi
	configure "$out" || return 1
	make -C "$source" O="$out" "${make_args[@]}" -j "$(nproc)" bzImage modules || return 1
	make -C "$source" O="$out" "${make_args[@]}" INSTALL_MOD_PATH="$out/installed" modules_install || return 1
	rm -f "$out/installed/lib/modules"/*/{build,source}
}

build_step() {
	progress "building the $WG_VARIANT kernel $version (on two cores about a quarter of an hour)" \
		"$WG_QEMU/kernel-debug.sh" --build "$1"
}

stock_version=$(stock version)
version=${stock_version%%-*}
id=$({
	printf '%s\n' v1 "$stock_version" "${make_args[*]}" "$(rustc -vV)" "$(clang-19 --version)" "$(bindgen --version)"
	cat "${configs[@]}"
	[[ $WG_VARIANT == debug ]] || declare -f thread_sanitizer
} | key_of)
out=$WG_CACHE/kernel/$WG_ARCH/$version-$WG_VARIANT-$id

case $what in
version)
	printf '%s %s %s\n' "$stock_version" "$WG_VARIANT" "$id"
	exit
	;;
release)
	printf '%s-%s\n' "$version" "$WG_VARIANT"
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
