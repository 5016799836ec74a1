# SPDX-License-Identifier: GPL-2.0
"""Messages made with the right keys, then damaged, mixed up, repeated and sent in trains, while the
configuration changes; and an honest peer that must always get through."""

import contextlib
import os
import socket
import struct
import time

import genl
import ktap
import wgpeer
from dice import Dice, seconds, seed
from genl import PEERS
from ktap import SLOWNESS, case, diag, ours, refused, run, true
from protocol_world import PORT
from wgcrypto import public_key
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE

SOL_UDP, UDP_SEGMENT = 17, 103
POOL = 300
CHECK_EVERY = 150
# However slow the machine is: so that every kind of step has its turn.
FEWEST = 450
# What reads the driver's debug lines meanwhile; set by fuzz_cases.py.
objects = None


class Honest:
    """A peer that keeps to the protocol, cookies included."""

    def __init__(self, world):
        self.end = world.end(2)
        self.cookie, self.handshakes = None, 0

    def session(self):
        end = self.end
        end.send(end.peer.initiation(cookie=self.cookie))
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            message = end.receive(timeout=0.5)
            if message and message[0] == RESPONSE:
                made = end.peer.finish(message)
                if made:
                    end.session = made
                    end.send(made.seal())
                    self.handshakes += 1
                    return True
            elif message and message[0] == COOKIE:
                self.cookie = end.peer.read_cookie(message) or self.cookie
                return False
        return False

    def works(self, text):
        """Gets an echo through, by a new session if the old one is gone."""
        end, until = self.end, time.monotonic() + 30 * SLOWNESS
        while True:
            if end.session:
                number = end.echo()
                end.next_echo = end.next_echo % 60000 + 1
                if number in end.replies(number, timeout=1.0):
                    return
            true(time.monotonic() < until, f"the honest peer gets through, {text}")
            self.session()


class Victim:
    """A peer by whose keys hostile messages are made."""

    def __init__(self, world, number, source, psk=bytes(32)):
        self.end = world.end(number, source=source, psk=psk, endpoint=True)
        self.sessions, self.states, self.cookie, self.denied = [], [], None, None

    def read(self):
        """Takes in what the device sent, as far as it helps to make more."""
        end = self.end
        for _ in range(50):
            message = end.receive(timeout=0.0005)
            if message is None:
                return
            if message[0] == INITIATION:
                found = end.peer.read(message)
                self.denied = message
                if found:
                    self.states = self.states[-2:] + [found[1]]
            elif message[0] == RESPONSE and end.peer.state:
                made = end.peer.finish(message)
                if made:
                    self.sessions = self.sessions[-3:] + [made]
            elif message[0] == COOKIE and end.peer.last_mac1:
                self.cookie = end.peer.read_cookie(message) or self.cookie


class Fuzzer:
    def __init__(self, world, dice, peers):
        self.w, self.d = world, dice
        self.pool, self.count, self.made = [], {}, 0
        self.victims = [Victim(world, 10, "127.0.0.10"), Victim(world, 11, "127.0.0.11", dice.bytes(32)), Victim(world, 12, "::1")]
        self.peers = peers
        self.elsewhere = [world.outside("127.0.0.99"), world.outside("127.0.0.98"), world.outside("::1")]
        self.inner = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)]
        self.port, self.up = PORT, True

    # ---- messages -----------------------------------------------------------

    def packet(self, victim):
        """An inner packet, proper or not."""
        d, end = self.d, victim.end
        size = d.pick([0, 1, 8, 100, 500, 1300]) + d.below(20)
        how = d.below(9)
        if how == 8:
            return wgpeer.echo(d.pick(self.victims).end.inside, "10.77.0.1", 1)
        if how < 2:
            return wgpeer.echo(end.inside, "10.77.0.1", d.below(65536), body=bytes(size))
        if how == 2:
            return wgpeer.udp(end.inside6, "fd77::1", d.below(65536), d.below(65536), bytes(size))
        if how == 3:
            return wgpeer.ipv4(end.inside, "10.77.0.1", d.below(256), bytes(size), d.below(256), length=d.number(16))
        if how == 4:
            return wgpeer.ipv6(end.inside6, "fd77::1", d.below(256), bytes(size), d.below(256), length=d.number(16))
        if how == 5:
            return b""
        if how == 6:
            return bytes([d.pick([0x45, 0x60, 0x4F, 0x40, d.below(256)])]) + d.bytes(d.below(60))
        return self.damage(wgpeer.udp(end.inside, "10.77.0.1", 9, 9, bytes(size)))

    def data(self, victim):
        d = self.d
        if not victim.sessions:
            return struct.pack("<IIQ", DATA, d.number(32), d.number(64)) + d.bytes(d.below(80))
        session = victim.sessions[-1] if d.chance(0.8) else d.pick(victim.sessions)
        counter = None
        if d.chance(0.3):
            # Around the window; rarely far away, which ends the session's use.
            counter = max(session.counter + d.pick([-8130, -8129, -8128, -8127, -64, -1, 0, 1, 63, 64, 65, 1000]), 0)
            if d.chance(0.03):
                counter = d.number(64)
            session.counter = max(session.counter, counter + 1) if counter < 1 << 32 else session.counter
        return session.seal(self.packet(victim), counter, pad=d.chance(0.8))

    def fresh(self):
        """A message such as a peer would send, or nearly."""
        d, victim = self.d, self.d.pick(self.victims)
        peer = victim.end.peer
        kind = d.weighted([(2, INITIATION), (2, RESPONSE), (1, COOKIE), (10, DATA)])
        if kind == INITIATION:
            return victim, peer.initiation(cookie=victim.cookie if d.chance(0.7) else d.bytes(16),
                                           stamp=wgpeer.tai64n(d.number(60)) if d.chance(0.1) else None)
        if kind == RESPONSE and victim.states:
            message, session = peer.respond(d.pick(victim.states), victim.cookie)
            victim.sessions = victim.sessions[-3:] + [session]
            return victim, message
        if kind == COOKIE and victim.denied:
            return victim, peer.cookie_reply(victim.denied, d.bytes(16))
        return victim, self.data(victim)

    def damage(self, message):
        d, out = self.d, bytearray(message)
        for _ in range(1 + d.below(3)):
            how = d.below(10)
            if how == 0:
                out = out[:d.below(len(out) + 1)]
            elif how == 1:
                out += d.bytes(1 + d.below(40))
            elif how == 2 and out:
                out[d.below(len(out))] = d.below(256)
            elif how == 3 and len(out) >= 4:
                out[:4] = struct.pack("<I", d.pick([1, 2, 3, 4, 0, 5, 0x101, d.number(32)]))
            elif how == 4 and len(out) >= 8:
                out[4:8] = struct.pack("<I", d.number(32))
            elif how == 5 and len(out) >= 16:
                out[8:16] = struct.pack("<Q", d.number(64))
            elif how == 6 and self.pool:
                # The head of one, the tail of another.
                other, at = d.pick(self.pool)[1], d.below(len(out) + 1)
                out = out[:at] + other[at:]
            elif how == 7 and len(out) > 64:
                # Another key or address: the MACs, if there are any, made right again.
                out[8 + d.below(len(out) - 40)] ^= 1 << d.below(8)
                if len(out) in (148, 92):
                    out = bytearray(d.pick(self.victims).end.peer.macs(bytes(out[:-32])))
            elif how == 8 and out:
                out = out[:d.pick([0, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149])]
            elif out:
                out[d.below(len(out))] ^= 1 << d.below(8)
        return bytes(out)

    # ---- steps --------------------------------------------------------------

    def emit(self, victim, data, segment=0):
        """Sends it from the victim's socket or another; segment makes a train."""
        d = self.d
        sock = victim.end.sock if d.chance(0.85) else d.pick(self.elsewhere)
        to = ("::1" if sock.family == socket.AF_INET6 else "127.0.0.1", self.port)
        control = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", segment))] if segment else []
        # What does not fit, or comes back as an ICMP error, is no matter.
        with contextlib.suppress(OSError):
            sock.sendmsg([data[:65000]], control, 0, to)
            self.made += 1

    def one(self):
        victim, message = self.fresh()
        self.pool = self.pool[-POOL:] + [(victim, message)]
        self.emit(victim, self.damage(message) if self.d.chance(0.5) else message)

    def again(self):
        for _ in range(min(len(self.pool), 1 + self.d.below(8))):
            victim, message = self.d.pick(self.pool)
            self.emit(victim, self.damage(message) if self.d.chance(0.3) else message)

    def train(self):
        d = self.d
        victim = d.pick(self.victims)
        segment, count = d.pick([32, 48, 64, 80, 92, 148, 160, 512, 1332, 1 + d.below(1500)]), 2 + d.below(40)
        count = min(count, 60000 // segment)
        parts, session = [], victim.sessions[-1] if victim.sessions else None
        for _ in range(count):
            if session and segment >= 32 and d.chance(0.7):
                packet = self.packet(victim)[:segment - 32]
                message = session.seal(packet + bytes(segment - 32 - len(packet)), pad=False)
            elif self.pool:
                message = d.pick(self.pool)[1]
            else:
                message = d.bytes(segment)
            if d.chance(0.2):
                message = self.damage(message)
            parts.append((message + bytes(segment))[:segment])
        if d.chance(0.3):
            for _ in range(d.below(len(parts))):
                parts.insert(d.below(len(parts)), parts.pop(d.below(len(parts))))
        data = b"".join(parts)
        self.emit(victim, data[:len(data) - d.below(segment)] if d.chance(0.3) else data, segment)

    def outgoing(self):
        """Packets for the victims, from inside."""
        victim = self.d.pick(self.victims)
        with contextlib.suppress(OSError):
            self.inner[0].sendto(bytes(self.d.below(3000)), (victim.end.inside, 9))
            self.inner[1].sendto(bytes(self.d.below(3000)), (victim.end.inside6, 9))

    def set(self, *parts):
        refused(self.w.netlink.set("wg0", *parts), 0, "a change of the configuration")

    def entry(self, victim):
        end = victim.end
        return genl.peer(end.peer.public, genl.attr(genl.P_PSK, end.peer.psk), genl.attr(genl.P_ENDPOINT, self.w.sockaddr(end.sock)),
                         ips=[genl.allowed(end.inside, 32), genl.allowed(end.inside6, 128)])

    def configure(self):
        d, victim = self.d, self.d.pick(self.victims)
        public = victim.end.peer.public
        how = d.below(12)
        if how == 0:
            self.set(genl.array(PEERS, [genl.peer(public, flags=genl.REMOVE_ME)]))
            if d.chance(0.5):
                self.one()
            self.set(genl.array(PEERS, [self.entry(victim)]))
        elif how == 1:
            victim.end.peer.psk = d.pick([bytes(32), d.bytes(32)])
            self.set(genl.array(PEERS, [genl.peer(public, genl.attr(genl.P_PSK, victim.end.peer.psk))]))
        elif how == 2:
            other = d.pick(self.victims).end
            self.set(genl.array(PEERS, [genl.peer(public, flags=d.pick([0, genl.REPLACE_ALLOWEDIPS]), ips=[
                genl.allowed(other.inside, d.pick([31, 32])), genl.allowed(other.inside6, d.pick([127, 128]))])]))
            self.set(genl.array(PEERS, [self.entry(victim)]))
        elif how == 3:
            port = struct.pack(">H", d.number(16))
            address = d.pick([bytes(4), b"\xff" * 4, bytes([127, 0, 0, 9]), bytes([224, 0, 0, 1]), bytes([192, 0, 2, 1])])
            self.set(genl.array(PEERS, [genl.peer(public, genl.attr(genl.P_ENDPOINT, struct.pack("=H", 2) + port + address + bytes(8)))]))
        elif how == 4:
            self.set(genl.array(PEERS, [genl.peer(public, genl.u16(genl.P_KEEPALIVE, d.pick([0, 1, 25, 65535])))]))
        elif how == 5:
            self.set(genl.u32(genl.FWMARK, d.number(32)))
        elif how == 6:
            self.port = self.port ^ 1
            self.set(genl.u16(genl.LISTEN_PORT, self.port))
            for end in self.peers + [one.end for one in self.victims]:
                end.device = (end.device[0], self.port)
        elif how == 7:
            run("ip", "link", "set", "wg0", "mtu", str(d.pick([576, 1280, 1420, 9000, 65000])), check=False)
        elif how == 8 and d.chance(0.3):
            run("ip", "link", "set", "wg0", "down")
            self.one()
            run("ip", "link", "set", "wg0", "up")
        elif how == 9 and d.chance(0.3):
            private = d.bytes(32)
            self.w.public = public_key(private)
            self.set(genl.attr(genl.PRIVATE_KEY, private))
            for end in self.peers + [one.end for one in self.victims]:
                end.peer = wgpeer.Peer(self.w.public, end.peer.private, end.peer.psk)
        elif how == 10 and ours() and d.chance(0.3):
            run("ethtool", "--set-priv-flags", "wg0", "udp-gso", d.pick(["on", "off"]), check=False)
        else:
            self.w.netlink.dump(genl.name("wg0"))

    def step(self):
        what = self.d.weighted([(10, "one"), (6, "again"), (5, "train"), (2, "outgoing"), (1, "configure")])
        self.count[what] = self.count.get(what, 0) + 1
        getattr(self, what)()

    def close(self):
        for sock in self.inner:
            sock.close()


@case("V1 V3 V5 V6 V9 V10 H4 H5 C7 hostile messages with right keys, while the configuration changes")
def _wire(w):
    number = seed()
    diag(f"SEED={number}")
    dice = Dice(number)
    wgpeer.random_bytes = dice.bytes
    honest = Honest(w)
    honest.works("at first")
    fuzzer = Fuzzer(w, dice, [honest.end])
    until, steps = time.monotonic() + seconds(12), 0
    try:
        while time.monotonic() < until or steps < FEWEST:
            fuzzer.step()
            steps += 1
            if steps % 4 == 0:
                for victim in fuzzer.victims:
                    victim.read()
            if steps % CHECK_EVERY == 0:
                honest.works(f"SEED={number}, step {steps}")
                if objects:
                    objects.read()
        for _ in range(3):
            honest.works(f"SEED={number}, step {steps}, at the end")
    finally:
        wgpeer.random_bytes = os.urandom
        fuzzer.close()
    sessions = sum(len(victim.sessions) for victim in fuzzer.victims)
    diag(f"{steps} steps {fuzzer.count}, {fuzzer.made} sends, {honest.handshakes} handshakes of the honest peer")
    counters = w.counters()
    diag({name: value for name, value in counters.items() if value})
    true(sessions and w.stat("rx_packets") > 50, "the fuzzer got anywhere")
    if ours():
        # Hostile input of every kind has arrived where it is judged.
        for name in ("rx_drop_malformed", "rx_drop_mac1", "rx_drop_initiation", "rx_drop_no_keypair",
                     "rx_drop_decrypt", "rx_drop_replay", "rx_drop_not_ip", "rx_drop_source", "rx_trains"):
            true(counters.get(name), f"{name} counts")
    ktap.wait_until(10, lambda: w.netlink.dump(genl.name("wg0"))[1] == 0, "a list")
