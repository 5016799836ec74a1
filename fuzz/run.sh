#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: build the fuzz targets and run each on its corpus, then on new inputs
# for TIME seconds (12). Runs inside the toolchain root: "make fuzz" does that.
# The last line is "N passed, N failed", one for each target.
#
#   TARGET="messages tunnel"   these only
#   MERGE=1                    afterwards take what is new into fuzz/corpus
#
# New inputs are kept in build/fuzz/corpus, and what a target failed on in
# build/fuzz/crashes: run the target with that file as its argument.

set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$tree/build/fuzz
all=(allowed_ips cookies messages replay tunnel)
read -ra targets <<<"${TARGET:-${WG_TARGET:-${all[*]}}}"
time=${TIME:-12}

CARGO_TARGET_DIR=$out RUSTC_WORKSPACE_WRAPPER=$tree/fuzz/instrument.sh CARGO_TERM_COLOR=never \
	cargo build --manifest-path "$tree/Cargo.toml" --locked --profile fuzz -p wg_fuzz --bins >&2
mkdir -p "$out/crashes" "$out/log"

# run TARGET: its result in one line; the status is the target's.
run() {
	local target=$1 rc=0 log=$out/log/$1
	mkdir -p "$out/corpus/$target"
	# A single input gets a minute: machines may be slow.
	"$out/fuzz/$target" -max_total_time="$time" -len_control=0 -max_len=1024 -timeout=60 \
		-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$out/crashes/$target-" \
		"$out/corpus/$target" "$tree/fuzz/corpus/$target" >"$log" 2>&1 </dev/null || rc=$?
	if ((rc != 0)); then
		grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse)|^\s*NEW_FUNC' "$log" | tail -n 60 | sed 's/^/    /'
		echo "not ok - fuzz $target (exit status $rc, inputs in $out/crashes)"
		return 1
	fi
	awk -v target="$target" '
		/INFO: seed corpus: files:/ { files = $5 }
		/\tINITED / { start = after("cov:") }
		/\tDONE / { cov = after("cov:") }
		/^INFO: Loaded 1 PC tables/ { edges = $6; gsub(/[^0-9]/, "", edges) }
		/^stat::number_of_executed_units/ { runs = $2 }
		/^stat::average_exec_per_sec/ { rate = $2 }
		function after(word,    i) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1) }
		END {
			printf "ok - fuzz %s: %d inputs in the corpus, %d runs, %d a second; %d of %d edges, %d by the corpus\n",
				target, files, runs, rate, cov, edges, start
		}' "$log"
}

passed=0 failed=0 running=0
reap() {
	if wait -n; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
	running=$((running - 1))
}
for target in "${targets[@]}"; do
	((running < $(nproc))) || reap
	run "$target" &
	running=$((running + 1))
done
while ((running)); do reap; done

if [[ -n ${MERGE:-} ]]; then
	for target in "${targets[@]}"; do
		# As few inputs as reach the same.
		rm -rf "$out/merged" && mkdir "$out/merged"
		"$out/fuzz/$target" -set_cover_merge=1 "$out/merged" "$tree/fuzz/corpus/$target" "$out/corpus/$target" \
			>"$out/log/$target-merge" 2>&1
		rm -rf "$tree/fuzz/corpus/$target"
		mv "$out/merged" "$tree/fuzz/corpus/$target"
	done
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
