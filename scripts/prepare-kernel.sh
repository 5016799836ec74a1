#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# prepare-kernel.sh SOURCE CONFIG SYMVERS RELEASE OUT [MAKE ARGUMENTS...]: make a
# tree against which Rust modules can be built, in the empty folder OUT. Header
# packages lack the metadata of the kernel's Rust crates; it is made here from the
# kernel's own source. No kernel is built: some 100 s on two cores.
#
#   SOURCE    the kernel's unpacked source
#   CONFIG, SYMVERS   .config and Module.symvers of its header package
#   RELEASE   what uname -r says there, 7.2.12+deb13-amd64 for instance
#
# OUT refers to SOURCE, which has to stay. Exit status 77: source, compiler and
# kernel do not belong together (one line says why); another: the build failed.

set -euo pipefail
(($# >= 5)) || {
	echo 'usage: prepare-kernel.sh SOURCE CONFIG SYMVERS RELEASE OUT [MAKE ARGUMENTS...]' >&2
	exit 2
}
source=$1 config=$2 symvers=$3 release=$4 out=$5
shift 5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# bindgen would take it for its own, and the kernel seem to have no Rust.
unset TARGET

unfit() {
	printf 'unfit: %s\n' "$*"
	exit 77
}

version=$(make -s --no-print-directory -C "$source" "$@" kernelversion)
[[ $release == "$version" || $release == "$version"[!0-9]* ]] || unfit "the source is Linux $version, the kernel $release"

cp "$config" "$out/.config"
# What the preflight asks for; the build writes it anew.
mkdir -p "$out/include/config"
printf '%s\n' "$release" >"$out/include/config/kernel.release"
# What the kernel crate exports has symbols that differ between compilers.
reason=$("$here/preflight.sh" --quiet --no-metadata "$out") ||
	unfit "$(printf '%s\n' "$reason" | sed 's/^FAIL *//' | paste -sd ';')"
cp "$symvers" "$out/Module.symvers"
make -C "$source" O="$out" "$@" LOCALVERSION="${release#"$version"}" \
	-j "$(nproc)" olddefconfig prepare modules_prepare
# The running kernel must be what this tree is for, or its modules do not load.
made=$(<"$out/include/config/kernel.release")
[[ $made == "$release" ]] || unfit "prepared for $made instead of $release"
grep -qx CONFIG_RUST=y "$out/.config" || unfit "CONFIG_RUST was lost: the toolchain does not fit this kernel"
# The kernel's symbol table again, should the build have written its own.
cp "$symvers" "$out/Module.symvers"
