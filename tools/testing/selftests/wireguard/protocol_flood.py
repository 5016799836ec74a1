# SPDX-License-Identifier: GPL-2.0
"""Putting the device under load, so that it asks for cookies."""

import os
import socket
import struct
from functools import partial

from ktap import SLOWNESS, equal, true
from protocol_world import PORT
from wgcrypto import blake2s, mac
from wgpeer import COOKIE, INITIATION

UDP_SEGMENT = 103
FLOOD = 1600
# More than the 512 that have to wait for the device to be under load.
BEHIND_IT = 700
# Seconds for the answer to what stands in a flood.
PATIENCE = 3.0 * SLOWNESS


def flood(w, source="127.0.0.66", count=FLOOD, within=None):
    """Puts the device under load: initiations with a valid mac1 and nothing else.

    Sent as large UDP segments, hence faster than a device can look at them.
    What `within()` sends stands before as many more as are a load by themselves,
    so that it is looked at under load, however long one message takes.
    """
    key = blake2s(b"mac1----", w.public)
    messages = []
    for i in range(count + (BEHIND_IT if within else 0)):
        body = struct.pack("<II", INITIATION, i) + os.urandom(108)
        messages.append(body + mac(key, body) + bytes(16))
    sock = w.outside(source)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 148)
    for at in range(0, len(messages), 100):
        if at == count:
            within()
        sock.sendto(b"".join(messages[at:at + 100]), ("127.0.0.1", PORT))


def cookie_under_load(end, w):
    """A cookie for `end`: repeats until the device denies an initiation of ours."""
    for _ in range(6):
        ready = end.peer.initiation()
        flood(w, within=partial(end.send, ready))
        reply = end.receive(COOKIE, PATIENCE)
        # One to an earlier initiation is of no use any more.
        while reply and reply[4:8] != ready[4:8]:
            reply = end.receive(COOKIE, PATIENCE)
        if reply:
            cookie = end.peer.read_cookie(reply)
            true(cookie is not None, "a cookie reply that we understand")
            equal(len(reply), 64, "size of the cookie reply")
            return cookie
        end.drain()
    raise AssertionError("no cookie reply under load")
