#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# preflight.sh [--quiet] [--no-metadata] KDIR: can this module be built against
# that kernel tree? One line for each thing needed; exit status 1 if one is
# missing. With --quiet only what is missing is said; with --no-metadata the
# Rust metadata is yet to be made there (prepare-kernel.sh). WG_ANY_KERNEL=1 lets
# a kernel line pass that this module does not know (to port it,
# Documentation/porting.md).

set -euo pipefail

quiet='' metadata=yes
while [[ ${1:-} == --* ]]; do
	case $1 in
	--quiet) quiet=yes ;;
	--no-metadata) metadata='' ;;
	*) break ;;
	esac
	shift
done
kdir=${1:?usage: preflight.sh [--quiet] [--no-metadata] KDIR}
rustc=${RUSTC:-rustc}
bindgen=${BINDGEN:-bindgen}
lines='7.2 7.3'
bad=0

ok() { [[ -n $quiet ]] || printf 'ok    %s\n' "$*"; }
missing() {
	printf 'FAIL  %s\n' "$*"
	bad=1
}

# config NAME: the value of a kernel option, "n" if it is not set.
config() {
	local value='' file
	for file in "$kdir/include/config/auto.conf" "$kdir/.config"; do
		[[ -r $file ]] || continue
		value=$(sed -n "s/^$1=//p" "$file")
		break
	done
	printf '%s' "${value:-n}"
}

if [[ -n $metadata && ! -f $kdir/Makefile ]]; then
	missing "KDIR=$kdir is no kernel build tree; name one with make KDIR=..."
	exit 1
fi

release=''
[[ ! -r $kdir/include/config/kernel.release ]] || release=$(<"$kdir/include/config/kernel.release")
line=$(sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p' <<<"$release")
if [[ -n $line && " $lines " == *" $line "* ]]; then
	ok "Linux $release is of a line this module knows: $lines"
elif [[ -z $line ]]; then
	missing "$kdir is not prepared: it does not say which kernel it is for (include/config/kernel.release)"
elif [[ -n ${WG_ANY_KERNEL:-} ]]; then
	ok "Linux $release is of no line this module knows ($lines), but WG_ANY_KERNEL is set"
else
	missing "Linux $release: this module knows the lines ${lines// / and } only, others would fail to build or misbehave (WG_ANY_KERNEL=1 tries all the same)"
fi

value=$(config CONFIG_RUST)
if [[ $value == y ]]; then
	ok "CONFIG_RUST=y"
else
	missing "CONFIG_RUST=$value: this kernel was built without Rust support"
fi

absent=''
[[ -z $metadata ]] || for file in rust/libcore.rmeta rust/libkernel.rmeta rust/libmacros.so scripts/target.json; do
	# arm64 uses a target of rustc itself.
	[[ $file == scripts/target.json && $(config CONFIG_X86_64) != y ]] && continue
	[[ -e $kdir/$file ]] || absent+=" $file"
done
if [[ -z $metadata ]]; then
	ok "Rust metadata: to be made"
elif [[ -z $absent ]]; then
	ok "Rust metadata present"
else
	missing "Rust metadata missing:$absent; the header package has none, prepare a source tree (see README)"
fi

if ! command -v "$rustc" >/dev/null; then
	missing "rustc not found"
elif [[ -z $metadata || -e $kdir/rust/libkernel.rmeta ]]; then
	if [[ -z $metadata ]]; then
		theirs=$(config CONFIG_RUSTC_VERSION_TEXT | tr -d '"')
	else
		# The metadata begins with the version of the compiler that wrote it.
		theirs=$(head -c 4096 "$kdir/rust/libkernel.rmeta" | LC_ALL=C tr -c '[:print:]' '\n' |
			sed -n 's/.*\(rustc [0-9].*\)/\1/p' | head -n 1)
	fi
	ours=$("$rustc" --version) || ours=unknown
	if [[ $theirs == "$ours" ]]; then
		ok "rustc is the kernel's: $ours"
	else
		missing "rustc differs: this is \"$ours\", the kernel has \"${theirs:-unknown}\" (set RUSTC=...)"
	fi
fi

if command -v "$bindgen" >/dev/null; then
	ok "bindgen present: $("$bindgen" --version)"
else
	missing "bindgen not found (Debian: package bindgen)"
fi

value=$(config CONFIG_WIREGUARD)
case $value in
m) ok "CONFIG_WIREGUARD=m" ;;
y) missing "CONFIG_WIREGUARD=y: the C driver is built into this kernel, no module can replace it" ;;
*) missing "CONFIG_WIREGUARD=n: the kernel lacks the crypto libraries that come with it; set it to m" ;;
esac

exit "$bad"
