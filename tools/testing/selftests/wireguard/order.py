#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One UDP flow as fast as one CPU can send it, in order; a slow second one beside it.

    order.py --from NS --to NS --dst ADDRESS [--seconds S] [--hog first|last] [--bursts | --starts]

The first flow alternates between large sends that the kernel cuts into datagrams
(UDP_SEGMENT) and small datagrams, all numbered. The second sends a small datagram
each 10 ms. Datagrams may be lost; none may come after one of its own flow that was
sent later. With --hog somebody keeps the first CPU busy, or the last one, so that
others wait for it. With --bursts the first flow is of small datagrams only, some
dozens and a short pause in turn. With --starts it sends for some ticks of the clock,
and then nothing for so long that it counts as new. Prints "order BULK SLOW": how many
came of either.
"""

import argparse
import os
import random
import select
import socket
import struct
import sys
import threading
import time

import netns

UDP_SEGMENT = 103
FULL = 1300
NUMBER = struct.Struct(">I")


def send_all(near, stop, sending=None, pause=0):
    """Numbered datagrams: thirty in one call, then three small ones, again and again."""
    number = 0
    rest = bytes(FULL - NUMBER.size)
    began = time.monotonic()
    while not stop.is_set():
        if sending and time.monotonic() - began > sending:
            time.sleep(pause)
            began = time.monotonic()
        train = b"".join(NUMBER.pack(number + i) + rest for i in range(30))
        near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, FULL)
        number += 30
        parts = [train] + [NUMBER.pack(number + i) + b"small" for i in range(3)]
        number += 3
        for i, part in enumerate(parts):
            if i == 1:
                near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 0)
            try:
                near.send(part)
            except BlockingIOError:
                select.select([], [near], [], 0.1)
            except OSError:
                pass


def send_bursts(near, stop):
    """Bursts of numbered small datagrams, none so long that the receiver has no room for it."""
    number = 0
    while not stop.is_set():
        for _ in range(random.randrange(33, 400)):
            try:
                near.send(NUMBER.pack(number) + b"small")
            except OSError:
                select.select([], [near], [], 0.1)
            number += 1
        time.sleep(random.uniform(0.001, 0.01))


def send_starts(near, stop):
    """The same, with pauses."""
    send_all(near, stop, 0.05, 0.25)


def receive(far, name, ends, counts):
    """Takes what comes until `ends`; the numbers must rise."""
    last = -1
    while time.monotonic() < ends:
        if not select.select([far], [], [], 0.2)[0]:
            continue
        number = NUMBER.unpack_from(far.recv(1 << 16))[0]
        if number <= last:
            print(f"# {name}: datagram {number} came after {last}")
            counts[name] = -1
            return
        last = number
        counts[name] = counts.get(name, 0) + 1


def pair(args, port):
    family = netns.family(args.dst)
    far = netns.sock(args.to_ns, family, socket.SOCK_DGRAM)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    far.bind((args.dst, port))
    near = netns.sock(args.from_ns, family, socket.SOCK_DGRAM)
    near.connect((args.dst, port))
    return near, far


def keep_busy(ends, others_wait):
    """Uses this CPU until `ends`; `others_wait`: so that no other task runs for 150 ms at a time."""
    if not others_wait:
        os.nice(-19)
        while time.monotonic() < ends:
            pass
        return
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while (now := time.monotonic()) < ends:
        while time.monotonic() < now + 0.15:
            pass
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="from_ns", required=True)
    parser.add_argument("--to", dest="to_ns", required=True)
    parser.add_argument("--dst", required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--hog", choices=("first", "last"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--bursts", dest="send", action="store_const", const=send_bursts)
    how.add_argument("--starts", dest="send", action="store_const", const=send_starts)
    parser.set_defaults(send=send_all)
    args = parser.parse_args()
    bulk, slow = pair(args, 4711), pair(args, 4712)
    bulk[0].setblocking(False)
    stop, counts = threading.Event(), {}
    ends = time.monotonic() + args.seconds
    receivers = [
        threading.Thread(target=receive, args=(ends_of[1], name, ends + 1, counts))
        for name, ends_of in (("bulk", bulk), ("slow", slow))
    ]
    first, last = {min(os.sched_getaffinity(0))}, {max(os.sched_getaffinity(0))}
    hog = {"first": first, "last": last}.get(args.hog)
    sender = os.fork()
    if sender == 0:
        # Who moves to another CPU may overtake himself on a veth pair, without a tunnel as well.
        os.sched_setaffinity(0, last if hog == first else first)
        threading.Timer(args.seconds, stop.set).start()
        args.send(bulk[0], stop)
        os._exit(0)
    if hog and os.fork() == 0:
        os.sched_setaffinity(0, hog)
        keep_busy(ends, args.hog == "last")
        os._exit(0)
    # Beside somebody that busy a slow sender is none at all.
    os.sched_setaffinity(0, os.sched_getaffinity(0) - hog if hog else last)
    for thread in receivers:
        thread.start()
    number = 0
    while time.monotonic() < ends:
        slow[0].send(NUMBER.pack(number))
        number += 1
        time.sleep(0.01)
    os.waitpid(sender, 0)
    for thread in receivers:
        thread.join()
    print("order", counts.get("bulk", 0), counts.get("slow", 0))
    sys.exit(0 if min(counts.values(), default=-1) >= 0 else 1)


if __name__ == "__main__":
    main()
