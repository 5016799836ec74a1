#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh [--shell]: everything from nothing to a running tunnel: toolchain,
# stock kernel, guest image, the module, a virtual machine, and in it two
# network namespaces that talk through the module (guest/demo.sh). With --shell
# a prompt in that machine instead. MODULE=stock shows the C driver.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_root
begin=$SECONDS
step() { say "[$1/5] $2"; }

say "WireGuard in Rust: from sources to a tunnel in a virtual machine."
say "Downloads and builds are kept in $WG_CACHE."
step 1 "A Debian 13 toolchain (gcc, rustc, bindgen, QEMU), apart from this system"
"$WG_QEMU/root.sh" true
step 2 "A stock Debian kernel, and what Rust modules for it need"
release=$("$WG_QEMU/kernel.sh" release)
"$WG_QEMU/kernel.sh" builddir >/dev/null
note "Linux $release"
step 3 "The virtual machine's files: Debian 13 userland and kernel modules"
"$WG_QEMU/image.sh" base >/dev/null
"$WG_QEMU/image.sh" modules >/dev/null
module=${MODULE:-ours}
if [[ $module == ours ]]; then
	step 4 "The module: wireguard.ko"
	module=$WG_TREE/build/$release/wireguard.ko
	progress "building it for $release" "$WG_QEMU/build.sh"
	note "$(du -k "$module" | cut -f1) KiB in ${module#"$WG_TREE"/}"
else
	step 4 "No build: MODULE=$module"
fi

if [[ ${1:-} == --shell ]]; then
	step 5 "Booting"
	exec "$WG_QEMU/vm.sh" --module "$module" --shell
fi
step 5 "Booting it; from here on the virtual machine speaks"
rc=0
"$WG_QEMU/vm.sh" --module "$module" --timeout 300 --run guest/demo.sh || rc=$?
say ""
case $rc in
0) say "The demo held in every step, the kernel log is clean. It took $((SECONDS - begin)) s." ;;
126) say "Every step held, but the kernel log is not clean (above)." ;;
*) say "The demo failed (status $rc)." ;;
esac
exit "$rc"
