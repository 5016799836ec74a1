#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Secrets that are forgotten are nowhere in memory any more. See secrets_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/secrets_cases.py"
