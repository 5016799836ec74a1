# SPDX-License-Identifier: GPL-2.0
"""Protocol cases that need load (cookies, rate limits) or time (timers)."""

import os
import socket
import struct
import time
from functools import partial

import genl
import ktap
import wgpeer
from ktap import case, equal, refused, true
from protocol_flood import PATIENCE, cookie_under_load, flood
from wgcrypto import mac
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE

# How often what needs load is tried: a slow machine may have dealt with a flood too soon.
TRIES = 6


@case("C1 C2 C3 C5 O6 under load: cookie reply; with the cookie in mac2: response")
def _cookie(w):
    end = w.end()
    end.handshake()
    cookie = cookie_under_load(end, w)
    equal(end.tos, 0, "TOS of the cookie reply")
    # Prepared, then sent within a new flood.
    good = end.peer.initiation(cookie=cookie)
    bad = end.peer.initiation(cookie=os.urandom(16))
    flood(w, within=partial(end.send, good))
    got = end.receive(timeout=PATIENCE)
    equal(got and got[0], RESPONSE, "answer to a valid mac2")
    time.sleep(0.05)
    flood(w, within=partial(end.send, bad))
    got = end.receive(timeout=PATIENCE)
    equal(got and got[0], COOKIE, "answer to a wrong mac2")


@case("C2 a cookie is bound to the source address and port")
def _bound(w):
    end = w.end()
    cookie = cookie_under_load(end, w)
    home = end.sock
    for what, sock in [("another port", w.outside()), ("another address", w.outside("127.0.0.7", home.getsockname()[1]))]:
        end.sock = sock
        # Without load the device need not look at it: so more than once.
        for _ in range(TRIES):
            message = end.peer.initiation(cookie=cookie)
            flood(w, within=partial(end.send, message))
            got = end.receive(timeout=PATIENCE)
            if got and got[0] == COOKIE:
                break
            end.drain()
        equal(got and got[0], COOKIE, what)
    end.sock = home
    message = end.peer.initiation(cookie=cookie)
    flood(w, within=partial(end.send, message))
    got = end.receive(timeout=PATIENCE)
    equal(got and got[0], RESPONSE, "from home")


@case("C5 under load a wrong mac1 is ignored, an established session goes on")
def _load_rest(w):
    end = w.end()
    other = w.end(3)
    end.handshake()
    end.alive()
    bad = bytearray(other.peer.initiation())
    bad[120] ^= 1
    flood(w, within=partial(other.send, bytes(bad)))
    for _ in range(5):
        end.alive()
    other.quiet(timeout=1.5)


@case("C6 with a valid cookie at most 20 a second, bursts of 5, for each source")
def _ratelimit(w):
    first = w.end(2)
    ends = [w.end(3 + i) for i in range(14)]
    for end in ends:
        end.sock = first.sock
    # Without load there is no limit: so more than once, until it is met.
    for _ in range(TRIES):
        cookie = cookie_under_load(first, w)
        responses, others, took = answers_in_flood(w, first, [end.peer.initiation(cookie=cookie) for end in ends])
        ktap.diag(f"{responses} responses to {len(ends)} initiations with a valid cookie in {took:.2f} s, other answers: {others}")
        # They may have waited for us as well, hence a few more.
        if 4 <= responses <= 8 + 20 * took and not others:
            break
    true(4 <= responses <= 8 + 20 * took, "responses within the limit")
    equal(others.count(COOKIE), 0, "cookie replies")


def answers_in_flood(w, end, messages):
    """The answers to messages that stand in a flood: responses, the kinds of others, and in how many seconds."""
    flood(w, within=lambda: [end.send(message) for message in messages])
    kinds, times = [], []
    while True:
        got = end.receive(timeout=PATIENCE / 3 if kinds else PATIENCE)
        if got is None:
            break
        kinds.append(got[0])
        times.append(time.monotonic())
    others = [kind for kind in kinds if kind != RESPONSE]
    return len(kinds) - len(others), others, times[-1] - times[0] if times else 0.0


@case("C7 H10 T1 a cookie reply to the device: no retry before time, then mac2; bad ones do nothing")
def _device_cookie(w):
    good = w.end(2, endpoint=True, keepalive=500)
    forged = w.end(3, endpoint=True, keepalive=500)
    began = time.monotonic()
    cookie = os.urandom(16)
    denied = good.receive(INITIATION)
    good.send(good.peer.cookie_reply(denied, cookie))
    other = forged.receive(INITIATION)
    # For another message, for another index, not authentic.
    forged.send(forged.peer.cookie_reply(denied, cookie))
    wrong = bytearray(forged.peer.cookie_reply(other, cookie))
    wrong[5] ^= 1
    forged.send(bytes(wrong))
    wrong = bytearray(forged.peer.cookie_reply(other, cookie))
    wrong[40] ^= 1
    forged.send(bytes(wrong))
    good.quiet(timeout=4.5 - (time.monotonic() - began))
    for end, known in ((good, True), (forged, False)):
        message = end.receive(INITIATION, 2.5)
        true(message is not None, "the next initiation")
        expected = mac(cookie, message[:132]) if known else bytes(16)
        equal(message[132:], expected, "mac2")
    took = time.monotonic() - began
    true(4.9 <= took <= 7.0, f"retransmission after {took:.2f} s")


@case("T1 T2 H10 timers: passive keepalive 10 s, new handshake 15 s, retransmission 5 s")
def _timers(w):
    passive, silent, absent = w.end(2), w.end(3), w.end(4, endpoint=True)
    passive.handshake()
    passive.alive()
    silent.handshake()
    silent.alive()
    inner = w.inner(9)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # What the device sent us so far is answered: no timer runs.
    passive.send(passive.session.seal())
    silent.send(silent.session.seal())
    for end in (passive, silent, absent):
        end.drain()
    start = time.monotonic()
    # We send data to the device: it owes us an answer, a keepalive after 10 s.
    passive.send(passive.session.seal(wgpeer.udp(passive.inside, "10.77.0.1", 1, 9, b"data")))
    equal(inner.recv(100), b"data", "data")
    # The device sends data to one that never answers: new handshake after 15 s.
    out.sendto(b"data", (silent.inside, 5))
    # And to one with which there is no session: initiations every 5 s, no more.
    out.sendto(b"data", (absent.inside, 5))
    out.sendto(b"more", (absent.inside, 5))
    seen = []
    while time.monotonic() - start < 17.0:
        for who, end in (("passive", passive), ("silent", silent), ("absent", absent)):
            message = end.receive(timeout=0.02)
            if message is not None:
                seen.append((who, message[0], len(message), round(time.monotonic() - start, 2)))
    ktap.diag(seen)

    def times(who, kind):
        return [t for name, k, _, t in seen if (name, k) == (who, kind)]

    keep = times("passive", DATA)
    true(len(keep) == 1 and 9.8 <= keep[0] <= 10.9, f"passive keepalive at {keep}")
    equal([size for who, _, size, _ in seen if who == "passive"], [32], "its size")
    fresh = times("silent", INITIATION)
    true(len(fresh) == 1 and 14.8 <= fresh[0] <= 16.2, f"new handshake at {fresh}")
    again = times("absent", INITIATION)
    true(len(again) == 4 and again[0] < 0.5, f"initiations at {again}")
    for a, b in zip(again, again[1:]):
        true(4.9 <= b - a <= 6.0, f"retransmission after {b - a:.2f} s")


@case("V2 V3 S7 a flood of valid and invalid messages: no counter moves, the device stays sound")
def _flood_sound(w):
    end = w.end()
    end.handshake()
    end.alive()
    before = w.stats("rx_packets", "rx_errors", "rx_dropped")
    for _ in range(3):
        flood(w)
        for i in range(200):
            end.send(struct.pack("<IIQ", DATA, i, i) + os.urandom(64))
            end.send(struct.pack("<II", COOKIE, i) + os.urandom(56))
            end.send(struct.pack("<III", RESPONSE, i, i) + os.urandom(80))
    number = end.echo()
    true(number in end.replies(number, timeout=10), "the session goes on")
    now = w.stats("rx_packets", "rx_errors", "rx_dropped")
    equal([b - a for a, b in zip(before, now)], [1, 0, 0], "counters")


@case("N10 N22 peers come and go while they talk")
def _churn(w):
    end = w.end()
    end.handshake()
    end.alive()
    for i in range(20):
        other = w.end(100 + i)
        other.send(other.peer.initiation())
        if i % 2:
            other.receive(RESPONSE, 0.5 * ktap.SLOWNESS)
        refused(w.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(other.peer.public, flags=genl.REMOVE_ME)])), 0, "removal")
        end.alive()
    equal(len(w.netlink.device("wg0")[1]), 1, "peers left")
