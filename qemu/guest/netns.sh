#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# netns.sh SCRIPT: run the kernel's own WireGuard test, as it is, and tell its
# progress: every step it announces, with the seconds since the start. Its last
# check reads the driver's debug lines, so these are switched on. The last line
# is "1 passed, 0 failed" or the other way round.

set -u
script=$1
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp)

echo "TAP version 13"
echo "1..1"
modprobe wireguard || exit 1
if ! echo 'module wireguard +p' >/sys/kernel/debug/dynamic_debug/control; then
	echo "# no dynamic debug: the check of created and destroyed objects would be empty"
	exit 1
fi
"$here/kmemleak" --forget

# The script waits by reading its standard input, which must neither give
# anything nor end.
idle=$(mktemp -u)
mkfifo "$idle"
exec 9<>"$idle"
began=$SECONDS
bash "$script" <&9 9<&- > >(
	while IFS= read -r line; do
		for colour in '[32m' '[1m' '[0m'; do line=${line//$'\e'"$colour"/}; done
		printf '# %4d %s\n' $((SECONDS - began)) "$line"
	done | tee "$out"
) 2>&1
status=$?
exec 9<&-
rm -f "$idle"
sleep 1
took=$((SECONDS - began))

# What its last check has seen: it must not have passed on nothing.
dmesg >"$out.log"
counts=equal
for what in Interface Peer Keypair; do
	created=$(grep -cE "wireguard: .*$what.* created" "$out.log")
	destroyed=$(grep -cE "wireguard: .*$what.* destroyed" "$out.log")
	echo "# $what: $created created, $destroyed destroyed"
	((created > 0 && created == destroyed)) || counts=bad
done
if [[ $counts == bad ]]; then status=${status/#0/1}; fi
if ((status == 0)) && ! grep -q 'Objects that were created were also destroyed' "$out"; then
	echo "# the script did not reach its end"
	status=1
fi
# That check stops reading the log at the first wait of 0.1 s, which a busy
# machine has too. If that is all that it complains of, the whole log decides.
all_paired() {
	python3 - "$out.log" <<-'PY'
		import re, sys
		seen = {}
		for line in open(sys.argv[1], errors="replace"):
		    found = re.search(r"(wg[0-9]+: [A-Z][a-z]+ ?[0-9]*) .*(created|destroyed)", line)
		    if found:
		        seen.setdefault(found[1], []).append(found[2])
		two = ["created", "destroyed"]
		bad = [k for k, v in seen.items() if v[-2:] != two and v[-4:] != ["created"] * 2 + ["destroyed"] * 2]
		print("# in the whole log without a pair:", bad)
		sys.exit(1 if bad or not seen else 0)
	PY
}
if [[ $status == 1 && $counts == equal ]] && all_paired &&
	grep -qE 'Error: wg.*: merely (created|destroyed)*created$' "$out"; then
	echo "# its last check stopped reading too early; the whole log is in order"
	status=0
fi
"$here/kmemleak" || status=${status/#0/1}
if ! timeout 60 rmmod wireguard; then
	echo "# the module cannot be removed"
	status=${status/#0/1}
fi
"$here/kmemleak" || status=${status/#0/1}
if ! "$here/kernel-log-check" <(dmesg) >"$out.bad"; then
	echo "# the kernel log is not clean:"
	sed 's/^/# /' "$out.bad" | head -n 30
	status=${status/#0/1}
fi
if ((status == 0)); then
	echo "ok 1 - netns.sh passed in $took s"
	echo "1 passed, 0 failed"
else
	echo "not ok 1 - netns.sh failed (exit status $status) after $took s"
	echo "0 passed, 1 failed"
fi
rm -f "$out" "$out".*
((status == 0))
