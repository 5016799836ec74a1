# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What every script in this folder shares: messages, progress, the cache with
# its locks, and where the packages come from. Sourced, never run.

WG_QEMU=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The tree that holds these scripts (a clone, a worktree or an unpacked tarball).
WG_TREE=$(dirname "$WG_QEMU")
export WG_CACHE=${WG_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/wireguard-rust}

WG_SUITE=trixie
# What the user calls ARCH=, KERNEL= and TARGET= travels under names that a kernel build
# does not read.
WG_ARCH=${ARCH:-${WG_ARCH:-amd64}}
WG_ARCH=${WG_ARCH/#x86_64/amd64}
WG_ARCH=${WG_ARCH/#aarch64/arm64}
WG_KERNEL=${KERNEL:-${WG_KERNEL:-7.2}}
# KERNEL=16k, KERNEL=7.3-16k: arm64's stock kernel with pages of 16 KiB.
WG_FLAVOUR=${WG_FLAVOUR:-}
if [[ $WG_KERNEL == 16k || $WG_KERNEL == *-16k ]]; then
	WG_FLAVOUR=-16k
	WG_KERNEL=${WG_KERNEL%16k}
	WG_KERNEL=${WG_KERNEL%-}
	WG_KERNEL=${WG_KERNEL:-7.2}
fi
# KERNEL=debug, KERNEL=7.3-kcsan: a kernel with checkers instead of the stock one.
WG_VARIANT=${WG_VARIANT:-stock}
case $WG_KERNEL in
debug | kcsan)
	WG_VARIANT=$WG_KERNEL
	WG_KERNEL=7.2
	;;
*-debug | *-kcsan)
	WG_VARIANT=${WG_KERNEL##*-}
	WG_KERNEL=${WG_KERNEL%-*}
	;;
esac
# bindgen takes TARGET for itself, even an empty one: so kernels seem to have no Rust.
WG_TARGET=${TARGET:-${WG_TARGET:-}}
export WG_ARCH WG_KERNEL WG_VARIANT WG_FLAVOUR WG_TARGET
# What a kernel build calls the machine, and how the names of its tools begin.
case $WG_ARCH in
arm64) WG_CROSS=aarch64-linux-gnu- WG_MAKE_ARCH=(ARCH=arm64 "CROSS_COMPILE=aarch64-linux-gnu-") ;;
*) WG_CROSS='' WG_MAKE_ARCH=(ARCH=x86_64) ;;
esac
unset ARCH KERNEL TARGET
if [[ $WG_ARCH != amd64 && " ${WG_ROOT_EXTRA:-} " != *" $WG_ARCH "* ]]; then
	export WG_ROOT_EXTRA="${WG_ROOT_EXTRA:+$WG_ROOT_EXTRA }$WG_ARCH"
fi
if [[ $WG_VARIANT != stock && " ${WG_ROOT_EXTRA:-} " != *" llvm "* ]]; then
	export WG_ROOT_EXTRA="${WG_ROOT_EXTRA:+$WG_ROOT_EXTRA }llvm"
fi

# Messages go to standard error: standard output is for results.
say() { printf '%s\n' "$*" >&2; }
note() { printf '  %s\n' "$*" >&2; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[[ $(id -u) == 0 ]] || die "this needs root (a Debian 13 root is entered with chroot): run it with sudo"
}

# A short key made of everything given on standard input.
key_of() { sha256sum | cut -c1-16; }

# progress TEXT COMMAND...: run a long step, its output kept in a log, and say
# every ten seconds that it is still alive. The log's end is shown on failure.
progress() {
	local text=$1 log start pid rc=0 last=0 now
	shift
	mkdir -p "$WG_CACHE/log"
	log=$(mktemp "$WG_CACHE/log/step.XXXXXX")
	start=$SECONDS
	note "$text ..."
	# In a process group of its own, so that an interrupt ends all of it.
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	trap 'kill -- "-$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		now=$((SECONDS - start))
		if ((now >= last + 10)); then
			last=$now
			note "$text ... ${now} s"
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	if ((rc != 0)); then
		tail -n 40 "$log" >&2
		say "failed after $((SECONDS - start)) s: $text (all of it: $log)"
		return "$rc"
	fi
	rm -f "$log"
	note "$text: done in $((SECONDS - start)) s"
}

# make_once DIR MAKER: DIR is the product, MAKER a function that fills the
# folder it is given. The product appears by one rename, so an interrupted run
# leaves nothing half made; a lock keeps two runs from making it twice.
make_once() {
	local dir=$1 maker=$2 tmp fd rc=0
	[[ -e $dir ]] && return 0
	mkdir -p "$(dirname "$dir")"
	exec {fd}>"$dir.lock"
	flock "$fd"
	if [[ ! -e $dir ]]; then
		rm -rf --one-file-system "$dir".tmp.*
		tmp=$dir.tmp.$$
		mkdir "$tmp"
		"$maker" "$tmp" || rc=$?
		if ((rc == 0)); then
			mv -T "$tmp" "$dir"
		else
			rm -rf --one-file-system "$tmp"
		fi
	fi
	exec {fd}>&-
	return "$rc"
}

# make_in_place DIR MAKER: the same for products that remember their own path
# (a kernel's build folder): built where it stays, valid once .complete exists.
make_in_place() {
	local dir=$1 maker=$2 fd rc=0
	[[ -e $dir/.complete ]] && return 0
	mkdir -p "$(dirname "$dir")"
	exec {fd}>"$dir.lock"
	flock "$fd"
	if [[ ! -e $dir/.complete ]]; then
		rm -rf --one-file-system "$dir"
		mkdir "$dir"
		"$maker" "$dir" || rc=$?
		((rc != 0)) || touch "$dir/.complete"
	fi
	exec {fd}>&-
	return "$rc"
}

# The Debian mirror this machine itself uses, from its own apt configuration
# (both formats). WG_MIRROR overrides it.
mirror() {
	local uri
	if [[ -n ${WG_MIRROR:-} ]]; then
		printf '%s\n' "$WG_MIRROR"
		return
	fi
	uri=$(
		# shellcheck source=/dev/null
		codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
		# shellcheck disable=SC2016
		apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
			awk -v codename="$codename" '
				$3 == "main" && ($2 == codename || $2 == "stable" || $2 == "oldstable") { print $1; exit }'
	)
	# A mirror list stands for its first entry.
	if [[ $uri == mirror+file:* ]]; then
		uri=${uri#mirror+file:}
		uri=$(awk 'NF && $1 !~ /^#/ { print $1; exit }' "/${uri##/}")
	fi
	[[ -n $uri ]] || die "no Debian mirror in this machine's apt configuration; set WG_MIRROR=URL"
	printf '%s\n' "${uri%/}"
}

# host_needs PROGRAM PACKAGE: install a package on this machine if the program
# is missing.
host_needs() {
	local program=$1 package=$2
	command -v "$program" >/dev/null && return 0
	command -v apt-get >/dev/null || die "$program is missing and this is no Debian system"
	progress "installing $package on this machine" \
		env DEBIAN_FRONTEND=noninteractive sh -c \
		"apt-get update -q && apt-get install -y -q --no-install-recommends $package"
}
