#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Large sends through a tunnel, and the order in which its messages leave and arrive.

    pour.py --from NS --to NS --dst ADDRESS --dev IF [--senders N] [--bursts N] [--calls N]

Each sender sends bursts of UDP datagrams, 48 with one call (UDP_SEGMENT), up to
--calls calls in each. A packet socket on IF, the device below the tunnel in --from,
sees the outer packets in the order in which they leave, trains whole. The counters of
the data messages to one receiver must rise by one, but for what that socket had no
room for. The next burst begins a little after the last one has left, all of it, and
nothing else is sent meanwhile: what is left behind in the tunnel stays there and fails
the run. What arrives of one sender, which stays on one CPU, must be in order as well.
Prints "pour MESSAGES RECEIVED": messages seen, datagrams that arrived; -1 for what
was not as it should be.
"""

import argparse
import os
import random
import socket
import struct
import sys
import threading
import time

import netns

SLOWNESS = int(os.environ.get("TEST_SLOWNESS", "1"))
UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
FULL = 1300
SEGMENTS = 48
PORT = 4713
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
VNET = struct.Struct("=BBHHHH")
NUMBER = struct.Struct(">II")
MOST_IN_TRAIN = 64


def messages(frame):
    """(receiver, counter) of the data messages in an outer packet behind its virtio header."""
    size = VNET.unpack_from(frame)[3]
    at = VNET.size + 14
    kind = struct.unpack_from(">H", frame, at - 2)[0]
    if kind == 0x0800 and frame[at + 9] == 17:
        at += (frame[at] & 15) * 4
    elif kind == 0x86DD and frame[at + 6] == 17:
        at += 40
    else:
        return
    end = at + struct.unpack_from(">H", frame, at + 4)[0]
    at += 8
    size = size or end - at
    while at + 32 <= min(end, len(frame)):
        if frame[at] == 4:
            yield struct.unpack_from("<IQ", frame, at + 4)
        at += size


class Watch(threading.Thread):
    """Judges the order of what leaves."""

    def __init__(self, name, dev):
        super().__init__()
        self.sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        self.sock.bind((dev, ETH_P_ALL))
        self.sock.settimeout(0.5)
        self.seen = self.missed = self.disorder = 0
        self.ends = threading.Event()

    def run(self):
        last, buffer = {}, bytearray(1 << 17)
        while True:
            try:
                size, address = self.sock.recvfrom_into(buffer)
            except TimeoutError:
                if self.ends.is_set():
                    return
                continue
            if address[2] == PACKET_OUTGOING:
                for receiver, counter in messages(memoryview(buffer)[:size]):
                    self.note(last.get(receiver), counter)
                    last[receiver] = counter

    def note(self, last, counter):
        self.seen += 1
        if last is not None and counter <= last:
            self.disorder += 1
            if self.disorder <= 5:
                print(f"# counter {counter} left after {last}")
        elif last is not None:
            self.missed += counter - last - 1

    def left(self):
        """Messages that have left, seen or not."""
        return self.seen + self.missed

    def is_good(self):
        self.ends.set()
        self.join()
        dropped = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        if self.missed > dropped * MOST_IN_TRAIN:
            print(f"# {self.missed} counters never left, {dropped} packets were not seen")
        return not self.disorder and self.missed <= dropped * MOST_IN_TRAIN


def send(near, go, calls, pinned):
    """Sends a burst for each byte read: a datagram begins with the numbers of its burst and in that."""
    if pinned:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, FULL)
    rest = bytes(FULL - NUMBER.size)
    burst = 0
    while count := os.read(go, 1):
        for call in range(count[0]):
            near.send(b"".join(NUMBER.pack(burst, call * SEGMENTS + i) + rest for i in range(SEGMENTS)))
        burst += 1


class Receive(threading.Thread):
    """Takes what arrives until it ends."""

    def __init__(self, far, in_order):
        super().__init__()
        self.far, self.in_order = far, in_order
        self.count, self.late = 0, 0
        self.ends = threading.Event()
        far.settimeout(0.5)

    def run(self):
        last, buffer = (0, -1), bytearray(1 << 16)
        while True:
            try:
                self.far.recv_into(buffer)
            except TimeoutError:
                if self.ends.is_set():
                    return
                continue
            number = NUMBER.unpack_from(buffer)
            self.count += 1
            if self.in_order and number <= last:
                self.late += 1
                if self.late <= 5:
                    print(f"# datagram {number} arrived after {last}")
            last = number

    def finish(self):
        """How many came; -1: not in order."""
        self.ends.set()
        self.join()
        return -1 if self.late else self.count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="from_ns", required=True)
    parser.add_argument("--to", dest="to_ns", required=True)
    parser.add_argument("--dst", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--bursts", type=int, default=50)
    parser.add_argument("--calls", type=int, default=16)
    args = parser.parse_args()
    family = netns.family(args.dst)
    far = netns.sock(args.to_ns, family, socket.SOCK_DGRAM)
    far.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    far.bind((args.dst, PORT))
    watch = Watch(args.from_ns, args.dev)
    pipes = []
    for _ in range(args.senders):
        near = netns.sock(args.from_ns, family, socket.SOCK_DGRAM)
        near.connect((args.dst, PORT))
        read, write = os.pipe()
        if os.fork() == 0:
            for other in pipes + [write]:
                os.close(other)
            send(near, read, args.calls, args.senders == 1)
            os._exit(0)
        os.close(read)
        pipes.append(write)
    receiver = Receive(far, args.senders == 1)
    for thread in (watch, receiver):
        thread.start()
    sent, whole = 0, True
    while whole and args.bursts:
        args.bursts -= 1
        calls = [random.randint(1, args.calls) for _ in pipes]
        for pipe, count in zip(pipes, calls):
            os.write(pipe, bytes([count]))
        sent += sum(calls) * SEGMENTS
        began = time.monotonic()
        while watch.left() < sent and time.monotonic() < began + 10 * SLOWNESS:
            time.sleep(0.002)
        whole = watch.left() >= sent
        # Helpers are called where CPUs have time to spare.
        time.sleep(min(0.005 + (time.monotonic() - began) / 2, 0.1))
    if not whole:
        print(f"# {watch.left()} messages of {sent} left")
    for pipe in pipes:
        os.close(pipe)
    good = watch.is_good() and whole
    received = receiver.finish()
    print("pour", watch.seen if good else -1, received)
    sys.exit(0 if good and received >= 0 else 1)


if __name__ == "__main__":
    main()
