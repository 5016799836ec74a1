# SPDX-License-Identifier: GPL-2.0
"""A WireGuard peer that sends what a proper one never would.

`Peer` holds keys and builds or reads handshake messages in both roles, `Session`
builds and reads data messages. Nothing is sent behind the caller's back: every
message is bytes, to be kept, changed, repeated or sent from any socket.
"""

import os
import socket
import struct
import time

from wgcrypto import blake2s, kdf, mac, public_key, seal, unseal, x25519, xseal, xunseal

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
SIZES = {INITIATION: 148, RESPONSE: 92, COOKIE: 64}
CHAIN = blake2s(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
HASH = blake2s(CHAIN, b"WireGuard v1 zx2c4 Jason@zx2c4.com")
REJECT_AFTER_MESSAGES = 2**64 - 1 - 8128 - 1
# Where keys, indices and nonces come from; a reproducible test puts its own here.
random_bytes = os.urandom
_last_stamp = 0


def tai64n(when=None):
    """A timestamp; without argument each is greater than the one before."""
    global _last_stamp  # pylint: disable=global-statement
    if when is None:
        when = max(time.time_ns(), _last_stamp + (1 << 24))
        _last_stamp = when
    return struct.pack(">QI", 2**62 + 10 + when // 10**9, when % 10**9 & ~0xFFFFFF)


class Session:
    """Transport keys of one handshake."""

    def __init__(self, local, remote, send, receive):
        self.local, self.remote, self.send_key, self.receive_key, self.counter = local, remote, send, receive, 0

    def seal(self, packet=b"", counter=None, pad=True):
        """A data message; without `counter` the next one in order."""
        if counter is None:
            counter = self.counter
            self.counter += 1
        if pad:
            packet += bytes(-len(packet) % 16)
        return struct.pack("<IIQ", DATA, self.remote, counter) + seal(self.send_key, counter, packet)

    def unseal(self, message):
        """(counter, plaintext) of a data message for this session, or None."""
        if len(message) < 32:
            return None
        kind, index, counter = struct.unpack_from("<IIQ", message)
        if kind != DATA or index != self.local:
            return None
        plain = unseal(self.receive_key, counter, message[16:])
        return None if plain is None else (counter, plain)


class Peer:
    """Our end, `private`, towards the other end's public key `remote`."""

    def __init__(self, remote, private=None, psk=bytes(32)):
        self.private = private or random_bytes(32)
        self.public = public_key(self.private)
        self.remote, self.psk = remote, psk
        self.static = x25519(self.private, remote)
        self.last_mac1 = b""
        self.state = None

    def macs(self, message, cookie=None):
        """Completes a handshake message that lacks its two MACs."""
        self.last_mac1 = mac(blake2s(b"mac1----", self.remote), message)
        message += self.last_mac1
        return message + (mac(cookie, message) if cookie else bytes(16))

    def initiation(self, stamp=None, cookie=None, word=INITIATION, point=None):
        """A handshake initiation; remembers what the response needs.

        With an ephemeral key `point` of low order all of its products are zeros.
        """
        index = struct.unpack("<I", random_bytes(4))[0]
        ephemeral = random_bytes(32)
        epub = point or public_key(ephemeral)
        chain = kdf(1, CHAIN, epub)[0]
        state = blake2s(blake2s(HASH, self.remote), epub)
        chain, key = kdf(2, chain, bytes(32) if point else x25519(ephemeral, self.remote))
        static = seal(key, 0, self.public, state)
        state = blake2s(state, static)
        chain, key = kdf(2, chain, self.static)
        stamp = seal(key, 0, stamp or tai64n(), state)
        state = blake2s(state, stamp)
        self.state = (chain, state, ephemeral, index)
        return self.macs(struct.pack("<II", word, index) + epub + static + stamp, cookie)

    def finish(self, response):
        """The session made by a response to our last initiation, or None."""
        if len(response) != 92:
            return None
        chain, state, ephemeral, index = self.state
        kind, remote, local = struct.unpack_from("<III", response)
        epub = response[12:44]
        if kind != RESPONSE or local != index:
            return None
        chain = kdf(1, chain, epub)[0]
        state = blake2s(state, epub)
        chain = kdf(1, chain, x25519(ephemeral, epub))[0]
        chain = kdf(1, chain, x25519(self.private, epub))[0]
        chain, tau, key = kdf(3, chain, self.psk)
        state = blake2s(state, tau)
        if unseal(key, 0, response[44:60], state) is None:
            return None
        send, receive = kdf(2, chain, b"")
        return Session(index, remote, send, receive)

    def read(self, initiation):
        """Reads an initiation sent to us: (timestamp, state for `respond`), or None."""
        if len(initiation) != 148:
            return None
        kind, remote = struct.unpack_from("<II", initiation)
        if kind != INITIATION or initiation[116:132] != mac(blake2s(b"mac1----", self.public), initiation[:116]):
            return None
        epub = initiation[8:40]
        chain = kdf(1, CHAIN, epub)[0]
        state = blake2s(blake2s(HASH, self.public), epub)
        chain, key = kdf(2, chain, x25519(self.private, epub))
        static = unseal(key, 0, initiation[40:88], state)
        if static != self.remote:
            return None
        state = blake2s(state, initiation[40:88])
        chain, key = kdf(2, chain, self.static)
        stamp = unseal(key, 0, initiation[88:116], state)
        if stamp is None:
            return None
        return stamp, (chain, blake2s(state, initiation[88:116]), epub, remote)

    def respond(self, state, cookie=None, point=None):
        """(response, session) to an initiation that `read` understood; `point` as in `initiation`."""
        chain, state, epub, remote = state
        index = struct.unpack("<I", random_bytes(4))[0]
        ephemeral = random_bytes(32)
        mine = point or public_key(ephemeral)
        chain = kdf(1, chain, mine)[0]
        state = blake2s(state, mine)
        chain = kdf(1, chain, bytes(32) if point else x25519(ephemeral, epub))[0]
        chain = kdf(1, chain, bytes(32) if point else x25519(ephemeral, self.remote))[0]
        chain, tau, key = kdf(3, chain, self.psk)
        state = blake2s(state, tau)
        message = struct.pack("<III", RESPONSE, index, remote) + mine + seal(key, 0, b"", state)
        receive, send = kdf(2, chain, b"")
        return self.macs(message, cookie), Session(index, remote, send, receive)

    def read_cookie(self, message):
        """The cookie of a cookie reply to our last handshake message, or None."""
        if len(message) != 64 or message[:4] != b"\3\0\0\0":
            return None
        return xunseal(blake2s(b"cookie--", self.remote), message[8:32], message[32:], self.last_mac1)

    def cookie_reply(self, denied, cookie):
        """Our cookie reply to a handshake message of the other end."""
        nonce = random_bytes(24)
        sealed = xseal(blake2s(b"cookie--", self.public), nonce, cookie, denied[-32:-16])
        return struct.pack("<I", COOKIE) + denied[4:8] + nonce + sealed


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src, dst, protocol, body, tos=0, length=None):
    """An IPv4 packet; `length` overrides its total length."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, tos, len(body) + 20 if length is None else length, 0, 0, 64, protocol, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def ipv6(src, dst, protocol, body, tos=0, length=None):
    """An IPv6 packet; `length` overrides its payload length."""
    return struct.pack(">IHBB16s16s", 6 << 28 | tos << 20, len(body) if length is None else length, protocol, 64,
                       socket.inet_pton(socket.AF_INET6, src), socket.inet_pton(socket.AF_INET6, dst)) + body


def udp(src, dst, sport, dport, body, tos=0):
    """A UDP packet over IPv4 or IPv6, with checksum."""
    fam = socket.AF_INET6 if ":" in src else socket.AF_INET
    head = struct.pack(">HHHH", sport, dport, 8 + len(body), 0)
    pseudo = socket.inet_pton(fam, src) + socket.inet_pton(fam, dst) + struct.pack(">HH", 17, len(head) + len(body))
    head = head[:6] + struct.pack(">H", checksum(pseudo + head + body) or 0xFFFF)
    return (ipv6 if fam == socket.AF_INET6 else ipv4)(src, dst, 17, head + body, tos)


def echo(src, dst, number, body=b"x" * 20, tos=0, **more):
    """An ICMP echo request over IPv4 with sequence number `number`."""
    head = struct.pack(">BBHHH", 8, 0, 0, 77, number)
    head = head[:2] + struct.pack(">H", checksum(head + body)) + head[4:]
    return ipv4(src, dst, 1, head + body, tos, **more)
