# SPDX-License-Identifier: GPL-2.0
"""The data that goes through a tunnel: an end's part of each transfer.

Both ends make the same bytes from the same seed, so a receiver can judge alone.
"""

import base64
import hashlib
import os
import random
import socket
import struct
import threading
import time

from wgcrypto import blake2s, mac

SLOWNESS = int(os.environ.get("TEST_SLOWNESS", "1"))
LIMIT = 120.0 * SLOWNESS
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
UDP_SEGMENT, UDP_GRO = 103, 104
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2
POOL = 1 << 18


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def seeded(seed, count):
    return random.Random(seed).randbytes(count)


def datagram(pool, number, size):
    """Datagram `number` of a flow: it names itself, as far as its size allows."""
    start = number * 7919 % (POOL - size) if size < POOL else 0
    return (struct.pack(">I", number) + pool[start:start + size])[:size]


def connected(where, limit):
    """A TCP connection; tried again where the network says no for a while."""
    end = time.monotonic() + limit
    while True:
        try:
            return socket.create_connection(where, timeout=limit)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


class Flows:
    """Sockets of this end, by numbers that the other one may name."""

    def __init__(self):
        self.sockets = {}
        self.floods = {}

    def _keep(self, sock):
        self.sockets[sock.fileno()] = sock
        return sock.fileno()

    def forget_flows(self):
        for stop, thread, _ in self.floods.values():
            stop.set()
            thread.join()
        self.floods.clear()
        while self.sockets:
            _, sock = self.sockets.popitem()
            try:
                # What waits in another thread ends with it.
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    # ---- TCP ---------------------------------------------------------------

    def tcp_listen(self, address):
        """A listening socket: [its number, its port]."""
        sock = socket.create_server((address, 0), family=family(address))
        sock.settimeout(LIMIT)
        return [self._keep(sock), sock.getsockname()[1]]

    def tcp_move(self, where, seed, count, limit=LIMIT):
        """Sends `count` bytes and takes all that comes, at once.

        `where` is a listening socket's number or [address, port] to connect to.
        Result: SHA-256 sent, SHA-256 received, bytes received, seconds.
        """
        if isinstance(where, int):
            listener = self.sockets.pop(where)
            with listener:
                listener.settimeout(limit)
                conn, _ = listener.accept()
        else:
            conn = connected(tuple(where), limit)
        with conn:
            conn.settimeout(limit)
            data = seeded(seed, count)

            def push():
                conn.sendall(data)
                conn.shutdown(socket.SHUT_WR)

            began = time.monotonic()
            pusher = threading.Thread(target=push, daemon=True)
            pusher.start()
            digest, total = hashlib.sha256(), 0
            while True:
                chunk = conn.recv(1 << 17)
                if not chunk:
                    break
                digest.update(chunk)
                total += len(chunk)
            pusher.join(limit)
        return [hashlib.sha256(data).hexdigest(), digest.hexdigest(), total, time.monotonic() - began]

    # ---- UDP ---------------------------------------------------------------

    def udp_open(self, address, port=0, gro=False):
        """A datagram socket with much room: [its number, its port]."""
        sock = socket.socket(family(address), socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
        if gro:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        sock.bind((address, port))
        return [self._keep(sock), sock.getsockname()[1]]

    def udp_send(self, number, to, seed, count, size, segment=False, pause=0.002):
        """Datagrams of `size` bytes, 32 at a time; as one UDP GSO packet if `segment`."""
        sock, pool = self.sockets[number], seeded(seed, POOL)
        burst = min(32, 60000 // size) if segment else 32
        if segment:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        for at in range(0, count, burst):
            batch = [datagram(pool, i, size) for i in range(at, min(at + burst, count))]
            for message in [b"".join(batch)] if segment else batch:
                try:
                    sock.sendto(message, tuple(to))
                except OSError:
                    # As good as lost; the receiver's count will tell.
                    time.sleep(0.02)
            time.sleep(pause)

    def udp_collect(self, number, seed, count, size, quiet=3.0, limit=LIMIT):
        """Takes datagrams until all have come or none for a while.

        Result: how many different ones, twice, behind a later one, wrong ones.
        """
        sock, pool = self.sockets[number], seeded(seed, POOL)
        seen, again, late, wrong, last = set(), 0, 0, 0, -1
        end = time.monotonic() + limit
        sock.settimeout(LIMIT)
        while len(seen) < count and time.monotonic() < end:
            try:
                message, control, _, _ = sock.recvmsg(1 << 17, 64)
            except socket.timeout:
                break
            sock.settimeout(quiet * SLOWNESS)
            step = len(message)
            for _, kind, value in control:
                if kind == UDP_GRO:
                    step = struct.unpack("=i", value[:4])[0]
            for at in range(0, len(message), max(step, 1)):
                one = message[at:at + step]
                index = struct.unpack_from(">I", one)[0] if len(one) >= 4 else -1
                if not 0 <= index < count or one != datagram(pool, index, size):
                    wrong += 1
                elif index in seen:
                    again += 1
                else:
                    late += index < last
                    last = max(last, index)
                    seen.add(index)
        return [len(seen), again, late, wrong]

    def udp_echo(self, address):
        """A socket that returns every datagram: its port."""
        number, port = self.udp_open(address)
        sock = self.sockets[number]

        def loop():
            try:
                while True:
                    message, source = sock.recvfrom(1 << 17)
                    if not message and not source:
                        return
                    sock.sendto(message, source)
            except OSError:
                return

        threading.Thread(target=loop, daemon=True).start()
        return port

    def udp_sizes(self, source, to, sizes):
        """Each size once, unfragmented, and the same bytes back.

        Result: sizes that failed, sizes refused by the device, repetitions.
        """
        number, _ = self.udp_open(source)
        sock = self.sockets.pop(number)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
        pool, bad, refused, repeated = seeded(1, POOL), [], [], 0
        with sock:
            for size in sizes:
                message = datagram(pool, size, size)
                for _ in range(3):
                    try:
                        sock.sendto(message, tuple(to))
                    except OSError:
                        refused.append(size)
                        break
                    sock.settimeout(3.0 * SLOWNESS)
                    try:
                        # An answer to an earlier attempt is none to this one.
                        while True:
                            got = sock.recv(1 << 17)
                            if len(got) == size:
                                break
                    except socket.timeout:
                        repeated += 1
                        continue
                    if got != message:
                        bad.append(size)
                    break
                else:
                    bad.append(size)
        return [bad, refused, repeated]

    # ---- floods ------------------------------------------------------------

    def flood_start(self, public, source, to, burst=800, gap=0.05):
        """Initiations to `public` with a valid mac1 and nothing else, on and on."""
        target = base64.b64decode(public)
        key = blake2s(b"mac1----", target)
        messages = []
        for i in range(burst):
            body = struct.pack("<II", 1, i) + os.urandom(108)
            messages.append(body + mac(key, body) + bytes(16))
        blocks = [b"".join(messages[at:at + 100]) for at in range(0, burst, 100)]
        number, _ = self.udp_open(source)
        sock = self.sockets[number]
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 148)
        stop, sent = threading.Event(), [0]

        def loop():
            while not stop.is_set():
                for block in blocks:
                    try:
                        sock.sendto(block, tuple(to))
                        sent[0] += len(block) // 148
                    except OSError:
                        stop.wait(0.01)
                stop.wait(gap)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.floods[number] = (stop, thread, sent)
        return number

    def flood_stop(self, number):
        """Ends it: how many were sent."""
        stop, thread, sent = self.floods.pop(number)
        stop.set()
        thread.join()
        return sent[0]
