#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""flood_sender.py NAMESPACE ADDRESS PORT PUBLIC KIND SECONDS: as many messages as can be sent.

KIND is what goes out, from addresses that change with every packet:
    initiations   right mac1, nothing else; half of them singly, half in trains
    junk          like these, with a wrong mac1
    data:INDEX    data messages to that receiver index
Says when it has begun; ends after SECONDS, or when its standard input does. Then prints one line of
JSON: messages and packets sent, addresses, and what came back, by type. The namespace must take
198.18.0.0/16 and 2001:db8:f000::/36 for its own.
"""

import contextlib
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time

import netns
from wgcrypto import blake2s, mac

SOL_UDP, UDP_SEGMENT, IP_PKTINFO, IPV6_PKTINFO, IPV6_FREEBIND, SO_RCVBUFFORCE = 17, 103, 8, 50, 78, 33
PREPARED, TRAIN = 1024, 20


def prepare(kind, public):
    key = blake2s(b"mac1----", public)
    for number in range(PREPARED):
        if kind.startswith("data:"):
            yield struct.pack("<IIQ", 4, int(kind[5:]), number) + os.urandom(132)
        else:
            body = struct.pack("<II", 1, number) + os.urandom(108)
            yield body + (mac(key, body) if kind == "initiations" else os.urandom(16)) + bytes(16)


def control(six, number):
    """The source address of the packet with that number: another IPv4 address or IPv6 /64 each time."""
    spread = number * 40503 & 0xFFFF
    if six:
        address = b"\x20\x01\x0d\xb8\xf0" + struct.pack(">H", spread) + bytes(9)
        return [(socket.IPPROTO_IPV6, IPV6_PKTINFO, address + struct.pack("=I", 0))]
    return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I", 0) + bytes([198, 18]) + struct.pack(">H", spread) + bytes(4))]


def main(namespace, address, port, public, kind, seconds):
    six = ":" in address
    messages = list(prepare(kind, bytes.fromhex(public)))
    trains = [b"".join(messages[at:at + TRAIN]) for at in range(0, PREPARED - TRAIN, TRAIN)]
    segment = (SOL_UDP, UDP_SEGMENT, struct.pack("=H", 148))
    sock = netns.sock(namespace, socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    if six:
        # Else a source must be an address of an interface, not only of a route.
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    sock.bind(("::" if six else "0.0.0.0", 7777))
    sock.setblocking(False)
    to, got = (address, int(port)), {}
    sent = packets = 0

    def receive(most):
        with contextlib.suppress(BlockingIOError):
            for _ in range(most):
                message = sock.recv(2048)
                got[message[0]] = got.get(message[0], 0) + 1

    end, over = time.monotonic() + float(seconds), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    for number in itertools.count():
        with contextlib.suppress(OSError):
            if number % 2:
                sock.sendmsg([messages[number % PREPARED]], control(six, number), 0, to)
                sent += 1
            else:
                sock.sendmsg([trains[number // 2 % len(trains)]], control(six, number) + [segment], 0, to)
                sent += TRAIN
            packets += 1
            if packets == 50:
                print("begun", flush=True)
        if number % 16 == 0:
            receive(64)
            if over.is_set() or time.monotonic() > end:
                break
    time.sleep(1)
    receive(1 << 20)
    print(json.dumps({"sent": sent, "packets": packets, "addresses": min(packets, 65536), "answers": got}))


if __name__ == "__main__":
    main(*sys.argv[1:7])
