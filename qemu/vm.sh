#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# vm.sh OPTIONS: boot the kernel (KERNEL=..., see kernel.sh) in QEMU and run one command there.
#
#   --run COMMAND      shell command for the guest; its output comes out here
#   --script FILE ARGS... (last)  the same with a script of this machine
#   --module WHICH     stock (the C driver, default), or the path of a .ko that
#                      "modprobe wireguard" then finds in its place
#   --add SRC[:DEST]   put a file or folder into the guest (DEST: /wg/NAME)
#   --smp N --mem MIB  CPUs (2), memory (2048; debug kernels 3072)
#   --timeout S        end of the whole run (600)
#   --append ARGS      more kernel arguments
#   --icount           one CPU, guest time = instructions executed (benchmarks)
#   --vmfork           a generation ID that the guest can change itself (amd64)
#   --qemu ARGS        more QEMU arguments, split at blanks
#   --log FILE         keep the kernel log there
#   --dirty-ok         do not fail because of warnings in the kernel log
#   CPU_MODEL=NAME     the emulated CPU, in the environment (amd64: max)
#   --shell            a prompt in the guest instead of a command
#
# Exit status: that of the command; 124 out of time; 125 the machine died or
# never started; 126 the command was fine, but the kernel log is not clean.
# The guest finds qemu/guest and tools/testing/selftests/wireguard as
# /wg/guest and /wg/selftests.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$WG_QEMU/vm.sh" "$@"
fi

module=stock smp=2 mem='' limit=600 append='' icount='' vmfork='' extra='' keep_log='' dirty_ok='' shell='' command=''
add=()
while (($#)); do
	case $1 in
	--run) command=$2 && shift ;;
	--script)
		add+=("$2:/wg/script")
		shift 2
		command=/wg/script
		if (($#)); then command+=$(printf ' %q' "$@"); fi
		break
		;;
	--module) module=$2 && shift ;;
	--add) add+=("$2") && shift ;;
	--smp) smp=$2 && shift ;;
	--mem) mem=$2 && shift ;;
	--timeout) limit=$2 && shift ;;
	--append) append=$2 && shift ;;
	--qemu) extra=$2 && shift ;;
	--log) keep_log=$2 && shift ;;
	--icount) icount=yes ;;
	--vmfork) vmfork=yes ;;
	--dirty-ok) dirty_ok=yes ;;
	--shell) shell=yes ;;
	*) die "vm.sh: unknown option: $1" ;;
	esac
	shift
done
[[ -n $command || -n $shell ]] || die "vm.sh: nothing to do (--run, --script or --shell)"
[[ $module == stock || -f $module ]] || die "vm.sh: no such module: $module"

if [[ -z $mem ]]; then
	mem=2048
	[[ $WG_VARIANT == stock ]] || mem=3072
fi

# Where the parts are (made now if this is the first time).
vmlinuz=$("$WG_QEMU/kernel.sh" vmlinuz)
release=$("$WG_QEMU/kernel.sh" release)
base=$("$WG_QEMU/image.sh" base)
modules=$("$WG_QEMU/image.sh" modules)

work=$(mktemp -d "${TMPDIR:-/tmp}/wg-vm.XXXXXX")
qemu_pid=''
cleanup() {
	[[ -z $qemu_pid ]] || kill "$qemu_pid" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The archive of this run: init, tests, what was asked for, the module.
run_layer() {
	local root=$work/run item src dest tree
	mkdir -p "$root/wg"
	cp "$WG_QEMU/guest/init" "$root/init"
	cp -r "$WG_QEMU/guest" "$root/wg/guest"
	[[ ! -d $WG_TREE/tools/testing/selftests/wireguard ]] ||
		cp -rL "$WG_TREE/tools/testing/selftests/wireguard" "$root/wg/selftests"
	for item in ${add[@]+"${add[@]}"}; do
		src=${item%%:*}
		dest=${item#"$src"}
		dest=${dest#:}
		dest=$root/${dest:-/wg/$(basename "$src")}
		mkdir -p "$(dirname "$dest")"
		cp -rL "$src" "$dest"
		[[ $item != *:/wg/script ]] || chmod +x "$dest"
	done
	[[ -z $command ]] || printf '%s\n' "$command" >"$root/wg/command"
	if [[ $module != stock ]]; then
		# depmod prefers updates/; it needs to see the stock modules as well.
		tree=$work/tree/usr/lib/modules/$release
		mkdir -p "$tree/updates" "$root/usr/lib/modules/$release"
		ln -s usr/lib "$work/tree/lib"
		cp -rs "$("$WG_QEMU/image.sh" tree)/usr/lib/modules/$release/kernel" "$tree/kernel"
		cp "$("$WG_QEMU/image.sh" tree)/usr/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$tree/"
		# Without its debug information: ten megabytes less to boot with.
		"${WG_CROSS}strip" --strip-debug -o "$tree/updates/wireguard.ko" "$module"
		depmod -b "$work/tree" "$release"
		cp -r "$tree"/modules.* "$tree/updates" "$root/usr/lib/modules/$release/"
	fi
	(cd "$root" && find . -print0 | cpio --null --create --format=newc --quiet --owner=0:0)
}

case $WG_ARCH in
amd64)
	qemu=(qemu-system-x86_64)
	console=ttyS0
	cpu=${CPU_MODEL:-max} machine=q35
	# While the kernel identifies its first CPU it forgets for a moment that it has five levels of page
	# tables, and KASAN takes what an interrupt accesses then for wild.
	[[ $WG_VARIANT != debug ]] || cpu+=,-la57
	;;
arm64)
	qemu=(qemu-system-aarch64)
	console=ttyAMA0
	cpu=max,pauth-impdef=on machine=virt
	;;
esac

run_layer >"$work/run.cpio"
cat "$base" "$modules" "$work/run.cpio" >"$work/initrd"

kernel_args="panic=-1 rdinit=/init log_buf_len=8M mitigations=off"
# The kernel counts timer interrupts for some milliseconds and panics if there are
# too few: an emulated machine on a busy one may not have run so long. On KVM it does not ask.
[[ $WG_ARCH != amd64 ]] || kernel_args+=" no_timer_check"
# What KASAN finds anyway costs a third of the speed.
[[ $WG_VARIANT != debug ]] || kernel_args+=" slub_debug=FZ debug_pagealloc=off"

common=(-nodefaults -no-user-config -display none -no-reboot -m "$mem" -kernel "$vmlinuz")

# KVM counts only if it boots this kernel: there are machines whose /dev/kvm
# does not run a stock guest. Asked once per boot of this machine.
kvm_works() {
	local answer boot
	[[ -w /dev/kvm && $WG_ARCH == "$(dpkg --print-architecture)" && -z ${WG_NO_KVM:-} ]] || return 1
	boot=$(cat /proc/sys/kernel/random/boot_id)
	answer=$WG_CACHE/kvm-$boot-$release
	if [[ ! -s $answer ]]; then
		find "$WG_CACHE" -maxdepth 1 -name 'kvm-*' ! -name "kvm-$boot-*" -delete
		mkdir -p "$work/probe"
		printf '#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\necho probe-booted >/dev/console\n/bin/busybox poweroff -f\n' >"$work/probe/init"
		chmod +x "$work/probe/init"
		mkdir -p "$work/probe"/{bin,proc,dev}
		(cd "$work/probe" && cpio -idu --quiet usr/bin/busybox <"$base" && cp usr/bin/busybox bin/ &&
			rm -r usr && mknod dev/console c 5 1 &&
			find . | cpio --create --format=newc --quiet) >"$work/probe.cpio"
		# In a subshell, so that nothing is said when QEMU aborts.
		(
			timeout -k 2 20 "${qemu[@]}" "${common[@]}" -machine "$machine" -accel kvm -cpu host \
				-initrd "$work/probe.cpio" -append "console=$console panic=-1" \
				-serial "file:$work/probe.out" </dev/null || exit 1
		) >/dev/null 2>&1 || true
		if grep -aq probe-booted "$work/probe.out" 2>/dev/null; then
			printf 'yes\n' >"$answer"
		else
			printf 'no\n' >"$answer"
			note "KVM does not run this kernel here: the machine is emulated, which is slower"
		fi
	fi
	[[ $(<"$answer") == yes ]]
}

if [[ -n $icount ]]; then
	smp=1
	accel=(-accel tcg,thread=single -icount shift=0,sleep=off -cpu "$cpu")
elif kvm_works; then
	accel=(-accel kvm -cpu host)
else
	accel=(-accel tcg,thread=multi -cpu "$cpu")
fi

args=("${common[@]}" -machine "$machine" "${accel[@]}" -smp "$smp" -initrd "$work/initrd"
	-device virtio-serial-pci,vectors=0)
if [[ -n $vmfork && $WG_ARCH == amd64 ]]; then
	"$WG_QEMU/vmfork-ssdt.py" "$work/vmfork.aml"
	args+=(-device "vmgenid,guid=$(</proc/sys/kernel/random/uuid)" -acpitable "file=$work/vmfork.aml")
fi
# shellcheck disable=SC2206
args+=($extra)

if [[ -n $shell ]]; then
	# The prompt has its own terminal; the kernel's messages stay out of it.
	"${qemu[@]}" "${args[@]}" -serial "file:$work/console" \
		-chardev stdio,id=tty,signal=off -device virtconsole,chardev=tty \
		-append "console=$console quiet $kernel_args $append"
	exit
fi

mkfifo "$work/out"
cat <"$work/out" &
reader=$!
args+=(
	-serial "file:$work/console"
	-chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=out
	-chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,name=status
	-chardev "file,id=kmsg,path=$work/kmsg" -device virtserialport,chardev=kmsg,name=kmsg
	# Only warnings and worse go to the slow serial line.
	-append "console=$console loglevel=5 $kernel_args $append"
)
timeout -k 5 "$limit" "${qemu[@]}" "${args[@]}" </dev/null 2>"$work/qemu.err" &
qemu_pid=$!
rc=0
wait "$qemu_pid" || rc=$?
qemu_pid=''
# A QEMU that did not start has not opened the pipe.
[[ -e $work/status ]] || { : >"$work/out"; } 2>/dev/null &
wait "$reader" || true

# What went to the serial line is in the full log as well, if that was written.
cat "$work"/{kmsg,console} 2>/dev/null | tr -d '\r' | awk '!seen[$0]++' >"$work/log" || true
[[ -z $keep_log ]] || cp "$work/log" "$keep_log"
if ((rc == 124 || rc == 137)); then
	tail -n 30 "$work/console" >&2 || true
	say "vm: the guest was not done after $limit s"
	exit 124
fi
if [[ ! -s $work/status ]]; then
	cat "$work/qemu.err" >&2
	tail -n 60 "$work/console" >&2 || true
	say "vm: the machine ended without telling the command's exit status"
	exit 125
fi
status=$(tr -dc 0-9 <"$work/status")
if [[ -z $dirty_ok ]] && ! "$WG_QEMU/guest/kernel-log-check" "$work/log" >"$work/bad"; then
	say "vm: the kernel log is not clean:"
	sed 's/^/    /' "$work/bad" | head -n 40 >&2
	((status != 0)) || status=126
fi
exit "$status"
