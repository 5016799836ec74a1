#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One of the two guests, as the cases see it.

`End` does things in the guest it runs in; `Remote` has the same methods and lets
an `End` in the other guest do them, by JSON lines over TCP on a link of its own.

    end.py serve    be at the other one's service until it says quit
    end.py quit     say so
"""

import glob
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

import flows

CONTROL = ("172.31.0.1", "172.31.0.2")
PORT = 7000
SLOWNESS = int(os.environ.get("TEST_SLOWNESS", "1"))


class End(flows.Flows):
    """This guest: `number` is 1 or 2. Arguments and results are what JSON can carry."""

    def __init__(self, number):
        super().__init__()
        self.number = number
        self.children = {}

    def run(self, command, check=True, timeout=60):
        """A command for bash; what it printed. Raises if it fails, unless told not to check."""
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout * SLOWNESS, check=False)
        if check and done.returncode:
            raise AssertionError(f"end {self.number}: {command}: {done.stdout.strip()}")
        return done.stdout

    def start(self, command):
        """The same in the background; a number for `finish`."""
        out = tempfile.TemporaryFile(mode="w+")
        child = subprocess.Popen(["bash", "-c", "exec " + command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.children[child.pid] = (child, out)
        return child.pid

    def finish(self, pid, timeout=60, interrupt=False):
        """Waits for it (asks it to end first, if so told): what it printed."""
        child, out = self.children.pop(pid)
        if interrupt:
            if child.poll() is not None:
                out.seek(0)
                raise AssertionError(f"end {self.number}: ended by itself: {out.read()}")
            child.terminate()
        try:
            child.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
        with out:
            out.seek(0)
            return out.read()

    def links(self):
        """Loads the driver of the links and names them: ctl, lnk0, lnk1...

        The MAC address says which is which: its last two bytes are the link's
        number (255: control) and the end's.
        """
        subprocess.run(["modprobe", "virtio_net"], check=True)
        found = []
        for path in glob.glob("/sys/class/net/*/address"):
            with open(path, encoding="ascii") as file:
                mac = file.read().strip().split(":")
            if mac[:4] != ["52", "54", "00", "77"]:
                continue
            was, link, end = path.split("/")[-2], int(mac[4], 16), int(mac[5], 16)
            name = "ctl" if link == 255 else f"lnk{link}"
            commands = ["sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
                        " net.ipv6.conf.all.router_solicitations=0 net.ipv6.conf.default.router_solicitations=0"
                        " net.ipv4.conf.all.promote_secondaries=1"]
            if was != name:
                commands.append(f"ip link set {was} down && ip link set {was} name {name}")
            if link == 255:
                commands.append(f"ip addr replace {CONTROL[end - 1]}/30 dev ctl")
            else:
                commands.append(f"ip addr replace 192.168.{link}.{end}/24 dev {name}")
            commands.append(f"ip link set {name} up")
            if link != 255:
                commands.append(f"ip addr replace fd00:{link}::{end}/64 dev {name} nodad")
                found.append(name)
            self.run(" && ".join(commands))
        return sorted(found)

    def forget(self):
        """Ends what a case left: devices, processes, sockets, queueing disciplines."""
        for pid in list(self.children):
            child, out = self.children.pop(pid)
            child.kill()
            child.wait()
            out.close()
        self.forget_flows()
        self.run("for d in $(ls /sys/class/net); do case $d in"
                 " wg*) ip link del $d ;;"
                 " lnk*) tc qdisc del dev $d root 2>/dev/null; ip link set $d mtu 1500;"
                 " n=${d#lnk}; ip addr flush dev $d scope global;"
                 f" ip addr add 192.168.$n.{self.number}/24 dev $d; ip addr add fd00:$n::{self.number}/64 dev $d nodad ;;"
                 " esac; done; true")


class Remote:
    """The other guest. Each thread has a connection of its own, so calls can overlap."""

    def __init__(self, number):
        self.number = number
        self.local = threading.local()

    def _call(self, name, args, named):
        if not hasattr(self.local, "file"):
            conn = socket.create_connection((CONTROL[self.number - 1], PORT), timeout=30 * SLOWNESS)
            conn.settimeout(900 * SLOWNESS)
            self.local.file = conn.makefile("rw")
        self.local.file.write(json.dumps([name, args, named]) + "\n")
        self.local.file.flush()
        line = self.local.file.readline()
        if not line:
            raise AssertionError(f"end {self.number} is gone")
        kind, value = json.loads(line)
        if kind != "ok":
            raise AssertionError(value)
        return value

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **named: self._call(name, args, named)


def together(*tasks):
    """Runs the functions at once; their results, or the first one's failure."""
    results = [None] * len(tasks)

    def one(i, task):
        try:
            results[i] = ("ok", task())
        except BaseException as failure:  # pylint: disable=broad-except
            results[i] = ("failed", failure)

    threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind, value in results:
        if kind != "ok":
            raise value
    return [value for _, value in results]


def serve_one(end, conn, quit_event):
    with conn, conn.makefile("rw") as file:
        for line in file:
            name, args, named = json.loads(line)
            if name == "quit":
                quit_event.set()
                answer = ["ok", None]
            else:
                try:
                    answer = ["ok", getattr(end, name)(*args, **named)]
                except BaseException:  # pylint: disable=broad-except
                    answer = ["failed", traceback.format_exc()]
            file.write(json.dumps(answer) + "\n")
            file.flush()


def serve(number):
    end = End(number)
    end.links()
    done = threading.Event()
    listener = socket.create_server((CONTROL[number - 1], PORT), backlog=32)

    def accept():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve_one, args=(end, conn, done), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("at service", flush=True)
    done.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve(2)
    elif sys.argv[1:] == ["quit"]:
        Remote(2).quit()
    else:
        sys.exit(__doc__)
