#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fuzz.sh for two minutes each.

FUZZ_SECONDS=${FUZZ_SECONDS:-120} exec bash "$(dirname "$0")/fuzz.sh"
