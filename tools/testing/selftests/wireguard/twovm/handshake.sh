#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Between two guests: see README.md here.

exec python3 "$(dirname "$0")/cases_handshake.py"
