#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lifetimes.sh, each of it many times: 300 interfaces, 10,000 peers.

LONG=1 exec bash "$(dirname "$0")/lifetimes.sh"
