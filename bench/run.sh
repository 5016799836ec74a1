#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: the benchmark. Both drivers on the stock kernel, in the same guest;
# a table on standard output, build/bench.json, plots in Documentation/bench.
#
#   ROWS="bulk rtt"   these rows alone (below); without it, all of them
#   MODULE=PATH       another .ko than this tree's
#   FRESH=1           measure the C driver again, even if only some rows are
#                     asked for: its exact figures of the last time serve
#                     otherwise
#   QUICK=1           fewer peers and shorter runs, for a first look
#   GO=1              wireguard-go as well, in the rows that are traffic alone
#   CPUS="2 4"        row cores: machines with so many CPUs; BOOTS=N of each (3), TURNS=N of
#                     each driver in a boot (2)
#   OTHER=PATH        row cores: one more .ko that takes its turn, an earlier one of ours say
#   CPU_MODEL=NAME    the emulated CPU; without it QEMU's largest (max), but for row cores
#                     qemu64, which has no vector instructions beyond SSE3: emulated ones
#                     take far more of the time than they would
#
# Rows of one CPU whose clock counts instructions ("exact"): they give the same
# figures on any machine, loaded or not. The others need a quiet one.

set -euo pipefail
# shellcheck source=qemu/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../qemu/lib.sh"

bench=$WG_TREE/bench
if [[ ! -e /etc/wireguard-rust-root ]]; then
	need_root
	exec "$WG_QEMU/root.sh" "$bench/run.sh" "$@"
fi

exact_rows="bulk rtt small loaded-rtt bulk-udp handshakes lookup flood"
go_rows="bulk rtt small loaded-rtt bulk-udp"
timed_rows="scale cores"
all_rows="$exact_rows $timed_rows"
cores_model=${CPU_MODEL:-qemu64}
rows=${ROWS:-$all_rows}
rows=${rows//,/ }
for row in $rows; do
	[[ " $all_rows " == *" $row "* ]] || die "no such row: $row (there are: $all_rows)"
done

out=$WG_TREE/build/bench
"$bench/tools.sh"

module=${MODULE:-ours}
if [[ $module == ours ]]; then
	module=$("$WG_QEMU/build.sh")
fi
[[ $module == stock || -f $module ]] || die "no such module: $module"
release=$("$WG_QEMU/kernel.sh" release)

# What the C driver's exact figures depend on, but for the row.
key=$({ cat "$bench"/guest/* "$bench"/tools/* && echo "$release ${QUICK:-} ${CPU_MODEL:-}" && "$WG_QEMU/image.sh" base; } | key_of)
known=$out/c-$key
touch "$known"

# guest NAME OPTIONS MODULE COMMAND: a boot; its lines of results in out/NAME.
guest() {
	local name=$1 options=$2 which=$3 command=$4 rc=0
	# shellcheck disable=SC2086
	"$WG_QEMU/vm.sh" $options --module "$which" --mem 4096 --timeout "${BENCH_TIMEOUT:-3000}" \
		--add "$out/guest:/wg/bench" --log "$out/$name.log" --run "QUICK=${QUICK:-} TURNS=${TURNS:-} $command" |
		tee "$out/$name.out" | sed -nu 's/^[#@] /  /p' >&2 || rc=$?
	((rc == 0)) || say "  $name: exit status $rc (the kernel log: $out/$name.log)"
}

selected() {
	local row
	for row in $1; do
		if [[ " $rows " == *" $row "* ]]; then printf '%s ' "$row"; fi
	done
}

exact=$(selected "$exact_rows")
c_exact=''
for row in $exact; do
	if [[ -z ${ROWS:-} || -n ${FRESH:-} ]] || ! grep -q "^@ c $row " "$known"; then c_exact+="$row "; fi
done
rm -f "$out"/*.out
if [[ -n $exact ]]; then
	# Two guests at a time: neither feels the other.
	say "exact rows: $exact"
	pids=()
	if [[ -n $c_exact ]]; then
		guest c-exact --icount stock "bench/exact.sh c $c_exact" &
		pids+=($!)
	fi
	guest rust-exact --icount "$module" "bench/exact.sh rust $exact" &
	pids+=($!)
	for pid in "${pids[@]}"; do wait "$pid" || true; done
	go=$(selected "$go_rows")
	if [[ -n ${GO:-} && -n $go ]]; then
		say "wireguard-go: $go"
		guest go-exact --icount stock "bench/exact.sh go $go"
	fi
	if [[ -n $c_exact ]]; then
		for row in $c_exact; do
			if grep -q "^@ c $row " "$out/c-exact.out"; then
				sed -i -E "/^@ (c|veth) $row /d" "$known"
				grep -E "^@ (c|veth) $row " "$out/c-exact.out" >>"$known"
			fi
		done
	fi
	for row in $exact; do grep -E "^@ (c|veth) $row " "$known" || true; done >"$out/c-known.out"
	rm -f "$out/c-exact.out"
fi

# Real time, more than one CPU: one guest at a time.
if [[ -n $(selected scale) ]]; then
	say "scale, both drivers"
	guest c-scale "--smp 2" stock "bench/scale.sh c"
	guest rust-scale "--smp 2" "$module" "bench/scale.sh rust"
fi
if [[ -n $(selected cores) ]]; then
	cp "$module" "$out/guest/rust.ko"
	rm -f "$out/guest/other.ko"
	[[ -z ${OTHER:-} ]] || cp "$OTHER" "$out/guest/other.ko"
	for cpus in ${CPUS:-2 4}; do
		for ((boot = 1; boot <= ${BOOTS:-3}; boot++)); do
			say "cores: $cpus vCPUs ($cores_model if emulated), the drivers in turn, boot $boot of ${BOOTS:-3}"
			CPU_MODEL=$cores_model guest "cores-$cpus-$boot" "--smp $cpus" stock "bench/cores.sh $cpus"
		done
	done
fi

[[ -z ${QUICK:-} ]] || say "QUICK: a tenth of the peers and prefixes that the table names"
rc=0
python3 "$bench/report.py" --release "$release" --json "$WG_TREE/build/bench.json" \
	${ROWS:+--partial} --rows "$rows" --cpus "${CPUS:-2 4}" "$out"/*.out || rc=$?
mkdir -p "$WG_TREE/Documentation/bench"
python3 "$bench/plot.py" "$WG_TREE/build/bench.json" "$WG_TREE/Documentation/bench/bench.svg"
exit "$rc"
