#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# deb.sh [OPTIONS]: build the Debian packages in the toolchain root and print
# their paths: wireguard-rust-dkms, and wireguard-rust-modules-RELEASE for the
# stock kernel. They end in build/deb/.
#
#   --version V     instead of debian/changelog's, with the commit behind it
#   --tree DIR      another source tree than this one
#   --out DIR       instead of build/deb
#   --no-modules    only wireguard-rust-dkms
#
# WG_SIGN_KEY and WG_SIGN_CERT: sign the prebuilt module. Files in this tree or below
# /tmp: others are not to be seen in the root.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ " ${WG_ROOT_EXTRA:-} " == *" deb "* ]] || export WG_ROOT_EXTRA="${WG_ROOT_EXTRA:+$WG_ROOT_EXTRA }deb"

if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/deb.sh" "$@"
fi

for file in "${WG_SIGN_KEY:-}" "${WG_SIGN_CERT:-}"; do
	[[ -z $file || -r $file ]] || die "$file cannot be read inside the toolchain root: put it into this tree or below /tmp"
done

version='' tree=$WG_TREE out=$WG_TREE/build/deb modules=yes
while (($#)); do
	case $1 in
	--version) version=$2 && shift ;;
	--tree) tree=$2 && shift ;;
	--out) out=$2 && shift ;;
	--no-modules) modules='' ;;
	*) die "deb.sh: unknown option: $1" ;;
	esac
	shift
done
[[ $WG_ARCH == amd64 && $WG_VARIANT == stock ]] || die "packages are built for the stock kernel of amd64"

stamp=$(git -C "$tree" log -1 --format=%ct 2>/dev/null || date +%s)
# Commits have an order, so that a later one is a newer package.
if [[ -z $version ]]; then
	version=$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version)
	if count=$(git -C "$tree" rev-list --count HEAD 2>/dev/null); then
		version+=+git$count.$(git -C "$tree" rev-parse --short=8 HEAD)
	fi
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/wg-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/wireguard-rust"
copy() { tar -C "$tree" --null -T - -cf - | tar -C "$work/wireguard-rust" -xf -; }
if git -C "$tree" rev-parse --git-dir >/dev/null 2>&1; then
	# Files deleted but not yet committed are still listed.
	git -C "$tree" ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
		[[ ! -e $tree/$file ]] || printf '%s\0' "$file"
	done | copy
else
	(cd "$tree" && find . -path ./build -prune -o -type f -print0) | copy
fi
cd "$work/wireguard-rust"
printf '%s\n' "wireguard-rust ($version) unstable; urgency=medium" '' \
	"  * Built from the sources of $version." '' \
	" -- $(dpkg-parsechangelog -S Maintainer)  $(date -R -d "@$stamp")" '' |
	cat - debian/changelog >"$work/changelog"
mv "$work/changelog" debian/changelog

unset WG_RELEASE WG_KDIR
if [[ -n $modules ]]; then
	WG_RELEASE=$("$WG_QEMU/kernel.sh" release)
	WG_KDIR=$("$WG_QEMU/kernel.sh" builddir)
	export WG_RELEASE WG_KDIR
	fill() { sed -e "s/@RELEASE@/$WG_RELEASE/g" -e "s/@ARCH@/$WG_ARCH/g" -e "s/@KERNEL_VERSION@/$("$WG_QEMU/kernel.sh" version)/g" "$1"; }
	{ echo && fill debian/control.modules.in; } >>debian/control
	for script in postinst postrm; do
		fill "debian/wireguard-rust-modules.$script.in" >"debian/wireguard-rust-modules-$WG_RELEASE.$script"
	done
fi
progress "building the packages of $version" \
	env DEB_BUILD_OPTIONS="parallel=$(nproc)" dpkg-buildpackage -b -us -uc -ui
mkdir -p "$out"
for file in "$work"/*.deb; do
	mv "$file" "$out/"
	printf '%s\n' "$out/$(basename "$file")"
done
