#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh [COMMAND ARGS...]: run COMMAND inside a Debian 13 root that holds the
# toolchain of the stock kernels, and QEMU. The root is made once with
# mmdebstrap and cached, keyed by its package list. Inside, this tree, its git
# folder, the cache and /tmp have the same paths as outside.
#
#   root.sh --path     print where the root lies
#   WG_ROOT_EXTRA=...  of "llvm", "arm64", "deb": a root with these tools as well

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
	shellcheck ca-certificates openssl procps mmdebstrap
)
for extra in ${WG_ROOT_EXTRA:-}; do
	case $extra in
	llvm) packages+=(clang-19 lld-19 llvm-19) ;;
	arm64) packages+=(gcc-aarch64-linux-gnu qemu-system-arm) ;;
	deb) packages+=(debhelper dh-dkms lintian e2fsprogs mount) ;;
	*) die "WG_ROOT_EXTRA: no such set: $extra" ;;
	esac
done
packages+=(qemu-system-x86)

make_root() {
	local mirror tmp=$1 list
	host_needs mmdebstrap mmdebstrap || return
	mirror=$(mirror) || return
	list=$(IFS=, && printf '%s' "${packages[*]}")
	progress "making the Debian 13 toolchain root (about 2.5 GB, one to two minutes)" \
		mmdebstrap --mode=root --variant=apt --include="$list" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		"$WG_SUITE" "$tmp/root" \
		"deb $mirror $WG_SUITE main" \
		"deb $mirror $WG_SUITE-updates main" \
		"deb $mirror $WG_SUITE-backports main" || return
	chmod 755 "$tmp" "$tmp/root"
	# Mount points of enter(): they must stay the same files for ever, as other
	# runs may have something mounted on them.
	mkdir -p "$tmp/root/etc/ssl/certs"
	rm -f "$tmp/root/etc/resolv.conf"
	touch "$tmp/root/etc/resolv.conf" "$tmp/root/etc/ssl/certs/ca-certificates.crt" \
		"$tmp/root/etc/wireguard-rust-root"
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
id=$(printf '%s\n' "$WG_SUITE" "v3" "${packages[@]}" | key_of)
base=$WG_CACHE/root/$id
make_once "$base" make_root
root=$base/root

case ${1:-} in
--path) printf '%s\n' "$root" ;;
'') enter "$root" bash ;;
*) enter "$root" "$@" ;;
esac
