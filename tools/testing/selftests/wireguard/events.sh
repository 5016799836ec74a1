#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Events of peers, told to a multicast group of the netlink family. With the
# folder of the kernel's own netlink client in YNL (see qemu/test.sh ynl) also by
# that. See events_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir"
# shellcheck disable=SC2016
exec unshare --net --mount bash -c 'mount -t sysfs sysfs /sys && exec python3 "$1"' bash "$dir/events_cases.py"
