#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# profile.sh DRIVER ROW: perf over the whole machine while the traffic of one row
# (bulk, small, rtt, bulk-udp) runs. Lines: "% SHARE DSO SYMBOL"; before them
"%m SYMBOL" for each symbol of the driver, as perf gives modules no name here.

set -u -o pipefail
# shellcheck source=bench/guest/lib.sh
. "$(dirname "$0")/lib.sh"

row=$2
underlay
load_driver
tunnel
background iperf3 -s
background udpload hold 5300
background udpload gro 5301
sleep "${SETTLE:-12}"
echo 0 >/proc/sys/kernel/kptr_restrict

# A program's own linker: perf's libraries are not those of this system.
perf() { LD_LIBRARY_PATH=/wg/perf/lib /wg/perf/perf "$@"; }

# perf itself takes seconds of this machine's time to begin and to end: the
# traffic goes on until it is stopped.
case $row in
bulk) load=(iperf3 -c 10.77.0.2 -t 600) ;;
small) load=(udpload burst 10.77.0.2 5300 64 600) ;;
rtt) load=(rtt 10.77.0.2 600 0) ;;
bulk-udp) load=(udpload gso 10.77.0.2 5301 1350 600) ;;
*) echo "# no such row: $row" && exit 1 ;;
esac
exec_in A "${load[@]}" >/dev/null &
children+=($!)
sleep 0.3
perf record -q -a -e cpu-clock -F 4000 -o /tmp/perf.data -- sleep "${PROFILE_SECONDS:-1.5}" >/dev/null 2>&1
cleanup
awk '$4 == "[wireguard]" && $2 ~ /[tT]/ { print "%m", $3 }' /proc/kallsyms
perf report -i /tmp/perf.data --stdio --no-children --sort dso,symbol -g none 2>/dev/null |
	sed -nE 's/^ +([0-9.]+)% +([^ ]+) +\[.\] ([^ ]+).*$/% \1 \2 \3/p'
