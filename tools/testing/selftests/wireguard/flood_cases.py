#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Under a flood from tens of thousands of addresses. See flood.sh.

The flood comes over a veth pair from a namespace that takes whole networks for its own, so what the
device answers reaches it. Everybody else talks to the device over the loopback device.
"""

import contextlib
import json
import os
import subprocess
import sys
import time

import ktap
from ktap import SLOWNESS, case, diag, equal, ours, run, true, wait_until
from protocol_world import PORT, world
from wgcrypto import self_test
from wgpeer import COOKIE, RESPONSE

HERE = os.path.dirname(os.path.abspath(__file__))
SPACE = f"wgtflood{os.getpid()}"
# A flood ends when all has been seen, or after so many seconds; not before so many.
LENGTH, SHORTEST = 90, 6
# Echo requests during a flood, of which seven of ten are answered. Where checkers make each one wait
# for seconds, as many as before would outlast the flood.
ECHOES = max(20, 100 // SLOWNESS)
# Datagrams (each of many messages) that are a flood, while echoes come back between them.
LEAST = max(20, 100 // SLOWNESS)
senders = []


def meminfo(*names):
    with open("/proc/meminfo", encoding="ascii") as table:
        values = {line.split(":")[0]: int(line.split()[1]) for line in table}
    return [values[name] for name in names]


def quarantine():
    """How much (KiB) KASAN keeps of what was freed; 0 without it."""
    with open("/proc/kallsyms", encoding="ascii") as symbols:
        return meminfo("MemTotal")[0] // 32 if any(" kasan_quarantine_put" in line for line in symbols) else 0


# The 4,096 messages that may wait and what else is under way, a few KiB each at most.
MEMORY_KIB = 64 * 1024 + quarantine()

# Of that, what may still be in use a while later.
SETTLED_KIB = 16 * 1024 + quarantine()


@contextlib.contextmanager
def attacked():
    """A World with the attacker's network beside it."""
    run("ip", "link", "del", "va", check=False)
    run("ip", "netns", "add", SPACE)
    try:
        run("ip", "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", SPACE)
        for command in ("addr add 192.0.2.1/24 dev va", "addr add 2001:db8::1/64 dev va nodad", "link set va up"):
            run("ip", *command.split())
        for command in ("link set lo up", "addr add 192.0.2.2/24 dev vb", "addr add 2001:db8::2/64 dev vb nodad", "link set vb up",
                        "route add local 198.18.0.0/16 dev lo", "route add local 2001:db8:f000::/36 dev lo"):
            run("ip", "-n", SPACE, *command.split())
        run("ip", "route", "add", "198.18.0.0/16", "via", "192.0.2.2")
        run("ip", "route", "add", "2001:db8:f000::/36", "via", "2001:db8::2")
        with world() as made:
            yield made
    finally:
        for process in senders:
            process.kill()
            process.wait()
        senders.clear()
        run("ip", "netns", "del", SPACE, check=False)


class Flood:
    """A sender at work. `stop` returns what it has counted."""

    def __init__(self, w, kind, address="192.0.2.1"):
        self.memory = [meminfo("MemAvailable", "Slab")]
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "flood_sender.py"), SPACE, address, str(PORT), w.public.hex(), kind, str(LENGTH * SLOWNESS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        senders.append(self.process)
        equal(self.process.stdout.readline(), "begun\n", "the sender")

    def running(self):
        self.memory.append(meminfo("MemAvailable", "Slab"))
        return self.process.poll() is None

    def finish(self):
        self.process.stdin.close()
        while self.running():
            time.sleep(0.1)
        out = json.loads(self.process.stdout.read())
        available, slab = zip(*self.memory)
        out["memory"] = max(available[0] - min(available), max(slab) - slab[0])
        return out


def pings(end, flood, count=ECHOES):
    """Echo requests during the flood: (answered, longest wait in seconds)."""
    answered, longest = 0, 0.0
    for _ in range(count):
        began = time.monotonic()
        number = end.echo()
        if number in end.replies(number, timeout=2.0 * SLOWNESS):
            answered += 1
            longest = max(longest, time.monotonic() - began)
        true(flood.running(), "the flood lasts")
    return answered, longest


def joins(end):
    """A newcomer until it has a session; (tries, cookies, seconds).

    A full queue takes one message or the other. So it tries twice a second, and an answer may be to
    any of its messages.
    """
    began, cookie, cookies, sent = time.monotonic(), None, 0, []
    while time.monotonic() - began < 30 * SLOWNESS:
        end.send(end.peer.initiation(cookie=cookie))
        sent.append((end.peer.state, end.peer.last_mac1))
        message = end.receive(timeout=0.5)
        for end.peer.state, end.peer.last_mac1 in reversed(sent):
            if message and message[0] == RESPONSE:
                end.session = end.peer.finish(message)
                if end.session:
                    end.send(end.session.seal())
                    return len(sent), cookies, round(time.monotonic() - began, 2)
            elif message and message[0] == COOKIE and end.peer.read_cookie(message):
                cookie, cookies = end.peer.read_cookie(message), cookies + 1
                break
    raise AssertionError(f"a newcomer with a cookie gets in: {len(sent)} tries, {cookies} cookies")


def gets_in(end, flood):
    """A newcomer until its session works; of the last time what `joins` says.

    If the device had several of its messages, it may have made another session after the one that
    was taken here. Who gets no answer tries again.
    """
    for _ in range(3):
        how = joins(end)
        if pings(end, flood, 5)[0]:
            return how
        diag(f"no answer in a session after {how}")
    raise AssertionError("the newcomer's session works")


def works(end):
    """Whether an echo request is answered."""
    number = end.echo()
    return number in end.replies(number, timeout=2.0 * SLOWNESS)


def answer(end):
    """The type of what the device says to an initiation without a cookie; None: nothing."""
    end.drain()
    end.send(end.peer.initiation())
    message = end.receive(timeout=1.0)
    return message and message[0]


def under_flood(w, kind, address="192.0.2.1", cookies=True):
    """The common course: a flood, an established peer, newcomers; then quiet again."""
    old = w.end(2)
    old.handshake()
    old.alive()
    ends = [w.end(3 + i, source="::1" if i % 2 else "127.0.0.1") for i in range(2)]
    late = w.end(9)
    began = time.monotonic()
    flood = Flood(w, kind, address)
    if cookies:
        # It has begun when one is refused for want of a cookie.
        probe = w.end(8)
        wait_until(20, lambda: answer(probe) == COOKIE, "the device is under load")
    newcomers = []
    for end in ends:
        newcomers.append(gets_in(end, flood))
    answered, longest = pings(old, flood)
    while flood.running() and time.monotonic() - began < SHORTEST:
        pings(old, flood, 10)
    out = flood.finish()
    diag(out)
    diag(f"echoes {answered} of {ECHOES}, longest wait {longest * 1000:.0f} ms; newcomers (tries, cookies, seconds): {newcomers}")
    diag({name: value for name, value in w.counters().items() if value})
    true(answered >= 0.7 * ECHOES, f"the established session goes on: {answered} of {ECHOES}")
    true(out["packets"] > LEAST, f"a flood: {out['packets']} packets")
    true(out["memory"] < MEMORY_KIB, f"memory: {out['memory']} KiB")
    equal({k: n for k, n in out["answers"].items() if k != str(COOKIE)}, {}, "answers other than cookies")
    got = out["answers"].get(str(COOKIE), 0)
    # Never more, and smaller, than what was asked.
    true(got <= out["sent"], "cookies within what was sent")
    true(bool(got) == cookies, f"{got} cookies")
    # Afterwards it is as if nothing had been.
    wait_until(20, lambda: answer(late) == RESPONSE, "an answer without a cookie")
    # Answers to what it asked before may come late, and make sessions of their own.
    true(any(joins(late) and works(late) for _ in range(3)), "a session without a flood")
    for end in [old, late] + ends:
        end.drain()
        end.alive()
    wait_until(20, lambda: meminfo("Slab")[0] - flood.memory[0][1] < SETTLED_KIB, "the memory returns")
    return out


@case("C1 C5 C6 V3 initiations with a right mac1 from 65,536 IPv4 addresses")
def _ipv4(w):
    out = under_flood(w, "initiations")
    if ours():
        counters = w.counters()
        true(counters["tx_cookie"] >= out["answers"][str(COOKIE)], "cookies are counted")


@case("C1 C5 C6 V3 the same from 65,536 IPv6 networks")
def _ipv6(w):
    under_flood(w, "initiations", "2001:db8::1")


@case("C1 V4 initiations with a wrong mac1: no answer, no curve, newcomers get in")
def _junk(w):
    under_flood(w, "junk", cookies=False)


@case("V4 V5 E2 data for an established session from everywhere: it goes on, its endpoint stays")
def _data(w):
    end = w.end(2)
    end.handshake()
    end.alive()
    home = end.endpoint()
    flood = Flood(w, f"data:{end.session.remote}")
    time.sleep(1)
    answered, longest = pings(end, flood)
    newcomer = w.end(3)
    tries = joins(newcomer)
    out = flood.finish()
    diag(out)
    diag(f"echoes {answered} of {ECHOES}, longest wait {longest * 1000:.0f} ms; newcomer {tries}")
    true(answered >= 0.7 * ECHOES, f"the session goes on: {answered} of {ECHOES}")
    true(out["packets"] > LEAST, f"a flood: {out['packets']} packets")
    equal(out["answers"], {}, "answers")
    equal(end.endpoint(), home, "endpoint")
    true(out["memory"] < MEMORY_KIB, f"memory: {out['memory']} KiB")
    end.alive()
    newcomer.alive()


if __name__ == "__main__":
    self_test()
    run("ip", "link", "set", "lo", "up")
    ktap.main(attacked)
