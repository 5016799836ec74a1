#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The generic netlink interface, by a raw client: refusals and their errno,
# order of attributes, fragmentation of dumps, rights. See netlink_cases.py.

dir=$(cd "$(dirname "$0")" && pwd)
modprobe wireguard 2> /dev/null
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$dir" exec unshare --net python3 "$dir/netlink_cases.py"
