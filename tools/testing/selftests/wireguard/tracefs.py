# SPDX-License-Identifier: GPL-2.0
"""Trace events of the kernel, by an instance of tracefs of our own."""

import contextlib
import os
import re
import subprocess

ROOT = "/sys/kernel/tracing"


class Tracer:
    """Records the given events (`skb/kfree_skb`, `wireguard`) from its making to `close`."""

    def __init__(self, *events):
        if not os.path.exists(ROOT + "/events"):
            subprocess.run(["mount", "-t", "tracefs", "nodev", ROOT], check=True)
        self.path = f"{ROOT}/instances/wg{os.getpid()}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path)
        self.events = events
        self._write("buffer_size_kb", "4096")
        for event in events:
            self._write(f"events/{event}/enable", "1")

    def _write(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="ascii") as file:
            file.write(value)

    def clear(self):
        """Forgets what was recorded."""
        self._write("trace", "")

    def lines(self, pattern="."):
        """What was recorded since the last `clear`, as far as it matches."""
        with open(self.path + "/trace", encoding="ascii", errors="replace") as file:
            return [line.rstrip() for line in file if not line.startswith("#") and re.search(pattern, line)]

    def events_of(self, name):
        """The events of that name, each a dict of its fields."""
        return [dict(re.findall(r"(\w+)=(\S*)", line.split(f" {name}: ", 1)[1])) for line in self.lines(f" {name}: ")]

    def freed(self):
        """The reasons for which this module has dropped packets, in order."""
        return [line.rsplit("reason: ", 1)[1] for line in self.lines(r" kfree_skb: .*\[wireguard\]")]

    def close(self):
        for event in self.events:
            self._write(f"events/{event}/enable", "0")
        os.rmdir(self.path)


@contextlib.contextmanager
def tracing(*events):
    """A Tracer for the time of the body."""
    tracer = Tracer(*events)
    try:
        yield tracer
    finally:
        tracer.close()
