#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh [COMMAND ARGS...]: run COMMAND inside a Debian 13 root that holds the
# toolchain of the stock kernels, and QEMU. The root is made once with
# mmdebstrap and cached, keyed by its package list. Inside, this tree, its git
# folder, the cache and /tmp have the same paths as outside.
#
#   root.sh --path     print where the root lies
#   WG_ROOT_EXTRA=...  of "llvm", "arm64", "deb": these tools as well, in a root of
#                      its own that shares the files of the first; "s390x": a
#                      small root of its own, to run tests on that machine
#
# lib.sh sets WG_ROOT_EXTRA for ARCH=arm64 and KERNEL=debug: who asks for
# neither fetches neither.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(
	# kernel and module builds
	build-essential gcc flex bison bc libelf-dev libssl-dev zlib1g-dev kmod
	cpio zstd xz-utils rsync python3 perl git dwarves
	# Rust for the kernel, and cargo for the host tests
	rustc cargo rust-src rustfmt rust-clippy bindgen libclang-19-dev
	# checks, guest images and boots
	shellcheck ca-certificates openssl procps mmdebstrap qemu-system-x86
)
extras=()
for extra in ${WG_ROOT_EXTRA:-}; do
	case $extra in
	llvm) extras+=(clang-19 lld-19 llvm-19) ;;
	arm64) extras+=(gcc-aarch64-linux-gnu qemu-system-arm) ;;
	deb) extras+=(debhelper dh-dkms lintian e2fsprogs mount) ;;
	s390x) ;;
	*) die "WG_ROOT_EXTRA: no such set: $extra" ;;
	esac
done
architectures=$(dpkg --print-architecture)
foreign=''
suites=("$WG_SUITE" "$WG_SUITE-updates" "$WG_SUITE-backports")
if [[ ${WG_ROOT_EXTRA:-} == s390x ]]; then
	# No kernels here: only cargo, and what a foreign program is made of.
	packages=(build-essential rustc cargo ca-certificates git gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user)
	# Of the foreign machine nothing but the compiled library, as the rest is in the packages for
	# cross-building: not a whole foreign system, of which a mirror must have each package in step.
	foreign=libstd-rust-dev:s390x
	architectures+=,s390x
	# A library and its compiler must be of one version on both.
	suites=("$WG_SUITE")
fi

make_root() {
	local mirror tmp=$1 list suite sources=() hook=()
	host_needs mmdebstrap mmdebstrap || return
	mirror=$(mirror) || return
	list=$(IFS=, && printf '%s' "${packages[*]}")
	for suite in "${suites[@]}"; do sources+=("deb $mirror $suite main"); done
	if [[ -n $foreign ]]; then
		# shellcheck disable=SC2016
		hook=('--customize-hook=chroot "$1" sh -euc "cd /tmp
			apt-get download -q '"$foreign"'
			dpkg-deb -x ./*.deb /
			rm ./*.deb"')
	fi
	progress "making the Debian 13 toolchain root (about 2.5 GB, one to two minutes)" \
		mmdebstrap --mode=root --variant=apt --architectures="$architectures" --include="$list" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		"${hook[@]}" \
		"$WG_SUITE" "$tmp/root" \
		"${sources[@]}" || return
	chmod 755 "$tmp" "$tmp/root"
	# Mount points of enter(): they must stay the same files for ever, as other
	# runs may have something mounted on them.
	mkdir -p "$tmp/root/etc/ssl/certs"
	rm -f "$tmp/root/etc/resolv.conf"
	touch "$tmp/root/etc/resolv.conf" "$tmp/root/etc/ssl/certs/ca-certificates.crt" \
		"$tmp/root/etc/wireguard-rust-root"
}

# A layer: the first root with more packages. What lies in usr is shared by hard
# links, since dpkg replaces files and never writes into one; the rest is small
# and copied, without what is only downloaded.
make_layer() {
	progress "adding to the toolchain root: ${WG_ROOT_EXTRA} (half a minute)" \
		"$WG_QEMU/root.sh" --make-layer "$1" "${extras[@]}"
}

fill_layer() {
	local from=$1 to=$2/root name
	shift 2
	mkdir "$to"
	for name in "$from"/*; do
		name=${name##*/}
		case $name in
		usr) cp -al "$from/usr" "$to/usr" ;;
		# Mount points of those who work in the first root.
		dev | proc | sys | tmp | mnt | root) mkdir "$to/$name" ;;
		*) cp -a --one-file-system "$from/$name" "$to/$name" ;;
		esac
	done
	chmod 1777 "$to/tmp"
	# shellcheck disable=SC2016
	enter "$to" env DEBIAN_FRONTEND=noninteractive sh -euc '
		apt-get update -q
		apt-get install -y -q --no-install-recommends "$@"
		apt-get clean' layer "$@"
}

enter() {
	local tree_git root=$1
	shift
	# A worktree's objects live with the main clone.
	tree_git=$(git -C "$WG_TREE" rev-parse --path-format=absolute --git-common-dir 2>/dev/null || true)
	mkdir -p "$WG_CACHE/cargo"
	# shellcheck disable=SC2016
	exec env ROOT="$root" TREE="$WG_TREE" TREE_GIT="$tree_git" HERE="$PWD" \
		unshare --mount --propagation private -- bash -euc '
		bindto() {
			[[ -d $ROOT$1 ]] || mkdir -p "$ROOT$1"
			mount --rbind "$1" "$ROOT$1"
		}
		for d in /proc /sys /dev /tmp "$TREE" "$WG_CACHE"; do bindto "$d"; done
		[[ -n $TREE_GIT && -d $TREE_GIT ]] && bindto "$TREE_GIT"
		# Name resolution and the certificates that this machine trusts.
		for f in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
			[[ ! -s $f ]] || mount --bind "$(readlink -f "$f")" "$ROOT$f"
		done
		unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CARGO RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTC RUSTFLAGS
		dir=$HERE
		[[ -d $ROOT$dir ]] || dir=/
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		export HOME=$WG_CACHE/home CARGO_HOME=$WG_CACHE/cargo LC_ALL=C.UTF-8 DIR=$dir
		mkdir -p "$HOME"
		unset OLDPWD
		exec chroot "$ROOT" bash -c '\''cd "$DIR" && unset ROOT TREE TREE_GIT HERE DIR && exec "$@"'\'' root "$@"
		' root "$@"
}

# Already inside: nothing to enter.
if [[ -e /etc/wireguard-rust-root ]]; then
	exec "$@"
fi

need_root
id=$(printf '%s\n' "$WG_SUITE" "v3" "${packages[@]}" ${foreign:+"only $foreign"} | key_of)
first=$WG_CACHE/root/$id
if [[ ${1:-} == --make-layer ]]; then
	shift
	fill_layer "$first/root" "$@"
	exit
fi
make_once "$first" make_root
root=$first/root
if ((${#extras[@]})); then
	layer=$WG_CACHE/root/$id-$(printf '%s\n' v1 "${extras[@]}" | key_of)
	make_once "$layer" make_layer
	root=$layer/root
fi

case ${1:-} in
--path) printf '%s\n' "$root" ;;
'') enter "$root" bash ;;
*) enter "$root" "$@" ;;
esac
