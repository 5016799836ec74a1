#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Small probes that a shell cannot make: exact errno values and ICMP answers.

    probe.py udp NS DESTINATION [COUNT]    sends datagrams, prints the outcome of the
                                           last one and the ICMP error that follows
    probe.py raw NS IF PROTOCOL HEX        sends a packet by AF_PACKET, prints the outcome
    probe.py dgram NS IF HEX               the same, the kernel derives the protocol
    probe.py bound NS ADDRESS PORT         binds a UDP socket and holds it until killed
"""

import errno
import select
import socket
import struct
import sys
import time

import netns

IP_RECVERR, IPV6_RECVERR = 11, 25


def outcome(call):
    """`ok`, or the name of the error that `call` raised."""
    try:
        call()
        return "ok"
    except OSError as err:
        return errno.errorcode.get(err.errno, str(err.errno))


def icmp_error(sock, seconds):
    """`icmp TYPE CODE` from the error queue of a UDP socket, or `none`."""
    poll = select.poll()
    poll.register(sock, 0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        poll.poll(100)
        try:
            _, control, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            continue
        for _, kind, data in control:
            if kind in (IP_RECVERR, IPV6_RECVERR):
                _, origin, icmp_type, code = struct.unpack_from("=IBBB", data)
                if origin in (2, 3):
                    return f"icmp {icmp_type} {code}"
    return "none"


def udp(name, dst, count="1"):
    fam = netns.family(dst)
    sock = netns.sock(name, fam, socket.SOCK_DGRAM)
    if fam == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    sock.setblocking(False)
    result = "ok"
    for _ in range(int(count)):
        result = outcome(lambda: sock.sendto(b"x" * 32, (dst, 9)))
    print(result, icmp_error(sock, 2.0 if result != "ok" else 0.2))


def raw(name, dev, protocol, packet):
    sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    data = bytes.fromhex(packet)
    print(outcome(lambda: sock.sendto(data, (dev, int(protocol, 0)))))


def dgram(name, dev, packet):
    sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_RAW, 0)
    data = bytes.fromhex(packet)
    print(outcome(lambda: sock.sendto(data, (dev, 0))))


def bound(name, address, port):
    sock = netns.sock(name, netns.family(address), socket.SOCK_DGRAM)
    sock.bind((address, int(port)))
    print("bound", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    {"udp": udp, "raw": raw, "dgram": dgram, "bound": bound}[sys.argv[1]](*sys.argv[2:])
