#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The protocol, message by message: this driver against a peer of our own that
# replays, reorders, corrupts, truncates and floods. See protocol_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/protocol_cases.py"
