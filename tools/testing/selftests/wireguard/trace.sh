#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What an operator can see of packets and handshakes: each cause of a drop by its
# counter, its reason in skb:kfree_skb and its event, and the other trace points.
# See trace_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/trace_cases.py"
