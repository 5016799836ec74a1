#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Time as it passes: scenarios of up to nine minutes, side by side. See aging.sh.

Each scenario has peers of its own and a thread; all begin together with the
first case, and every case waits for its own scenario.
"""

import os
import re
import socket
import threading
import time
from functools import partial

import ktap
from ktap import case, equal, run, true
from protocol_flood import PATIENCE, cookie_under_load, flood
from protocol_world import world
from wgcrypto import mac
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE

CONTROL = "/sys/kernel/debug/dynamic_debug/control"
ZERO = bytes(16)


def sleep_until(when):
    time.sleep(max(0.0, when - time.monotonic()))


def gather(end, seconds):
    """[(time, message)] of what comes to `end` in that time."""
    until, found = time.monotonic() + seconds, []
    while (left := until - time.monotonic()) > 0:
        message = end.receive(timeout=left)
        if message is not None:
            found.append((time.monotonic(), message))
    return found


def ping(end):
    """A packet from the device to `end`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"data", (end.inside, 5))


def counter(name):
    """One of the driver's own counters."""
    return int(re.search(rf"\b{name}: (\d+)", run("ethtool", "-S", "wg0"))[1])


class LastMinute:
    """The device is initiator and only receives; the other end, too."""

    def __init__(self, w):
        self.end, self.other = w.end(2, endpoint=True), w.end(3)

    def go(self):
        end, other = self.end, self.other
        ping(end)
        old = end.answer()
        born = time.monotonic()
        other.handshake()
        true(end.receive(DATA) is not None, "what waited")
        end.send(old.seal())
        for age in (60, 125, 160):
            sleep_until(born + age)
            # Without data inside, so that the device has nothing to answer.
            end.send(old.seal())
            other.send(other.session.seal())
            end.quiet(timeout=2)
        sleep_until(born + 167)
        end.send(old.seal())
        other.send(other.session.seal())
        message = end.receive(timeout=4)
        true(message is not None and message[0] == INITIATION, "an initiation at 167 s")
        new = end.answer(message)
        true(new.unseal(end.receive(DATA)) is not None, "confirmed")
        end.send(old.seal())
        end.quiet(INITIATION, timeout=7)
        other.quiet(timeout=0.5)


class Expiry:
    """Sessions in which the device is responder: it does not renew them."""

    def __init__(self, w):
        self.receive, self.send = w.end(4), w.end(5)

    def go(self):
        receive, send = self.receive, self.send
        for end in (receive, send):
            end.handshake()
            end.alive()
            end.send(end.session.seal())
        born = time.monotonic()
        sleep_until(born + 172)
        for end in (receive, send):
            end.alive()
            end.send(end.session.seal())
        sleep_until(born + 181.5)
        expired = counter("rx_drop_expired") if ktap.ours() else 0
        receive.echo()
        receive.quiet(timeout=3)
        if ktap.ours():
            equal(counter("rx_drop_expired"), expired + 1, "rx_drop_expired")
        ping(send)
        message = send.receive(timeout=5)
        equal(message and message[0], INITIATION, "instead of data")
        session = send.answer(message)
        _, plain = session.unseal(send.receive(DATA))
        equal(plain[28:32], b"data", "what waited")


class Wipe:
    """A session that is left alone for nine minutes."""

    def __init__(self, w):
        self.end = w.end(6)

    def go(self):
        end = self.end
        end.handshake()
        end.alive()
        end.send(end.session.seal())
        born = time.monotonic()
        late = [end.session.seal() for _ in range(2)]
        sleep_until(born + 530)
        before = self.counts()
        end.send(late[0])
        time.sleep(1)
        middle = self.counts()
        true(not self.wiped(), "not wiped at 530 s")
        sleep_until(born + 541)
        # The kernel's timer wheel has steps of 16 s for one that far off (4,096 ticks of 4 ms).
        ktap.wait_until(20, self.wiped, "the keys to be wiped")
        took = time.monotonic() - born
        end.send(late[1])
        time.sleep(1)
        after = self.counts()
        ktap.diag(f"wiped within {took:.0f} s; expired, unknown: {before}, {middle}, {after}")
        if ktap.ours():
            # First the key is too old, then there is none.
            equal(middle, (before[0] + 1, before[1]), "before")
            equal(after, (before[0] + 1, before[1] + 1), "after")

    @staticmethod
    def counts():
        return (counter("rx_drop_expired"), counter("rx_drop_no_keypair")) if ktap.ours() else None

    def wiped(self):
        """Whether the log says so, of our peer."""
        port = self.end.sock.getsockname()[1]
        words = r"(?:Zeroing out|Keys of peer)"
        return re.search(rf"wg0: {words} .*127\.0\.0\.1:{port}\b", run("dmesg")) is not None


class GivingUp:
    """A peer that never answers."""

    def __init__(self, w):
        self.w, self.end = w, w.end(7, endpoint=True)

    def go(self):
        dropped = self.w.stat("tx_dropped")
        for _ in range(3):
            ping(self.end)
        found = gather(self.end, 125)
        times = [when for when, _ in found]
        equal({message[0] for _, message in found}, {INITIATION}, "messages")
        gaps = [round(b - a, 2) for a, b in zip(times, times[1:])]
        ktap.diag(f"seconds between initiations: {gaps}")
        equal(len(times), 20, "initiations")
        true(all(4.9 <= gap <= 6.0 for gap in gaps), "5 s and jitter")
        # Jitter is up to a third of a second, and timers of 5 s come in steps of a quarter of one. After
        # the first, they are armed where a step begins: without jitter all would be equal.
        true(max(gaps[1:]) - min(gaps[1:]) > 0.2, "jitter")
        equal(self.w.stat("tx_dropped"), dropped + 3, "packets that waited")
        # Another packet begins anew.
        ping(self.end)
        true(self.end.receive(INITIATION) is not None, "a new attempt")


class DeviceCookie:
    """A cookie that the device got."""

    def __init__(self, w):
        self.end = w.end(8, endpoint=True)

    def go(self):
        end, cookie = self.end, os.urandom(16)
        ping(end)
        denied = end.receive(INITIATION)
        end.send(end.peer.cookie_reply(denied, cookie))
        got = time.monotonic()
        ages = []
        while time.monotonic() < got + 130:
            # A packet every now and then, lest it gives up.
            ping(end)
            for when, message in gather(end, 4):
                equal(message[0], INITIATION, "message")
                used = message[132:] == mac(cookie, message[:132])
                true(used or message[132:] == ZERO, "mac2: of the cookie, or none")
                ages.append((round(when - got, 1), used))
        ktap.diag(f"age of the cookie, and whether it was used: {ages}")
        true(all(used for age, used in ages if age < 114), "used")
        true(not any(used for age, used in ages if age > 116.5), "not used any more")
        true(any(age > 116.5 for age, _ in ages) and any(90 < age < 114 for age, _ in ages), "initiations at both times")


class OurCookie:
    """A cookie that the device gave; has its load before the others begin."""

    def __init__(self, w):
        self.w, self.end = w, w.end(9)
        self.cookie = cookie_under_load(self.end, w)
        self.got = time.monotonic()
        time.sleep(2.5)
        self.end.drain()

    def go(self):
        sleep_until(self.got + 126)
        for _ in range(5):
            message = self.end.peer.initiation(cookie=self.cookie)
            flood(self.w, within=partial(self.end.send, message))
            answer = self.end.receive(timeout=PATIENCE)
            if answer and answer[0] == COOKIE:
                break
            # Not under load: an answer says nothing.
            time.sleep(2)
        equal(answer and answer[0], COOKIE, "answer to a cookie of 126 s")
        fresh = self.end.peer.read_cookie(answer)
        true(fresh not in (None, self.cookie), "another cookie")
        message = self.end.peer.initiation(cookie=fresh)
        flood(self.w, within=partial(self.end.send, message))
        answer = self.end.receive(timeout=PATIENCE)
        equal(answer and answer[0], RESPONSE, "answer to the new cookie")


SCENARIOS = (OurCookie, LastMinute, Expiry, Wipe, GivingUp, DeviceCookie)
running = {}


def scenario(kind):
    """Waits for one scenario and fails as it did."""
    thread, problem = running[kind]
    thread.join()
    if problem:
        raise problem[0]


def start(w):
    def body(made, problem):
        try:
            made.go()
        except Exception as error:  # pylint: disable=broad-except
            problem.append(error)

    for made in [kind(w) for kind in SCENARIOS]:
        problem = []
        thread = threading.Thread(target=body, args=(made, problem), daemon=True)
        running[type(made)] = (thread, problem)
    for thread, _ in running.values():
        thread.start()


@case("T1 S6 twenty initiations, 5 s and jitter apart, then what waited is dropped")
def _giving_up():
    scenario(GivingUp)


@case("C7 C1 a cookie is used for 115 s")
def _device_cookie():
    scenario(DeviceCookie)


@case("C2 a cookie that is older than two minutes is refused under load")
def _our_cookie():
    scenario(OurCookie)


@case("K5 K4 the initiator renews on receiving after 165 s, once; the responder does not")
def _last_minute():
    scenario(LastMinute)


@case("V5 X9 K4 S7 after 180 s a session neither receives nor sends")
def _expiry():
    scenario(Expiry)


@case("K6 G2 540 s after the last session its keys are wiped, and the log says so")
def _wipe():
    scenario(Wipe)


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    with open(CONTROL, "w", encoding="ascii") as control:
        control.write("module wireguard +p")
    try:
        with world() as made_world:
            start(made_world)
            ktap.main()
    finally:
        with open(CONTROL, "w", encoding="ascii") as control:
            control.write("module wireguard -p")
