#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# image.sh WHAT: make a part of the guest's root file system, once, and print
# where it lies. A guest boots from several cpio archives laid end to end:
#
#   base      Debian 13 userland: tools, iperf3, wireguard-tools, wireguard-go
#   modules   the stock kernel's modules that a network test may need
#   tree      the folder behind "modules", for depmod
#   perf      a folder with perf and its libraries, for profiles (vm.sh --add)
#   mandoc    a folder with mandoc, which checks the manual page
#   ynl       a folder with the kernel's own netlink client and what it needs
#
# They are not compressed: an emulated CPU unpacks slowly. What differs from run
# to run (tests, our module) is added by vm.sh.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what=${1:-base}
if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/image.sh" "$@"
fi

# From backports where Debian 13 itself has something too old: the tests need
# wg's incremental allowed-IPs syntax.
packages=(
	wireguard-tools/trixie-backports wireguard-go
	bash coreutils util-linux mount grep sed mawk findutils diffutils hostname procps
	busybox-static kmod base-files base-passwd netbase tar gzip xz-utils zstd
	iproute2 iputils-ping iptables nftables ethtool tcpdump conntrack
	iperf3 ncat socat openssl jq bc strace
	python3-minimal python3-cryptography
)

make_base() {
	local dir=$1 root=$1/root list name
	list=$(IFS=, && printf '%s' "${packages[*]}")
	mmdebstrap --mode=root --variant=extract --architectures="$WG_ARCH" --include="$list" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		"$WG_SUITE" "$root" /etc/apt/sources.list
	# No maintainer script ran: do the few things they are needed for here.
	for name in passwd group; do
		cp "$root/usr/share/base-passwd/$name.master" "$root/etc/$name"
	done
	for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
		ln -sf xtables-nft-multi "$root/usr/sbin/$name"
	done
	ln -sf mawk "$root/usr/bin/awk"
	ln -sf ncat "$root/usr/bin/nc"
	ln -sf busybox "$root/usr/bin/vi"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
	printf 'wireguard\n' >"$root/etc/hostname"
	mkdir -p "$root"/{proc,sys,dev,run,tmp,root,etc/wireguard,var/tmp}
	ldconfig -r "$root" || true
	# What a test never reads; every megabyte is unpacked at every boot.
	rm -rf "$root"/usr/share/{perl,perl5,zoneinfo,bash-completion,common-licenses,gcc,lintian,bug,doc-base,menu,pixmaps,icons,misc/magic*} \
		"$root"/usr/lib/*/{gconv,perl-base,perl,audit} "$root"/usr/bin/perl* \
		"$root"/usr/lib/{systemd,init,valgrind} "$root"/usr/share/{iso-codes,polkit-1,dbus-1} \
		"$root"/var/{lib/dpkg,lib/apt,cache,log} "$root"/usr/lib/python3*/{test,idlelib,lib2to3,ensurepip,pydoc_data,tkinter} \
		"$root"/etc/{apt,init.d,cron*,systemd} "$root"/usr/lib/{apt,dpkg,cnf-update-db,tmpfiles.d,sysusers.d}
	mkdir -p "$root/var/log" "$root/var/cache"
	(cd "$root" && find . -print0 | sort -z | cpio --null --create --format=newc --quiet --owner=0:0) >"$dir/base.cpio"
	rm -r "$root"
}

# Modules of the stock kernel, by folder below kernel/; what they depend on in
# other folders comes along.
module_folders=(
	drivers/net/wireguard net/ipv4 net/ipv6 net/netfilter net/bridge net/sched net/core
	net/8021q net/802 net/packet net/unix net/xfrm net/key net/llc net/mpls net/psample
	drivers/block/virtio_blk fs/overlayfs fs/9p net/9p lib/crypto lib/test crypto arch
)
module_names=(
	veth dummy tun tap bonding team macvlan macvtap ipvlan vxlan geneve bareudp vrf ifb
	netdevsim netkit nlmon virtio_net e1000e virtio_rng bridge
)

make_modules() {
	local dir=$1 stock out name file
	stock=$("$WG_QEMU/kernel.sh" modules)
	# /lib is a link in the guest: archives must name the real place.
	out=$dir/tree/usr/lib/modules/$release
	mkdir -p "$out"
	ln -s usr/lib "$dir/tree/lib"
	depmod -b "$stock" -o "$dir/all" "$release"
	cp "$stock/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$out/"
	# The names to begin with, then everything that they need, as paths.
	{
		for name in "${module_folders[@]}"; do
			[[ -d $stock/lib/modules/$release/kernel/$name ]] || continue
			(cd "$stock/lib/modules/$release" && find "kernel/$name" -name '*.ko*')
		done
		for name in "${module_names[@]}"; do
			grep -oE "^kernel/[^:]*/$name\.ko[^:]*" "$dir/all/lib/modules/$release/modules.dep" || true
		done
	} | grep -vE '/kvm|/(edac|intel|amd)[^/]*uncore|/arch/x86/(kvm|events|platform|xen|video)/|/arch/arm64/kvm/' |
		sort -u >"$dir/wanted"
	awk 'NR == FNR { want[$1]; next }
		{ sub(":", "", $1) } $1 in want { for (i = 1; i <= NF; i++) print $i }' \
		"$dir/wanted" "$dir/all/lib/modules/$release/modules.dep" | sort -u >"$dir/closure"
	while read -r file; do
		mkdir -p "$out/$(dirname "$file")"
		case $file in
		*.xz) xz -dc "$stock/lib/modules/$release/$file" >"$out/${file%.xz}" ;;
		*.zst) zstd -qdc "$stock/lib/modules/$release/$file" >"$out/${file%.zst}" ;;
		*) cp "$stock/lib/modules/$release/$file" "$out/$file" ;;
		esac
	done <"$dir/closure"
	# Signatures and BTF stay: the files are the stock ones, only unpacked.
	sed -i -E 's/\.ko\.(xz|zst)$/.ko/' "$out/modules.order"
	depmod -b "$dir/tree" "$release"
	rm -r "$dir/all" "$dir/wanted" "$dir/closure"
	(cd "$dir/tree" && find usr -print0 | sort -z | cpio --null --create --format=newc --quiet --owner=0:0) >"$dir/modules.cpio"
}

# perf alone; its libraries beside it, as the base has but some of them.
make_perf() {
	local dir=$1 root=$1/root lib
	mmdebstrap --mode=root --variant=extract --architectures="$WG_ARCH" --include=linux-perf \
		--aptopt='Apt::Install-Recommends "false"' "$WG_SUITE" "$root" /etc/apt/sources.list
	mkdir "$dir/lib"
	cp "$root/usr/bin/perf" "$dir/perf"
	for lib in "$root"/usr/lib/*-linux-gnu/*.so.*; do
		# Links become files under the name that is asked for.
		cp -L "$lib" "$dir/lib/" 2>/dev/null || true
	done
	rm -r "$root"
	# Only what perf or one of its libraries asks for.
	local wanted=(perf) seen=' ' name
	while ((${#wanted[@]})); do
		name=${wanted[0]} wanted=("${wanted[@]:1}")
		[[ $seen != *" $name "* ]] || continue
		seen+="$name "
		lib=$dir/lib/$name
		[[ $name != perf ]] || lib=$dir/perf
		[[ -f $lib ]] || continue
		mapfile -t -O "${#wanted[@]}" wanted < <(objdump -p "$lib" | awk '$1 == "NEEDED" { print $2 }')
	done
	for lib in "$dir"/lib/*; do
		[[ $seen == *" ${lib##*/} "* ]] || rm "$lib"
	done
}

make_mandoc() {
	local dir=$1 root=$1/root
	mmdebstrap --mode=root --variant=extract --include=mandoc \
		--aptopt='Apt::Install-Recommends "false"' "$WG_SUITE" "$root" /etc/apt/sources.list
	cp "$root/usr/bin/mandoc" "$dir/"
	rm -r "$root"
}

# The client is run from the kernel's source package.
make_ynl() {
	local dir=$1 root=$1/root source
	source=$("$WG_QEMU/kernel.sh" source)
	mmdebstrap --mode=root --variant=extract --architectures="$WG_ARCH" \
		--include=python3-yaml,python3-jsonschema \
		--aptopt='Apt::Install-Recommends "false"' "$WG_SUITE" "$root" /etc/apt/sources.list
	cp -r "$root/usr/lib/python3/dist-packages" "$dir/python"
	cp -r "$source/tools/net/ynl/pyynl" "$dir/pyynl"
	cp "$source"/Documentation/netlink/*.yaml "$dir/"
	rm -r "$root"
}

case $what in
--make-base)
	make_base "$2"
	exit
	;;
--make-perf)
	make_perf "$2"
	exit
	;;
--make-mandoc)
	make_mandoc "$2"
	exit
	;;
--make-ynl)
	make_ynl "$2"
	exit
	;;
esac

release=$("$WG_QEMU/kernel.sh" release)
base_step() { progress "making the guest's userland (about a minute)" "$WG_QEMU/image.sh" --make-base "$1"; }
mandoc_step() { progress "fetching mandoc" "$WG_QEMU/image.sh" --make-mandoc "$1"; }
ynl_step() { progress "fetching what the kernel's netlink client needs" "$WG_QEMU/image.sh" --make-ynl "$1"; }
perf_step() { progress "fetching perf for the guest" "$WG_QEMU/image.sh" --make-perf "$1"; }
modules_step() { progress "collecting the stock kernel's modules" "$WG_QEMU/image.sh" --make-modules "$1"; }

case $what in
--make-modules) make_modules "$2" ;;
base)
	id=$(declare -p packages WG_ARCH | cat - <(declare -f make_base) | key_of)
	make_once "$WG_CACHE/image/base-$WG_ARCH-$id" base_step
	printf '%s\n' "$WG_CACHE/image/base-$WG_ARCH-$id/base.cpio"
	;;
perf)
	id=$(echo "$WG_ARCH" | cat - <(declare -f make_perf) | key_of)
	make_once "$WG_CACHE/image/perf-$WG_ARCH-$id" perf_step
	printf '%s\n' "$WG_CACHE/image/perf-$WG_ARCH-$id"
	;;
mandoc)
	id=$(declare -f make_mandoc | key_of)
	make_once "$WG_CACHE/image/mandoc-$id" mandoc_step
	printf '%s\n' "$WG_CACHE/image/mandoc-$id"
	;;
ynl)
	id=$(echo "$WG_ARCH $release" | cat - <(declare -f make_ynl) | key_of)
	make_once "$WG_CACHE/image/ynl-$WG_ARCH-$id" ynl_step
	printf '%s\n' "$WG_CACHE/image/ynl-$WG_ARCH-$id"
	;;
modules | tree)
	id=$({ declare -p module_folders module_names && declare -f make_modules && "$WG_QEMU/kernel.sh" version; } | key_of)
	dir=$WG_CACHE/image/modules-$release-$id
	make_once "$dir" modules_step
	if [[ $what == tree ]]; then printf '%s\n' "$dir/tree"; else printf '%s\n' "$dir/modules.cpio"; fi
	;;
*) die "image.sh: no such thing: $what" ;;
esac
