#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel.sh WHAT: fetch a stock Debian kernel and make its tree ready for Rust
# modules, once; then print where WHAT lies. WHAT is one of
#
#   version   the Debian version chosen         release   what uname -r says
#   builddir  the prepared tree for KDIR=       vmlinuz   the signed image
#   modules   folder with lib/modules/RELEASE   source    the kernel source
#
# KERNEL=7.2|7.3 chooses the line (newest release of it in trixie-backports of
# which source, headers, image and modules are all there), ARCH the machine.
# The choice is kept in the cache; WG_UPDATE=1 looks for a newer one. KERNEL=debug
# (or 7.3-debug) and KERNEL=kcsan are kernels with checkers, built from that source
# by kernel-debug.sh;
# KERNEL=16k (or 7.3-16k) the stock arm64 kernel with pages of 16 KiB.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:-builddir}
flavour=+deb13-$WG_ARCH$WG_FLAVOUR
case $WG_ARCH in
amd64 | arm64) ;;
*) die "ARCH=$WG_ARCH is not supported (amd64, arm64)" ;;
esac
case $WG_KERNEL in
7.2 | 7.3) ;;
*) die "KERNEL=$WG_KERNEL is not supported (7.2, 7.3)" ;;
esac
[[ -z $WG_FLAVOUR || $WG_ARCH == arm64 ]] || die "Debian has a kernel with pages of 16 KiB for arm64 only"

# The rest happens inside the toolchain root.
if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/kernel.sh" "$what"
fi
[[ $WG_VARIANT == stock ]] || exec "$WG_QEMU/kernel-debug.sh" "$what"

apt_refresh() {
	if [[ $WG_ARCH != "$(dpkg --print-architecture)" ]]; then
		dpkg --add-architecture "$WG_ARCH"
	fi
	# apt does not wait for another apt.
	flock "$WG_CACHE/apt.lock" apt-get update -q
}

# The packages of one kernel; $1 is its upstream version, 7.2.12 for instance.
package_names() {
	printf '%s\n' "linux-source-$WG_KERNEL" "linux-headers-$1$flavour:$WG_ARCH" \
		"linux-binary-$1$flavour:$WG_ARCH" "linux-modules-$1$flavour:$WG_ARCH" \
		"linux-base-$1$flavour:$WG_ARCH"
}

# Print the newest Debian version that has all of these packages.
newest_complete() {
	local version upstream name complete
	while read -r version; do
		upstream=${version%%-*}
		complete=yes
		while read -r name; do
			apt-cache madison "$name" 2>/dev/null |
				awk -v v="$version" '$3 == v { found = 1 } END { exit !found }' || complete=no
		done < <(package_names "$upstream")
		if [[ $complete == yes ]]; then
			printf '%s\n' "$version"
			return 0
		fi
	done < <(apt-cache madison "linux-source-$WG_KERNEL" | awk '{ print $3 }' | sort -Vru)
	return 1
}

choose() {
	local fd tmp
	choice=$WG_CACHE/kernel/$WG_ARCH/$WG_KERNEL$WG_FLAVOUR.version
	mkdir -p "$(dirname "$choice")"
	if [[ ! -s $choice || -n ${WG_UPDATE:-} ]]; then
		exec {fd}>"$choice.lock"
		flock "$fd"
		if [[ ! -s $choice || -n ${WG_UPDATE:-} ]]; then
			progress "asking for the newest $WG_KERNEL kernel" apt_refresh
			tmp=$(mktemp "$choice.XXXXXX")
			newest_complete >"$tmp" ||
				die "no kernel $WG_KERNEL for $WG_ARCH with source, headers, image and modules in $WG_SUITE-backports"
			mv "$tmp" "$choice"
			note "kernel $(<"$choice")"
		fi
		exec {fd}>&-
	fi
	version=$(<"$choice")
	release=${version%%-*}$flavour
}

unpack_source() {
	mkdir "$1/source"
	tar -C "$1/source" --strip-components=1 -xf "$1/unpacked/usr/src/linux-source-$WG_KERNEL.tar.xz"
}

fetch() {
	local dir=$1 name deb names=() shared=''
	# The same source may be there already, for the other machine.
	for name in "$WG_CACHE"/kernel/*/*-"$id"/parts/source; do
		[[ ! -d $name ]] || shared=$name
	done
	while read -r name; do
		[[ $name == linux-source-* && -n $shared ]] || names+=("$name=$version")
	done < <(package_names "${version%%-*}")
	mkdir "$dir/deb"
	# The lists may be older than the archive.
	(cd "$dir/deb" && { apt-get -o APT::Sandbox::User=root download -q "${names[@]}" || { apt_refresh && apt-get -o APT::Sandbox::User=root download -q "${names[@]}"; }; })
	for deb in "$dir"/deb/*.deb; do
		dpkg-deb -x "$deb" "$dir/unpacked"
	done
	rm -r "$dir/deb"
	mkdir "$dir/modules" "$dir/config"
	if [[ -n $shared ]]; then
		# Nothing writes into it, so one set of files will do.
		cp -al "$shared" "$dir/source"
	else
		unpack_source "$dir"
	fi
	cp "$dir/unpacked/usr/src/linux-headers-$release/.config" "$dir/config/config"
	cp "$dir/unpacked/usr/src/linux-headers-$release/Module.symvers" "$dir/config/"
	mkdir -p "$dir/modules/lib/modules"
	mv "$dir/unpacked/usr/lib/modules/$release" "$dir/modules/lib/modules/"
	mv "$dir/modules/lib/modules/$release/vmlinuz" "$dir/"
	# Links to headers that are not installed here.
	rm -f "$dir/modules/lib/modules/$release"/{build,source}
	rm -r "$dir/unpacked"
}

prepare() {
	"$WG_TREE/scripts/prepare-kernel.sh" "$parts/source" "$parts/config/config" \
		"$parts/config/Module.symvers" "$release" "$1" "${WG_MAKE_ARCH[@]}"
}

# Each as a process of its own, where a failing command ends it (set -e).
fetch_step() {
	progress "fetching Linux $version (source, headers, image, modules: about 350 MB)" \
		"$WG_QEMU/kernel.sh" --fetch "$1"
}
prepare_step() {
	progress "preparing its tree for Rust modules (about two minutes)" \
		"$WG_QEMU/kernel.sh" --prepare "$1"
}

choose
id=$(printf '%s\n' v2 "$version" | key_of)
base=$WG_CACHE/kernel/$WG_ARCH/$release-$id
parts=$base/parts

case $what in
--fetch)
	fetch "$2"
	exit
	;;
--prepare)
	prepare "$2"
	exit
	;;
version)
	printf '%s\n' "$version"
	exit
	;;
release)
	printf '%s\n' "$release"
	exit
	;;
esac
make_once "$parts" fetch_step
case $what in
builddir)
	tools=$(printf '%s\n' v1 "$(rustc -vV)" "$("${WG_CROSS}gcc" -dumpfullversion)" "$(bindgen --version)" "${WG_MAKE_ARCH[*]}" | key_of)
	build=$base/build-$tools
	make_in_place "$build" prepare_step
	printf '%s\n' "$build"
	;;
vmlinuz) printf '%s\n' "$parts/vmlinuz" ;;
modules) printf '%s\n' "$parts/modules" ;;
source) printf '%s\n' "$parts/source" ;;
*) die "kernel.sh: no such thing: $what" ;;
esac
