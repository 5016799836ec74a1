#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fuzzers, and whether everything that they had made is gone afterwards. See fuzz.sh."""

import os
import re

import ktap
from ktap import Skip, case, diag, equal, ours, run, true, wait_until
from protocol_world import world
from wgcrypto import self_test

CONTROL = "/sys/kernel/debug/dynamic_debug/control"
# The C driver's lines about keypairs are rate limited.
KINDS = ("Peer", "Keypair") if ours() else ("Peer",)


class Objects:
    """What the driver's debug lines say of its peers and keypairs."""

    def __init__(self):
        self.alive, self.total, self.lost = {kind: set() for kind in KINDS}, dict.fromkeys(KINDS, 0), False
        self.log = None

    def start(self):
        run("mount", "-t", "debugfs", "none", "/sys/kernel/debug", check=False)
        if os.access(CONTROL, os.W_OK):
            for word in ("created", "destroyed"):
                with open(CONTROL, "w", encoding="ascii") as control:
                    control.write(f"module wireguard format {word} +p")
            self.log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self.log, 0, os.SEEK_END)

    def read(self):
        while self.log is not None:
            try:
                line = os.read(self.log, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:
                self.lost = True
                continue
            found = re.search(r"wireguard: \S+: (Peer|Keypair) (\d+)\b.* (created|destroyed)", line)
            if found:
                kind, number, event = found.groups()
                if kind not in KINDS:
                    continue
                if event == "created":
                    self.alive[kind].add(int(number))
                    self.total[kind] += 1
                else:
                    true(int(number) in self.alive[kind], f"{kind} {number} was there when it was destroyed")
                    self.alive[kind].remove(int(number))


objects = Objects()
import fuzz_netlink  # noqa: E402,F401  (register their cases, in this order)
import fuzz_wire  # noqa: E402


@case("G2 G3 every peer and keypair that the fuzzers had made is destroyed")
def _objects(w):
    del w
    if objects.log is None:
        raise Skip("no dynamic debug")
    wait_until(20, lambda: objects.read() or not any(objects.alive.values()), "the last of them")
    diag(f"created and destroyed: {objects.total}")
    equal(objects.lost, False, "lines lost")
    for kind in KINDS:
        true(objects.total[kind] > 2, f"{kind}s were made")


if __name__ == "__main__":
    self_test()
    run("ip", "link", "set", "lo", "up")
    objects.start()
    fuzz_wire.objects = objects
    try:
        ktap.main(world)
    finally:
        if objects.log is not None:
            with open(CONTROL, "w", encoding="ascii") as control:
                control.write("module wireguard -p")
