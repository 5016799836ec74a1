#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fuzzing from outside: damaged messages and requests, see fuzz_wire.py and
# fuzz_netlink.py. Each case prints its seed.
#
#   SEED=N ./fuzz.sh            the same choices again; what the driver itself
#                               draws by lot, and the time, are not the same
#   FUZZ_SECONDS=S ./fuzz.sh    for so long each

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# A /sys that shows the new network namespace.
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/fuzz_cases.py"
