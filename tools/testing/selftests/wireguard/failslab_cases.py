#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Allocations that fail, case by case. To be run in a network namespace of its own."""

import contextlib
import os

import failslab_config  # noqa: F401  (registers its cases)
import failslab_traffic  # noqa: F401
import faults
import genl
import ktap
from ktap import run


@contextlib.contextmanager
def surroundings():
    """A fresh wg0 and a netlink client around each case."""
    faults.off()
    run("ip", "link", "del", "wg0", check=False)
    run("ip", "link", "add", "wg0", "type", "wireguard")
    client = genl.Client()
    try:
        yield client
    finally:
        faults.off()
        client.close()
        run("ip", "link", "del", "wg0", check=False)


if __name__ == "__main__":
    if not os.path.isdir(faults.DEBUG + faults.KINDS[0]):
        print("this kernel has no fault injection")
        raise SystemExit(1)
    run("ip", "link", "set", "lo", "up")
    ktap.main(surroundings)
