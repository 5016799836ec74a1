#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Configuration, handshakes and traffic while allocations fail: by the kernel's
# fault injection, so for debug kernels only. See failslab_cases.py.
# requires: /sys/kernel/debug/failslab

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && mount -t debugfs debugfs /sys/kernel/debug &&
	exec python3 "$1"' bash "$dir/failslab_cases.py"
