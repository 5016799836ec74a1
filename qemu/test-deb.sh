#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# test-deb.sh [packages|in-tree|by-hand|all]: the packages on a whole Debian 13, and the
# driver inside of a kernel source. The last line is "N passed, N failed".
#
#   packages  install wireguard-rust-dkms into a Debian 13 with systemd and the
#             stock kernel, boot it beside a second machine with the C driver, and
#             use, upgrade, remove and replace it there (qemu/guest/deb-system.sh)
#   by-hand   what README says of building without a package, in that Debian
#   in-tree   scripts/in-tree.sh, then build drivers/net/wireguard-rust
#
# VM_TIMEOUT=SECONDS bounds the machine (4800).

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ " ${WG_ROOT_EXTRA:-} " == *" deb "* ]] || export WG_ROOT_EXTRA="${WG_ROOT_EXTRA:+$WG_ROOT_EXTRA }deb"

if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/test-deb.sh" "$@"
fi
[[ $WG_ARCH == amd64 && $WG_VARIANT == stock ]] || die "the package test is for the stock kernel of amd64"

count=0 passed=0 failed=0 held=''
work=$(mktemp -d "${TMPDIR:-/tmp}/wg-test-deb.XXXXXX")
peer_pid='' system_pid=''
cleanup() {
	local pid
	for pid in $system_pid $peer_pid; do kill "$pid" 2>/dev/null || true; done
	for pid in $system_pid $peer_pid; do wait "$pid" 2>/dev/null || true; done
	umount "$work"/*/merged 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# check WHAT COMMAND...: one result, with the end of what it printed if it failed;
# "held" is empty then. To be called by itself, never behind && or ||: bash would
# let a command go on after an error.
check() {
	local what=$1 begin=$SECONDS rc=0
	shift
	count=$((count + 1))
	(
		set -e
		"$@"
	) >"$work/check.log" 2>&1 &
	wait $! || rc=$?
	if ((rc == 0)); then
		passed=$((passed + 1)) held=yes
		echo "ok $count $what # $((SECONDS - begin)) s"
	else
		failed=$((failed + 1)) held=''
		echo "not ok $count $what # $((SECONDS - begin)) s"
		tail -n 60 "$work/check.log" | sed 's/^/# /'
	fi
}
same() { [[ -n $1 && $1 == "$2" ]] || { printf 'is "%s", not "%s"\n' "$1" "$2" && return 1; }; }

# layered FOLDER NAME: a copy of FOLDER that may be changed, in $work/NAME/merged:
# only what is changed is stored, if the machine has overlayfs.
layered() {
	mkdir -p "$work/$2"/{merged,upper,work}
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$work/$2/upper,workdir=$work/$2/work" "$work/$2/merged" 2>/dev/null ||
		cp -a "$1/." "$work/$2/merged/"
}

# in_system COMMAND...: in the Debian that is being set up.
in_system() {
	# shellcheck disable=SC2016
	unshare --mount --propagation unchanged --pid --fork --kill-child -- bash -ec '
		mount -t proc proc "$0/proc"
		mount -t sysfs -o ro sysfs "$0/sys"
		mount --rbind /dev "$0/dev"
		mount -t tmpfs tmpfs "$0/run"
		exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
	' "$root" "$@" </dev/null
}

build_packages() {
	openssl req -new -x509 -nodes -newkey rsa:2048 -subj '/CN=Prebuilt modules' -addext extendedKeyUsage=codeSigning \
		-keyout "$work/key.pem" -outform DER -out "$work/prebuilt.der"
	WG_SIGN_KEY=$work/key.pem WG_SIGN_CERT=$work/prebuilt.der "$WG_QEMU/deb.sh" --out "$work/deb"
	# The next release: the same with another version, in the module as well.
	mkdir "$work/next"
	(cd "$WG_TREE" && find . \( -path ./build -o -path ./.git -o -path '*/target' \) -prune -o -type f -print0) |
		tar -C "$WG_TREE" --null -T - -cf - | tar -C "$work/next" -xf -
	sed -i 's/MODULE_VERSION("1\.0\.0")/MODULE_VERSION("1.0.1")/' "$work/next/rust/kapi/helpers/module.c"
	grep -q '"1\.0\.1"' "$work/next/rust/kapi/helpers/module.c"
	"$WG_QEMU/deb.sh" --tree "$work/next" --version "$(dpkg-deb -f "$work"/deb/*-dkms_*.deb Version)+next" \
		--out "$work/upgrade" --no-modules
	mv "$work"/deb/wireguard-rust-modules-*.deb "$work/upgrade/"
}
lint() { lintian --no-cfg --fail-on error --tag-display-limit 0 "$work"/deb/*.deb "$work"/upgrade/*.deb; }

install_package() {
	cp "$work"/deb/*-dkms_*.deb "$root/opt/"
	in_system sh -c 'timeout 1500 apt-get install -y --no-install-recommends /opt/wireguard-rust-dkms_*.deb'
}
dkms_state() { in_system dkms status -m wireguard-rust; }
built_for_ours_alone() {
	dkms_state
	same "$(dkms_state | wc -l)" 1
	dkms_state | grep -x "wireguard-rust/.*, $release, x86_64: installed\( (Original modules exist)\)\?"
}
tree_is_lean() { (($(du -sm "$root/var/lib/wireguard-rust" | cut -f1) < 250)); }
# refused RELEASE REASON: dkms passes over it (77), and REASON is what it tells.
refused() {
	local rc=0
	in_system dkms build -m wireguard-rust -v "$version" -k "$1" 2>&1 | tee "$work/refused" || rc=${PIPESTATUS[0]}
	same "$rc" 77
	cat "$root/var/lib/wireguard-rust/$1.skipped" >>"$work/refused" 2>/dev/null || true
	cat "$work/refused"
	grep -q "$2" "$work/refused"
}
# As if the source had come after the headers: DKMS builds it then.
source_comes_late() {
	in_system dkms unbuild -m wireguard-rust -v "$version" -k "$release"
	in_system dkms status -m wireguard-rust -k "$release" | tee "$work/status"
	if grep -q installed "$work/status"; then return 1; fi
	echo 'no source' >"$root/var/lib/wireguard-rust/$release.skipped"
	in_system dpkg-trigger --no-await --by-package=linux-source-"$WG_KERNEL" "/usr/src/linux-source-$WG_KERNEL.tar.xz"
	in_system dpkg --triggers-only --pending
	built_for_ours_alone
	[[ ! -e $root/var/lib/wireguard-rust/$release.skipped ]]
}
# A kernel that claims to be another, by links to the headers of ours.
pretend() {
	mkdir -p "$root/usr/lib/modules/$1/build/include/config"
	cp "$root/usr/src/linux-headers-$release/.config" "$root/usr/lib/modules/$1/build/"
	cp "$root/usr/src/linux-headers-$release/Module.symvers" "$root/usr/lib/modules/$1/build/"
	sed "${2:-}" "$root/usr/src/linux-headers-$release/.config" >"$root/usr/lib/modules/$1/build/.config"
	cp "$root/usr/lib/modules/$1/build/.config" "$root/usr/lib/modules/$1/build/include/config/auto.conf"
	printf '%s\n' "$1" >"$root/usr/lib/modules/$1/build/include/config/kernel.release"
}

# What README says of building by hand, word for word, in a copy of that Debian and of this tree. What
# uname says there is not what runs.
by_hand() {
	local root=$root tree installed
	layered "$root" hand
	root=$work/hand/merged tree=$work/hand/merged/opt/tree
	mkdir -p "$tree" "$root/opt/bin"
	(cd "$WG_TREE" && git ls-files -z | tar --null -T - -cf -) | tar -C "$tree" -xf -
	awk '/^## /{ here = /Building it by hand/ } here && /^```/{ block = !block; next } here && block' "$tree/README.md" |
		sed -n '/^apt install/,$p' >"$tree/by-hand"
	cat "$tree/by-hand"
	printf '#!/bin/sh\n[ "$*" = -r ] || exec /usr/bin/uname "$@"\necho %s\n' "$release" >"$root/opt/bin/uname"
	chmod +x "$root/opt/bin/uname"
	# What a user's machine has: a network, lists of packages, nobody to ask.
	cp -L --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
	echo 'APT::Get::Assume-Yes "true";' >"$root/etc/apt/apt.conf.d/assume-yes"
	[[ -z ${http_proxy:-} ]] || echo "Acquire::http::Proxy \"$http_proxy\";" >"$root/etc/apt/apt.conf.d/proxy"
	in_system apt-get update -q
	# shellcheck disable=SC2016
	in_system sh -ec 'cd /opt/tree && export PATH=/opt/bin:$PATH && . ./by-hand'
	installed=$(in_system modinfo -k "$release" -F filename wireguard)
	# Compressed, if modules of that kernel are.
	same "${installed%.xz}" "/lib/modules/$release/updates/wireguard.ko"
	in_system modinfo -k "$release" -F vermagic wireguard | grep "^$release "
	in_system modinfo -k "$release" -F description wireguard | grep Rust
	umount "$root" 2>/dev/null || true
	rm -rf --one-file-system "$work/hand"
}

# Keys, the configuration of three tunnels, and the test as a service.
configure() {
	local k ours peer
	umask 077
	mkdir -p "$root/wg/upgrade" "$work/peer" "$root/etc/wireguard"
	for k in 0 1 2; do
		ours=$(in_system wg genkey)
		peer=$(in_system wg genkey)
		printf '[Interface]\nPrivateKey = %s\nListenPort = %s\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.%s.1/32\n' \
			"$peer" $((51820 + k)) "$(in_system sh -c "echo $ours | wg pubkey")" "$k" >"$work/peer/wg$k.conf"
		printf '[Interface]\nPrivateKey = %s\nAddress = 10.0.%s.1/24\n[Peer]\nPublicKey = %s\nEndpoint = 192.0.2.2:%s\nAllowedIPs = 10.0.%s.0/24\n' \
			"$ours" "$k" "$(in_system sh -c "echo $peer | wg pubkey")" $((51820 + k)) "$k" >"$work/wg$k.conf"
	done
	cp "$work/wg0.conf" "$root/etc/wireguard/wg0.conf"
	cp "$work/wg2.conf" "$root/wg/wg2.conf"
	# The same for systemd-networkd.
	{
		printf '[NetDev]\nName=wg1\nKind=wireguard\n[WireGuard]\n'
		sed -n 's/^PrivateKey = /PrivateKey=/p' "$work/wg1.conf"
		printf '[WireGuardPeer]\n'
		sed -n 's/^\(PublicKey\|Endpoint\|AllowedIPs\) = /\1=/p' "$work/wg1.conf"
	} >"$root/etc/systemd/network/wg1.netdev"
	printf '[Match]\nName=wg1\n[Network]\nAddress=10.0.1.1/24\n' >"$root/etc/systemd/network/wg1.network"
	printf '[Match]\nName=en* eth*\n[Network]\nAddress=192.0.2.1/24\nLinkLocalAddressing=no\n' >"$root/etc/systemd/network/ether.network"
	chmod 644 "$root"/etc/systemd/network/*.network
	in_system chown root:systemd-network /etc/systemd/network/wg1.netdev
	chmod 640 "$root/etc/systemd/network/wg1.netdev"
	printf '[keyfile]\nunmanaged-devices=*,except:interface-name:wg2\n' >"$root/etc/NetworkManager/conf.d/test.conf"
	chmod 644 "$root/etc/NetworkManager/conf.d/test.conf"
	install -m 755 "$WG_QEMU/guest/deb-system.sh" "$root/wg/system"
	cp "$work"/upgrade/*.deb "$root/wg/upgrade/"
	cp "$work/prebuilt.der" "$root/wg/"
	# Type exec: the test waits until systemd has no job left, itself included.
	printf '%s\n' '[Service]' 'Type=exec' 'ExecStart=/wg/system' '[Install]' 'WantedBy=multi-user.target' \
		>"$root/etc/systemd/system/wg-test.service"
	chmod 644 "$root/etc/systemd/system/wg-test.service"
	in_system systemctl enable wg-quick@wg0.service wg-test.service
	in_system systemd-machine-id-setup
}
configure_disk() {
	configure
	local used
	used=$(du -sm --one-file-system "$root" | cut -f1)
	"$WG_QEMU/debian.sh" disk "$root" "$work/disk" $((used + used / 8 + 1024))
}

start_peer() {
	"$WG_QEMU/vm.sh" --module stock --smp 1 --mem 1024 --timeout "$((limit + 120))" --add "$work/peer:/wg/peer" \
		--qemu "-netdev stream,id=net,server=on,addr.type=unix,addr.path=$work/net -device virtio-net-pci,netdev=net,mac=52:54:00:00:02:02" \
		--script "$WG_QEMU/guest/deb-peer.sh" >"$work/peer.out" 2>"$work/peer.err" &
	peer_pid=$!
}
peer_ready() {
	local end=$((SECONDS + 300))
	until grep -q 'peer ready' "$work/peer.out"; do
		if ! kill -0 "$peer_pid" || ((SECONDS > end)); then
			cat "$work/peer.out" "$work/peer.err"
			return 1
		fi
		sleep 1
	done
	grep -q kernel/drivers/net/wireguard "$work/peer.out"
}
run_system() {
	local accel=(-accel "tcg,thread=multi" -cpu max) rc=0 kvm
	# vm.sh has found out whether KVM boots this kernel.
	kvm=$WG_CACHE/kvm-$(cat /proc/sys/kernel/random/boot_id)-$release
	if [[ -z ${WG_NO_KVM:-} && -s $kvm && $(<"$kvm") == yes ]]; then accel=(-accel kvm -cpu host); fi
	timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
		-machine q35 "${accel[@]}" -smp 2 -m 2048 \
		-kernel "$root/boot/vmlinuz-$release" -initrd "$root/boot/initrd.img-$release" \
		-append "root=/dev/vda rw console=ttyS0 loglevel=5 panic=-1 mitigations=off no_timer_check log_buf_len=8M" \
		-drive "file=$work/disk,if=none,id=disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=disk \
		-netdev "stream,id=net,server=off,addr.type=unix,addr.path=$work/net" \
		-device virtio-net-pci,netdev=net,mac=52:54:00:00:02:01 \
		-device virtio-rng-pci -device virtio-serial-pci -serial "file:$work/console" \
		-chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=out \
		-chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,name=status \
		-chardev "file,id=kmsg,path=$work/kmsg" -device virtserialport,chardev=kmsg,name=kmsg \
		</dev/null 2>"$work/qemu.err" &
	system_pid=$!
	# What the machine says, as it says it.
	while [[ ! -e $work/out ]] && kill -0 "$system_pid" 2>/dev/null; do sleep 0.2; done
	tail -f -n +1 --pid="$system_pid" "$work/out" | tee "$work/system.out" || true
	wait "$system_pid" || rc=$?
	system_pid=''
	return "$rc"
}
system_ended() {
	[[ -s $work/status ]] && return
	cat "$work/qemu.err"
	tail -n 60 "$work/console"
	echo "the machine ended, or was ended after $limit s, without a result"
	return 1
}
log_clean() { "$WG_QEMU/guest/kernel-log-check" "$work/kmsg" "$work/console"; }
wait_peer() {
	local end=$((SECONDS + 120))
	while kill -0 "$peer_pid" 2>/dev/null && ((SECONDS < end)); do sleep 1; done
	! kill -0 "$peer_pid" 2>/dev/null
}

# The packages, and a Debian to be set up in $root.
system() {
	release=$("$WG_QEMU/kernel.sh" release)
	echo "# packages, Linux $release"
	check "make deb: both packages, and the next version" build_packages
	[[ -n $held ]] || return 0
	layered "$("$WG_QEMU/debian.sh" system "$work"/deb/*-dkms_*.deb)" system
	root=$work/system/merged
}
readme() {
	check "README: building by hand, its lines as they are" by_hand
}

packages() {
	local p f
	limit=${VM_TIMEOUT:-4800}
	check "lintian finds no error" lint
	version=$(dpkg-deb -f "$work"/deb/*-dkms_*.deb Version)
	check "apt install: DKMS makes the metadata and the module" install_package
	[[ -n $held ]] || return 0
	check "built and installed for $release alone" built_for_ours_alone
	check "the tree kept for that is smaller than 250 MB" tree_is_lean
	check "a kernel before 7.2 is passed over, and told" refused "$(basename "$root"/usr/lib/modules/6.*)" BUILD_EXCLUSIVE
	pretend 7.2.99-norust 's/^CONFIG_RUST=y/# &/'
	check "so is one without CONFIG_RUST" refused 7.2.99-norust BUILD_EXCLUSIVE
	pretend 7.2.99-builtin 's/^CONFIG_WIREGUARD=m/CONFIG_WIREGUARD=y/'
	check "so is one with the C driver built in" refused 7.2.99-builtin 'the C driver is built into'
	pretend 7.2.99-rustc 's/^\(CONFIG_RUSTC_VERSION_TEXT="rustc\) [0-9.]*/\1 1.99.0/'
	check "so is one built by another rustc" refused 7.2.99-rustc 'rustc differs'
	pretend 7.2.99-source
	check "so is one whose source is not the one installed" refused 7.2.99-source 'the source is Linux'
	rm -rf "$root"/usr/lib/modules/7.2.99-* "$root"/var/lib/wireguard-rust/7.2.99-*

	check "when its source comes after its headers, it is built then" source_comes_late

	check "three tunnels configured, disk written" configure_disk
	[[ -n $held ]] || return 0
	start_peer
	check "the other machine runs, with the C driver" peer_ready
	[[ -n $held ]] || return 0
	run_system || true
	read -r p f < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$work/system.out")
	passed=$((passed + p)) failed=$((failed + f))
	check "the machine came to the end of its test" system_ended
	check "its kernel log is clean" log_clean
	check "the other machine's end" wait_peer
	mkdir -p "$WG_TREE/build"
	cat "$work/kmsg" >"$WG_TREE/build/kernel-deb.log" 2>/dev/null || true
}

in_tree_build() {
	local kernel=$work/source/merged out=$work/in-tree
	layered "$("$WG_QEMU/kernel.sh" source)" source
	"$WG_TREE/scripts/in-tree.sh" "$kernel"
	"$WG_TREE/scripts/in-tree.sh" "$kernel"
	same "$(grep -c wireguard-rust "$kernel/drivers/net/Makefile" "$kernel/drivers/net/Kconfig" | cut -d: -f2 | paste -sd' ')" "1 1"
	mkdir "$out"
	cp "$("$WG_QEMU/kernel.sh" builddir)/.config" "$out/.config"
	"$kernel/scripts/config" --file "$out/.config" -d WIREGUARD -m WIREGUARD_RUST
	make -C "$kernel" O="$out" ARCH=x86_64 -j "$(nproc)" olddefconfig prepare modules_prepare
	grep -x CONFIG_WIREGUARD_RUST=m "$out/.config"
	if grep '^CONFIG_WIREGUARD=' "$out/.config"; then return 1; fi
	make -C "$kernel" O="$out" ARCH=x86_64 -j "$(nproc)" drivers/net/wireguard-rust/
	objcopy -O binary --only-section=.modinfo "$out/drivers/net/wireguard-rust/wireguard.o" "$work/modinfo"
	tr '\0' '\n' <"$work/modinfo"
	tr '\0' '\n' <"$work/modinfo" | grep -x 'alias=rtnl-link-wireguard'
	nm "$out/drivers/net/wireguard-rust/wireguard.o" | grep -w init_module
}

in_tree() {
	echo "# inside of the kernel source"
	check "scripts/in-tree.sh, olddefconfig, drivers/net/wireguard-rust/" in_tree_build
}

echo "TAP version 13"
case ${1:-all} in
packages)
	system
	[[ -z $held ]] || packages
	;;
by-hand)
	system
	[[ -z $held ]] || readme
	;;
in-tree) in_tree ;;
all)
	in_tree
	system
	if [[ -n $held ]]; then
		readme
		packages
	fi
	;;
*) die "test-deb.sh packages|in-tree|by-hand|all" ;;
esac
echo "$passed passed, $failed failed"
((failed == 0))
