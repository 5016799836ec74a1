#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# dkms-prepare.sh RELEASE: DKMS runs it before each build (PRE_BUILD). Makes
# /var/lib/wireguard-rust/RELEASE a tree against which Rust modules can be built:
# the kernel's header package, and the Rust metadata that it lacks, made from
# linux-source. Made once for each kernel and compiler.
#
# Exit status 77 means to DKMS that the module is not for this kernel; the reason
# is printed, and kept in RELEASE.skipped beside the tree.

set -euo pipefail
release=${1:?usage: dkms-prepare.sh RELEASE}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${WG_DKMS_STATE:-/var/lib/wireguard-rust}
headers=${WG_DKMS_HEADERS:-/lib/modules/$release/build}
tree=$state/$release
# What DKMS exports is for the module, not for a kernel's own tools.
unset CC KERNEL_CC LD KERNEL_LD

skip() {
	printf 'wireguard-rust is not built for %s: %s\n' "$release" "$1"
	mkdir -p "$state"
	printf '%s\n' "$1" >"$state/$release.skipped"
	exit 77
}

# package_version PACKAGE: its version, if it is installed.
package_version() {
	# shellcheck disable=SC2016
	{ dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null || true; } | sed -n 's/^installed //p'
}

# fit [OPTION] TREE: the module can be built against it, or why not.
fit() {
	local reason
	reason=$("$here/preflight.sh" --quiet "$@") && return
	skip "$(printf '%s\n' "$reason" | sed 's/^FAIL *//' | paste -sd ';')"
}

[[ -e $headers/include/config/auto.conf ]] ||
	skip "there are no kernel headers in $headers (apt install linux-headers-$release)"
headers=$(readlink -f "$headers")
mkdir -p "$state"
exec {lock}>"$state/.lock"
flock "$lock"

# Trees of kernels that are gone.
for old in "$state"/*/; do
	old=$(basename "$old")
	[[ $old == '*' || -e /lib/modules/$old || $old == "$release" ]] || rm -rf --one-file-system "${state:?}/$old" "$state/$old.skipped"
done

# A tree that has everything needs nothing made: a kernel of one's own.
if [[ -e $headers/rust/libkernel.rmeta ]]; then
	fit "$headers"
	rm -rf --one-file-system "${tree:?}" "$tree.skipped"
	ln -sfn "$headers" "$tree"
	exit 0
fi

fit --no-metadata "$headers"
line=$(cut -d. -f1,2 <<<"$release")
key=$({
	printf '%s\n' v1 "$(package_version "linux-headers-$release")"
	"${RUSTC:-rustc}" -vV
	cat "$headers/.config" "$here/prepare-kernel.sh"
} | sha256sum | cut -d' ' -f1)
if [[ -L $tree || ! -e $tree/.complete || $(<"$tree/.complete") != "$key" ]]; then
	archive=''
	for file in "/usr/src/linux-source-$line".tar.*; do
		[[ ! -f $file ]] || archive=$file
	done
	[[ -n $archive ]] || skip "its source is not there (apt install linux-source-$line)"
	source_is=$(package_version "linux-source-$line")
	headers_are=$(package_version "linux-headers-$release")
	[[ -z $source_is || -z $headers_are || $source_is == "$headers_are" ]] ||
		skip "linux-source-$line is $source_is, the kernel $headers_are (apt install linux-source-$line=$headers_are)"
	free=$(df --output=avail -k "$state" | tail -n 1)
	((free > 3000000)) || {
		echo "$state needs 3 GB for a while, and has $((free / 1024)) MB"
		exit 1
	}

	work=$(mktemp -d "$state/.making.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	echo "unpacking $archive"
	mkdir "$work/source" "$work/out" "$work/tree"
	tar -C "$work/source" --strip-components=1 -xf "$archive"
	echo "making the Rust metadata of $release (some minutes)"
	rc=0
	"$here/prepare-kernel.sh" "$work/source" "$headers/.config" "$headers/Module.symvers" \
		"$release" "$work/out" >"$work/log" 2>&1 || rc=$?
	cat "$work/log"
	((rc != 77)) || skip "$(sed -n 's/^unfit: //p' "$work/log" | tail -n 1)"
	((rc == 0)) || exit "$rc"

	# The header package as it is, by links, but for scripts/: there one file is ours.
	for file in "$headers"/* "$headers"/.config; do
		[[ $(basename "$file") == scripts ]] || ln -s "$file" "$work/tree/"
	done
	rm "$work/tree/Makefile"
	sed "s,^KBUILD_OUTPUT *=.*,KBUILD_OUTPUT=$tree," "$headers/Makefile" >"$work/tree/Makefile"
	[[ ! -e $headers/.kernelvariables ]] || ln -s "$headers/.kernelvariables" "$work/tree/"
	mkdir "$work/tree/scripts" "$work/tree/rust"
	ln -s "$(readlink -f "$headers/scripts")"/* "$work/tree/scripts/"
	[[ ! -e $work/out/scripts/target.json ]] || cp "$work/out/scripts/target.json" "$work/tree/scripts/"
	cp "$work"/out/rust/*.rmeta "$work"/out/rust/*.so "$work/tree/rust/"
	printf '%s\n' "$key" >"$work/tree/.complete"
	rm -rf --one-file-system "${tree:?}"
	mv -T "$work/tree" "$tree"
fi
fit "$tree"
rm -f "$tree.skipped"
