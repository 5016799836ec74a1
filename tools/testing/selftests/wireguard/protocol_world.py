# SPDX-License-Identifier: GPL-2.0
"""The surroundings of the protocol tests: one device of the driver and ends that we play."""

import contextlib
import os
import socket
import struct
import time

import genl
import wgpeer
from ktap import SLOWNESS, diag, equal, refused, run, true, wait_until
from wgcrypto import public_key

PORT = 51820
WAIT = 5.0 * SLOWNESS
QUIET = 0.4
IP_TOS, IP_RECVTOS, IPV6_TCLASS, IPV6_RECVTCLASS = 1, 13, 67, 66


class End:
    """One peer of the device, played by us from a UDP socket on a loopback address."""

    def __init__(self, world, number, source="127.0.0.1", psk=bytes(32), endpoint=False, private=None, **options):
        self.world, self.number = world, number
        self.inside, self.inside6 = f"10.77.0.{number}", f"fd77::{number}"
        self.peer = wgpeer.Peer(world.public, private, psk)
        self.sock = world.outside(source)
        self.device = ("::1" if ":" in source else "127.0.0.1", PORT)
        self.session = None
        self.next_echo = 1
        self.tos = None
        parts = []
        if any(psk):
            parts.append(genl.attr(genl.P_PSK, psk))
        if endpoint:
            parts.append(genl.attr(genl.P_ENDPOINT, world.sockaddr(self.sock)))
        if options.get("keepalive"):
            parts.append(genl.u16(genl.P_KEEPALIVE, options["keepalive"]))
        entry = genl.peer(self.peer.public, *parts, ips=[genl.allowed(self.inside, 32), genl.allowed(self.inside6, 128)])
        refused(world.netlink.set("wg0", genl.array(genl.PEERS, [entry])), 0, "adding a peer")

    def send(self, message, sock=None):
        (sock or self.sock).sendto(message, self.device)

    def receive(self, kind=None, timeout=WAIT):
        """The next message (of one type) to our socket, or None; keeps its TOS byte."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                message, control, _, _ = self.sock.recvmsg(65536, 128)
            except (socket.timeout, BlockingIOError):
                return None
            if kind is None or message[0] == kind:
                self.tos = control[0][2][0] if control else None
                return message

    def quiet(self, kind=None, timeout=QUIET):
        """Nothing (of that type) may come."""
        got = self.receive(kind, timeout)
        true(got is None, f"unexpected message of type {got and got[0]}")

    def drain(self):
        while self.receive(timeout=0.05) is not None:
            pass

    def handshake(self, confirm=True, **how):
        """A session with us as initiator."""
        sent, response, self.session = [], None, None
        for _ in range(5):
            self.send(self.peer.initiation(**how))
            sent.append((self.peer.state, self.peer.last_mac1))
            response = self.receive(wgpeer.RESPONSE, 1.0) or response
            # A slow device may answer an earlier one first, even one from before.
            for self.peer.state, self.peer.last_mac1 in reversed(sent):
                self.session = response and self.peer.finish(response)
                if self.session:
                    break
            if self.session:
                break
        true(response is not None, "a response to our initiation")
        true(self.session is not None, "a response that we understand")
        if confirm:
            self.send(self.session.seal())
        return self.session

    def answer(self, initiation=None):
        """A session with the device as initiator."""
        initiation = initiation or self.receive(wgpeer.INITIATION)
        true(initiation is not None, "an initiation from the device")
        found = self.peer.read(initiation)
        true(found is not None, "an initiation that we understand")
        response, self.session = self.peer.respond(found[1])
        self.send(response)
        return self.session

    def echo(self, session=None, counter=None, sock=None, **how):
        """Sends an echo request by a session, returns its number."""
        number, self.next_echo = self.next_echo, self.next_echo + 1
        packet = wgpeer.echo(self.inside, "10.77.0.1", number, **how)
        self.send((session or self.session).seal(packet, counter), sock)
        return number

    def replies(self, until, sessions=None, timeout=WAIT):
        """{number: session} of the echo replies up to the number `until`, in order of arrival."""
        found = {}
        while until not in found:
            message = self.receive(wgpeer.DATA, timeout)
            if message is None:
                break
            for session in sessions or [self.session]:
                opened = session.unseal(message)
                if opened and len(opened[1]) >= 28 and opened[1][9] == 1:
                    found[struct.unpack_from(">H", opened[1], 26)[0]] = session
        return found

    def alive(self, session=None, sessions=None, **how):
        """An echo request by `session` must be answered; returns the session of the reply."""
        number = self.echo(session, **how)
        found = self.replies(number, sessions or [session or self.session])
        if number not in found:
            self.world.explain()
        true(number in found, "an echo reply")
        return found[number]

    def accepted(self, session, counters, last):
        """Which of the counters the device accepts; `last` is one that it will."""
        numbers = {self.echo(session, counter): counter for counter in counters}
        end = self.echo(session, last)
        found = self.replies(end, [session])
        true(end in found, f"the message with counter {last} is accepted")
        return [numbers[n] for n in found if n in numbers]

    def fields(self):
        for entry, _ in self.world.netlink.device("wg0")[1]:
            if genl.get(entry, genl.P_PUBLIC_KEY) == self.peer.public:
                return entry
        raise AssertionError("our peer is gone")

    def bytes(self):
        """(received, transmitted) as the device counts for us."""
        entry = self.fields()
        return tuple(struct.unpack("=Q", genl.get(entry, kind))[0] for kind in (genl.P_RX_BYTES, genl.P_TX_BYTES))

    def handshake_time(self):
        return struct.unpack_from("=q", genl.get(self.fields(), genl.P_LAST_HANDSHAKE))[0]

    def endpoint(self):
        raw = genl.get(self.fields(), genl.P_ENDPOINT)
        return raw and struct.unpack_from(">H", raw, 2)[0]


class World:
    """wg0, 10.77.0.1/24 and fd77::1/64, listening on PORT, without a peer."""

    def __init__(self):
        self.netlink = genl.Client()
        self.private = os.urandom(32)
        self.public = public_key(self.private)
        self.sockets = []
        refused(self.netlink.set("wg0", genl.attr(genl.PRIVATE_KEY, self.private), genl.u16(genl.LISTEN_PORT, PORT)), 0, "setup")
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "wg0")
        run("ip", "addr", "add", "fd77::1/64", "dev", "wg0", "nodad")
        run("ip", "link", "set", "wg0", "up")

    def outside(self, source="127.0.0.1", port=0):
        """A UDP socket of our own, that also tells the TOS of what comes."""
        six = ":" in source
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        sock.bind((source, port))
        self.sockets.append(sock)
        return sock

    def sockaddr(self, sock):
        host, port = sock.getsockname()[:2]
        if sock.family == socket.AF_INET6:
            return struct.pack("=H", 10) + struct.pack(">HI", port, 0) + socket.inet_pton(10, host) + bytes(4)
        return struct.pack("=H", 2) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)

    def inner(self, port=9, family=socket.AF_INET):
        """A UDP socket on the inside address, which swallows what comes."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
        sock.bind(("10.77.0.1" if family == socket.AF_INET else "fd77::1", port))
        sock.settimeout(WAIT)
        self.sockets.append(sock)
        return sock

    def explain(self):
        """What the system knows of packets that did not come."""
        diag({name: count for name, count in self.counters().items() if count})
        for command in (("nstat", "-as"), ("ip", "-s", "link", "show", "wg0"), ("ss", "-uamn"), ("cat", "/proc/net/softnet_stat")):
            diag(run(*command, check=False).strip())

    def end(self, number=2, **options):
        return End(self, number, **options)

    def stat(self, name):
        with open("/sys/class/net/wg0/statistics/" + name, encoding="ascii") as value:
            return int(value.read())

    def stats(self, *names):
        return [self.stat(n) for n in names]

    def counters(self):
        """All that `ethtool -S` tells of the device."""
        out = {}
        for line in run("ethtool", "-S", "wg0", check=False).splitlines():
            name, _, value = line.strip().rpartition(": ")
            if value.isdigit():
                out[name] = int(value)
        return out

    def expect(self, names, values, what):
        """Counters soon have these values, and keep to them."""
        with contextlib.suppress(AssertionError):
            wait_until(2, lambda: self.stats(*names) == values, what)
        equal(dict(zip(names, self.stats(*names))), dict(zip(names, values)), what)

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.netlink.close()


@contextlib.contextmanager
def world():
    """A fresh World around each case."""
    run("ip", "link", "del", "wg0", check=False)
    run("ip", "link", "add", "wg0", "type", "wireguard")
    made = World()
    try:
        yield made
    finally:
        made.close()
        run("ip", "link", "del", "wg0", check=False)
