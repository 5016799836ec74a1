#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Floods from tens of thousands of addresses, as fast as the machine can send:
# cookies, memory, who is there already, who wants to come in. See flood_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/flood_cases.py"
