#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# limit: 900
#
# What takes minutes, in real time and all at once: keys that are renewed,
# refused and wiped, handshakes that nobody answers, cookies that get old.
# Nine minutes; see aging_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace, and the driver's debug lines.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && mount -t debugfs none /sys/kernel/debug && exec python3 "$1"' bash "$dir/aging_cases.py"
