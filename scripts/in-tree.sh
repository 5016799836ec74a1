#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# in-tree.sh KERNEL_SOURCE: put this driver into a kernel's source, as
# drivers/net/wireguard-rust with CONFIG_WIREGUARD_RUST; again to renew it.

set -euo pipefail
kernel=${1:?usage: in-tree.sh KERNEL_SOURCE}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
net=$kernel/drivers/net
[[ -f $net/Kconfig && -f $net/Makefile ]] || {
	echo "in-tree.sh: $kernel is no kernel source" >&2
	exit 1
}

rm -rf "$net/wireguard-rust"
mkdir "$net/wireguard-rust"
(cd "$here" && find Kbuild Kconfig include rust \( -path rust/proto/tests -o -path '*/target' \) -prune \
	-o -type f \( -name '*.rs' -o -name '*.[ch]' -o -name 'K*' -o -name bindgen_parameters \) \
	! -name bindings_generated.rs -print0 | xargs -0 cp --parents -t "$net/wireguard-rust")

# Beside the C driver's lines.
# shellcheck disable=SC2016
grep -q wireguard-rust "$net/Makefile" ||
	sed -i '/^obj-\$(CONFIG_WIREGUARD) /a obj-$(CONFIG_WIREGUARD_RUST) += wireguard-rust/' "$net/Makefile"
grep -q wireguard-rust "$net/Kconfig" ||
	sed -i '/^config WIREGUARD$/i source "drivers/net/wireguard-rust/Kconfig"\n' "$net/Kconfig"
for file in Makefile Kconfig; do
	grep -q wireguard-rust "$net/$file" || {
		echo "in-tree.sh: found no place in $net/$file" >&2
		exit 1
	}
done
echo "put into $net/wireguard-rust: unset CONFIG_WIREGUARD, then set CONFIG_WIREGUARD_RUST"
