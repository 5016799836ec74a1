#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""blast.py FROM TO ADDRESS: endless traffic from namespace FROM to ADDRESS in TO, until killed.

TCP streams, UDP in large packets to be segmented, and single small packets; nothing that goes wrong
ends it. For tests that take the ground away from under traffic.
"""

import contextlib
import socket
import sys
import threading
import time

from netns import family, sock

PORT, UDP_SEGMENT = 4991, 103
# So much that there is always something under way, and others still get the CPU.
PAUSE = 0.02


def listen(namespace, fam):
    with sock(namespace, fam, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::" if fam == socket.AF_INET6 else "0.0.0.0", PORT))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=drain, args=(connection,), daemon=True).start()


def drain(connection):
    connection.settimeout(10)
    with contextlib.suppress(OSError):
        while connection.recv(1 << 18):
            pass
    connection.close()


def streams(namespace, address):
    block = bytes(1 << 16)
    while True:
        with contextlib.suppress(OSError), sock(namespace, family(address), socket.SOCK_STREAM) as out:
            out.settimeout(1)
            out.connect((address, PORT))
            while True:
                out.sendall(block)
                time.sleep(PAUSE)
        time.sleep(0.02)


def datagrams(namespace, address):
    large, small = bytes(1200 * 20), bytes(60)
    while True:
        with contextlib.suppress(OSError), sock(namespace, family(address), socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
            while True:
                out.sendto(large, (address, 9))
                for _ in range(10):
                    out.sendto(small, (address, 9))
                time.sleep(PAUSE)
        time.sleep(0.02)


def main(source, to, address):
    for work, args in ((listen, (to, family(address))), (streams, (source, address)), (datagrams, (source, address))):
        threading.Thread(target=work, args=args, daemon=True).start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:4])
