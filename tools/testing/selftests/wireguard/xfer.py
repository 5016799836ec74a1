#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Moves random bytes both ways between two network namespaces and compares SHA-256.

    xfer.py --from NS --to NS --dst ADDRESS [--back ADDRESS] [--bytes N] [--one-way]
            [--udp COUNT --size N]

One TCP connection, N bytes each way at once or one way, digests compared. With --udp then
COUNT datagrams each way; every one that arrives must be one that was sent, in
order and unchanged, and at least --percent of them must arrive. With --back all
this once more, from the other namespace to an address of the first one.
"""

import argparse
import hashlib
import os
import socket
import sys
import threading
import time

import netns

LIMIT = 60.0 * int(os.environ.get("TEST_SLOWNESS", "1"))


def push(conn, data):
    conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)


def pull(conn, out):
    digest, total = hashlib.sha256(), 0
    while True:
        chunk = conn.recv(1 << 17)
        if not chunk:
            break
        digest.update(chunk)
        total += len(chunk)
    out.append((total, digest.hexdigest()))


def tcp(args):
    fam = netns.family(args.dst)
    listener = netns.sock(args.to_ns, fam, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.settimeout(LIMIT)
    listener.bind((args.dst, args.port))
    listener.listen()
    near = netns.sock(args.from_ns, fam, socket.SOCK_STREAM)
    near.settimeout(LIMIT)
    near.connect((args.dst, args.port))
    far, _ = listener.accept()
    far.settimeout(LIMIT)
    back = 0 if args.one_way else args.bytes
    data = [os.urandom(args.bytes), os.urandom(back)]
    got = [[], []]
    threads = [
        threading.Thread(target=push, args=(near, data[0]), daemon=True),
        threading.Thread(target=push, args=(far, data[1]), daemon=True),
        threading.Thread(target=pull, args=(far, got[0]), daemon=True),
        threading.Thread(target=pull, args=(near, got[1]), daemon=True),
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    took = time.monotonic() - began
    for i, way in enumerate(("forth", "back")):
        want = (len(data[i]), hashlib.sha256(data[i]).hexdigest())
        if not got[i] or got[i][0] != want:
            print(f"# {way}: sent {want}, received {got[i]}")
            return 1
    print(f"# tcp {args.dst}: {args.bytes} bytes, {back} back, SHA-256 equal, {took:.2f} s")
    return 0


def burst(args, sender, receiver, to, way):
    """A burst of datagrams of varying size from one socket to the other."""
    datagrams = [
        i.to_bytes(4, "big") + os.urandom(max(0, (args.size if i % 2 else 1 + i % args.size) - 4))
        for i in range(args.udp)
    ]
    good, last = 0, -1
    receiver.settimeout(2.0)
    for i, datagram in enumerate(datagrams):
        sender.sendto(datagram, to)
        # A window of datagrams in flight: the receive buffer must not be the limit.
        if i - last > 48 or i == args.udp - 1:
            while last < i:
                try:
                    got = receiver.recv(1 << 16)
                except socket.timeout:
                    break
                number = int.from_bytes(got[:4], "big")
                if number <= last or number >= len(datagrams) or got != datagrams[number]:
                    print(f"# udp {way}: datagram {number} after {last} wrong or out of order")
                    return 1
                good, last = good + 1, number
            last = max(last, i)
    if good * 100 < args.udp * args.percent:
        print(f"# udp {way}: only {good} of {args.udp} arrived")
        return 1
    return 0


def udp(args):
    fam = netns.family(args.dst)
    far = netns.sock(args.to_ns, fam, socket.SOCK_DGRAM)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    far.bind((args.dst, args.port))
    near = netns.sock(args.from_ns, fam, socket.SOCK_DGRAM)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    near.sendto(b"hello", (args.dst, args.port))
    far.settimeout(10.0)
    _, back = far.recvfrom(1 << 16)
    return burst(args, near, far, (args.dst, args.port), "forth") or burst(
        args, far, near, back, "back"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="from_ns")
    parser.add_argument("--to", dest="to_ns")
    parser.add_argument("--dst", required=True)
    parser.add_argument("--back")
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--port", type=int, default=4711)
    parser.add_argument("--bytes", type=int, default=1 << 20)
    parser.add_argument("--udp", type=int, default=0)
    parser.add_argument("--size", type=int, default=1300)
    parser.add_argument("--percent", type=int, default=95)
    args = parser.parse_args()
    # A sender that moves to another CPU overtakes itself on a veth pair, with or without a tunnel.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    failed = tcp(args) or (args.udp and udp(args))
    if args.back and not failed:
        args.from_ns, args.to_ns, args.dst = args.to_ns, args.from_ns, args.back
        failed = tcp(args) or (args.udp and udp(args))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
