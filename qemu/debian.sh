#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# debian.sh system PACKAGE.deb: make a complete Debian 13 as a folder, once, and
# print where it lies: systemd, networkd, NetworkManager, the stock kernel with
# its headers, wg-quick, and what PACKAGE.deb depends on (nothing that it merely
# recommends). Kept in the cache by this list and the kernel's version.
#
# debian.sh disk FOLDER IMAGE MIB: write FOLDER into a file with an ext4 file
# system, without mounting anything.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:?debian.sh system PACKAGE | disk FOLDER IMAGE MIB}
[[ -e /etc/wireguard-rust-root ]] || die "debian.sh runs inside the toolchain root"

packages=(
	linux-base/trixie-backports
	systemd systemd-sysv udev dbus network-manager wireguard-tools
	iproute2 iputils-ping procps kmod initramfs-tools zstd
	# A kernel without Rust, as far as DKMS can see: its headers.
	linux-headers-amd64/trixie
)
# Nothing that wakes up by itself on an emulated machine.
masked=(
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
	logrotate.timer systemd-tmpfiles-clean.timer e2scrub_reap.service networking.service
	NetworkManager-wait-online.service systemd-networkd-wait-online.service cron.service
	getty@tty1.service serial-getty@ttyS0.service systemd-tpm2-setup-early.service
	console-setup.service keyboard-setup.service systemd-firstboot.service
)

make_system() {
	local dir=$1 root=$1/root packages_of=$2 version release list
	version=$("$WG_QEMU/kernel.sh" version)
	release=$("$WG_QEMU/kernel.sh" release)
	list=$(IFS=, && printf '%s' "${packages[*]}")
	list+=,linux-image-$release=$version,linux-headers-$release=$version,linux-source-$WG_KERNEL=$version
	mkdir "$dir/hooks"
	# An initramfs with what this machine needs: it is unpacked at each boot.
	cat >"$dir/hooks/initramfs" <<-'END'
		#!/bin/sh -e
		mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"
		echo MODULES=list >"$1/etc/initramfs-tools/conf.d/virtual"
		printf '#!/bin/sh\n[ "$1" != prereqs ] || exit 0\n. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules virtio_pci virtio_blk ext4\n' >"$1/etc/initramfs-tools/hooks/virtual"
		chmod +x "$1/etc/initramfs-tools/hooks/virtual"
	END
	chmod +x "$dir/hooks/initramfs"
	mmdebstrap --mode=root --variant=important --include="$list" \
		--essential-hook="$dir/hooks/initramfs" \
		--customize-hook="chroot \"\$1\" apt-get satisfy -y -q --no-install-recommends \"$packages_of\"" \
		--customize-hook="chroot \"\$1\" systemctl mask ${masked[*]}" \
		--customize-hook="chroot \"\$1\" systemctl enable systemd-networkd.service" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		"$WG_SUITE" "$root" /etc/apt/sources.list
	chmod 755 "$dir" "$root"
	printf '/dev/vda / ext4 defaults 0 0\n' >"$root/etc/fstab"
	printf 'debian\n' >"$root/etc/hostname"
	printf '127.0.0.1 localhost debian\n::1 localhost\n' >"$root/etc/hosts"
	rm -rf "$dir/hooks"
}
system_step() {
	progress "making a complete Debian 13 with systemd (about three minutes, 3.5 GB)" \
		"$WG_QEMU/debian.sh" --make-system "$1" "$depends"
}

case $what in
--make-system) make_system "$2" "$3" ;;
system)
	depends=$(dpkg-deb -f "$2" Depends)
	id=$({ declare -p packages masked depends && declare -f make_system && "$WG_QEMU/kernel.sh" version; } | key_of)
	make_once "$WG_CACHE/image/debian-$id" system_step
	printf '%s\n' "$WG_CACHE/image/debian-$id/root"
	;;
disk)
	folder=$2 image=$3 mib=$4
	rm -f "$image"
	truncate -s "${mib}M" "$image"
	mke2fs -q -F -t ext4 -O ^has_journal -L debian -m 0 -d "$folder" "$image"
	;;
*) die "debian.sh: no such thing: $what" ;;
esac
