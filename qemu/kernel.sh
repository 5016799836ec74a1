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
# (or 7.3-debug) is a debug kernel built from that source, see kernel-debug.sh.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:-builddir}
flavour=+deb13-$WG_ARCH
case $WG_ARCH in
amd64) make_arch=(ARCH=x86_64) ;;
arm64)
	make_arch=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)
	;;
*) die "ARCH=$WG_ARCH is not supported (amd64, arm64)" ;;
esac

# The rest happens inside the toolchain root.
if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/kernel.sh" "$what"
fi
[[ $WG_VARIANT != debug ]] || exec "$WG_QEMU/kernel-debug.sh" "$what"

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
	choice=$WG_CACHE/kernel/$WG_ARCH/$WG_KERNEL.version
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

fetch() {
	local dir=$1 name deb names=()
	while read -r name; do names+=("$name=$version"); done < <(package_names "${version%%-*}")
	mkdir "$dir/deb"
	# The lists may be older than the archive.
	(cd "$dir/deb" && { apt-get -o APT::Sandbox::User=root download -q "${names[@]}" || { apt_refresh && apt-get -o APT::Sandbox::User=root download -q "${names[@]}"; }; })
	for deb in "$dir"/deb/*.deb; do
		dpkg-deb -x "$deb" "$dir/unpacked"
	done
	rm -r "$dir/deb"
	mkdir "$dir/source" "$dir/modules" "$dir/config"
	tar -C "$dir/source" --strip-components=1 -xf "$dir/unpacked/usr/src/linux-source-$WG_KERNEL.tar.xz"
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
		"$parts/config/Module.symvers" "$release" "$1" "${make_arch[@]}"
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
	tools=$(printf '%s\n' v1 "$(rustc -vV)" "$(gcc -dumpfullversion)" "$(bindgen --version)" "${make_arch[*]}" | key_of)
	build=$base/build-$tools
	make_in_place "$build" prepare_step
	printf '%s\n' "$build"
	;;
vmlinuz) printf '%s\n' "$parts/vmlinuz" ;;
modules) printf '%s\n' "$parts/modules" ;;
source) printf '%s\n' "$parts/source" ;;
*) die "kernel.sh: no such thing: $what" ;;
esac
