# SPDX-License-Identifier: GPL-2.0
"""Hostile messages: wrong lengths, bits, points, indices and headers, alone and in trains."""

import os
import socket
import struct
import time

import ktap
import wgpeer
from affinity import one_cpu
from ktap import case, equal, true, wait_until
from protocol_world import PORT
from wgcrypto import mac
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE

SOL_UDP, UDP_SEGMENT, SO_RCVBUFFORCE = 17, 103, 33
ERRORS = ("rx_errors", "rx_frame_errors", "rx_length_errors")
P = 2**255 - 19
# Points of low order on the curve and its twist, and numbers that stand for them beyond the field.
LOW_ORDER = [value.to_bytes(32, "little") for value in (
    0, 1, 325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823, P - 1, P, P + 1)]
LOW_ORDER.append(bytes(31) + b"\x80")


def flip(message, bit):
    out = bytearray(message)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def train(end, messages, sock=None):
    """Sends messages of one size, the last may be shorter, as one large UDP packet."""
    (sock or end.sock).sendmsg([b"".join(messages)], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(messages[0])))], 0, end.device)


def around(size, far=20):
    return [n for n in range(max(size - far, 0), size + far + 1) if n != size]


def sized(message, length):
    return (message + bytes(length))[:length]


@case("V1 S7 initiations and data at every length but their own: silence, nothing counted")
def _lengths(w):
    end = w.end()
    good = end.peer.initiation()
    for length in [*range(150), *around(148), 296, 1472, 9000]:
        if length != 148:
            end.send(sized(good, length))
    end.quiet(timeout=1.0)
    end.handshake()
    end.alive()
    before = end.bytes(), w.stats("rx_packets", *ERRORS)
    echo = end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 999))
    for length in [*range(len(echo)), *range(len(echo) + 1, len(echo) + 40)]:
        end.send(sized(echo, length))
    end.quiet(timeout=0.7)
    equal((end.bytes(), w.stats("rx_packets", *ERRORS)), before, "counters")
    end.send(echo)
    true(999 in end.replies(999), "the true one")


@case("V1 H5 responses at every length but theirs, with reserved bits, with one byte changed")
def _responses(w):
    end = w.end(endpoint=True, keepalive=500)
    _, state = end.peer.read(end.receive(INITIATION))
    good, session = end.peer.respond(state)
    for length in [*range(93), *around(92)]:
        if length != 92:
            end.send(sized(good, length))
    end.quiet(DATA, 0.7)
    for bit in range(8, 32):
        end.send(end.peer.macs(flip(good[:60], bit)))
    end.quiet(DATA, 0.7)
    # The sender's index is not authenticated: all else is.
    for at in [*range(8, 60), *range(60, 76)]:
        bad = flip(good, 8 * at + at % 8)
        end.send(end.peer.macs(bad[:60]) if at < 60 else bad)
    end.quiet(DATA, 1.5)
    for point in LOW_ORDER:
        end.send(end.peer.respond(state, point=point)[0])
    end.quiet(DATA, 0.7)
    end.send(good)
    message = end.receive(DATA)
    true(message is not None and session.unseal(message) == (0, b""), "the good one")
    end.session = session
    end.alive()


@case("V1 H4 initiations with reserved bits, with one byte changed, with points of low order")
def _initiations(w):
    end = w.end()
    for bit in range(8, 32):
        end.send(end.peer.initiation(word=INITIATION | 1 << bit))
    end.quiet(timeout=0.7)
    good = end.peer.initiation()
    for at in range(8, 132):
        bad = flip(good, 8 * at + at % 8)
        end.send(end.peer.macs(bad[:116]) if at < 116 else bad)
    end.quiet(timeout=1.5)
    for point in LOW_ORDER:
        end.send(end.peer.initiation(point=point))
    end.quiet(timeout=0.7)
    equal(end.bytes(), (0, 0), "bytes of the peer")
    equal(end.endpoint(), None, "endpoint")
    end.handshake()
    end.alive()


@case("V1 C7 cookie replies at every length but theirs, with reserved bits, with one byte changed, spoofed")
def _cookies(w):
    end = w.end(endpoint=True, keepalive=500)
    began = time.monotonic()
    denied = end.receive(INITIATION)
    good = end.peer.cookie_reply(denied, os.urandom(16))
    for length in [*range(65), *around(64)]:
        if length != 64:
            end.send(sized(good, length))
    for bit in range(8, 512):
        end.send(flip(good, bit))
    # Sealed by somebody else, for another message, from another address: only the last is right.
    stranger = wgpeer.Peer(w.public)
    end.send(stranger.cookie_reply(denied, bytes(16)))
    end.send(end.peer.cookie_reply(os.urandom(148)[:4] + denied[4:], os.urandom(16))[:32] + os.urandom(32))
    end.send(end.peer.cookie_reply(flip(denied, 120 * 8), os.urandom(16)))
    cookie = os.urandom(16)
    message = end.receive(INITIATION, 7)
    true(message is not None, "the next initiation")
    equal(message[132:], bytes(16), "mac2 after bad ones only")
    end.send(end.peer.cookie_reply(message, cookie), w.outside())
    # A second one for the same message is late.
    end.send(end.peer.cookie_reply(message, os.urandom(16)))
    message = end.receive(INITIATION, 7)
    true(message is not None, "another initiation")
    equal(message[132:], mac(cookie, message[:132]), "mac2 after the good one")
    true(time.monotonic() - began > 9.8, "cookies hasten nothing")


@case("V1 V4 data with reserved bits; to the index of a handshake; a response to that of a session")
def _indices(w):
    end = w.end()
    end.handshake()
    end.alive()
    echo = end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 900))
    for bit in range(8, 64):
        end.send(flip(echo, bit))
    end.quiet(timeout=0.5)
    end.send(echo)
    true(900 in end.replies(900), "the true one")
    other = w.end(3, endpoint=True, keepalive=500)
    message = other.receive(INITIATION)
    _, state = other.peer.read(message)
    pending = message[4:8]
    # Data to a handshake that is under way.
    for size in (0, 16, 64, 1000):
        other.send(struct.pack("<I", DATA) + pending + bytes(8) + os.urandom(size + 16))
    response, session = other.peer.respond(state)
    # To the other peer's session, to its own before there is one, from elsewhere with another index.
    wrong = response[:8] + struct.pack("<I", end.session.remote) + response[12:60]
    other.send(other.peer.macs(wrong))
    other.quiet(DATA)
    other.send(response)
    true(other.receive(DATA) is not None, "the session's first message")
    other.session = session
    other.alive()
    # Now the index is a session's: neither response nor cookie may touch that.
    for _ in range(3):
        other.send(response)
        other.send(other.peer.macs(response[:60]))
        other.send(other.peer.cookie_reply(b"\2\0\0\0" + pending + bytes(84), bytes(16)))
    other.alive()
    end.alive()


@case("V6 K1 K2 all that was ever sent, once more after each new key: nothing twice")
def _history(w):
    end = w.end()
    inner = w.inner(901)
    sent, number = [], 0
    for _ in range(4):
        first = end.peer.initiation()
        end.send(first)
        response = end.receive(RESPONSE)
        true(response is not None, "response")
        end.session = end.peer.finish(response)
        sent.append(first)
        for _ in range(20):
            number += 1
            sent.append(end.session.seal(wgpeer.udp(end.inside, "10.77.0.1", 1, 901, struct.pack(">I", number))))
            end.send(sent[-1])
            equal(inner.recv(100), struct.pack(">I", number), "delivered once")
        for message in sent + sent[::-1]:
            end.send(message)
        end.quiet(RESPONSE, 0.3)
        inner.settimeout(0.2)
        try:
            equal(inner.recv(100), None, "delivered again")
        except socket.timeout:
            pass
        inner.settimeout(5 * ktap.SLOWNESS)
        time.sleep(0.05)
    end.alive()


@case("V9 every total length of an IPv4 packet, every payload length of an IPv6 packet")
def _inner_lengths(w):
    end = w.end()
    end.handshake()
    end.alive()
    before = w.stats("rx_packets", *ERRORS)
    good = bad = 0
    udp = wgpeer.udp("10.0.0.1", "10.0.0.2", 1, 9, bytes(20))[20:]
    for length in [*range(len(udp) + 24), 255, 256, 32767, 32768, 65534, 65535]:
        good, bad = (good + 1, bad) if 20 <= length <= 20 + len(udp) else (good, bad + 1)
        end.send(end.session.seal(wgpeer.ipv4(end.inside, "10.77.0.1", 17, udp, length=length), pad=False))
    for length in [*range(len(udp) + 4), 255, 256, 32767, 32768, 65534, 65535]:
        good, bad = (good + 1, bad) if length <= len(udp) else (good, bad + 1)
        end.send(end.session.seal(wgpeer.ipv6(end.inside6, "fd77::1", 17, udp, length=length), pad=False))
    w.expect(("rx_packets", *ERRORS), [before[0] + good, before[1] + bad, before[2], before[3] + bad], f"{good} good ones, {bad} bad ones")
    # Packets shorter than a header, of every length and version.
    before = w.stats("rx_packets", *ERRORS)
    bad = 0
    for version in range(16):
        for length in range(1, 40):
            if version == 4 and length >= 20:
                continue
            bad += 1
            end.send(end.session.seal(bytes([version << 4]) + bytes(length - 1), pad=False))
    w.expect(("rx_packets", *ERRORS), [before[0], before[1] + bad, before[2] + bad, before[3]], f"{bad} short ones")
    # Headers that are the network stack's affair: it may drop them, and must live.
    for ihl in range(16):
        packet = wgpeer.ipv4(end.inside, "10.77.0.1", 17, udp)
        end.send(end.session.seal(bytes([0x40 | ihl]) + packet[1:], pad=False))
        for fragment in (0x2000, 0x1FFF, 0x3FFF, 0x8000):
            end.send(end.session.seal(packet[:6] + struct.pack(">H", fragment) + packet[8:], pad=False))
    for following in range(256):
        end.send(end.session.seal(wgpeer.ipv6(end.inside6, "fd77::1", following, bytes(24)), pad=False))
        end.send(end.session.seal(wgpeer.ipv4(end.inside, "10.77.0.1", following, bytes(24)), pad=False))
    end.drain()
    end.alive()


def raw_udp(end, message, length=None, check=None, extra=b""):
    """One UDP datagram from our socket's address, with a header of our own."""
    source, port = end.sock.getsockname()[:2]
    whole = wgpeer.udp(source, end.device[0], port, PORT, message)
    head = 40 if ":" in source else 20
    size = struct.pack(">H", length) if length is not None else whole[head + 4:head + 6]
    datagram = whole[head:head + 4] + size + (whole[head + 6:head + 8] if check is None else check) + whole[head + 8:] + extra
    if head == 20:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(wgpeer.ipv4(source, end.device[0], 17, datagram), (end.device[0], 0))
    else:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
            # Else the kernel puts the right checksum there.
            sock.setsockopt(socket.IPPROTO_IPV6, 7, -1)
            sock.sendto(datagram, (source, 0, 0, 0) if end.device[0] == source else (end.device[0], 0, 0, 0))


@case("V1 O2 UDP headers: length shorter and longer than the datagram, checksum wrong and none")
def _udp(w):
    for source, number in (("127.0.0.1", 2), ("::1", 3)):
        end = w.end(number, source=source)
        end.handshake()
        end.alive()
        checksum_optional = ":" not in source
        tries = [
            ("as it should be", {}, True),
            ("length 0", {"length": 0}, False), ("length 7", {"length": 7}, False), ("length 8", {"length": 8}, False),
            ("one byte short", {"length": 8 + 79}, False), ("one byte long", {"length": 8 + 81}, False), ("length 65535", {"length": 65535}, False),
            ("wrong checksum", {"check": b"\xab\xcd"}, False),
            ("no checksum", {"check": b"\0\0"}, checksum_optional),
            # The rest is cut off; over IPv4, because the checksum covers UDP's own length.
            ("bytes behind it", {"extra": b"\xee" * 7}, True),
            ("bytes behind it, no checksum", {"extra": b"\xee" * 40, "check": b"\0\0"}, checksum_optional),
        ]
        for what, how, good in tries:
            seq, end.next_echo = end.next_echo, end.next_echo + 1
            message = end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", seq))
            raw_udp(end, message, **how)
            got = end.receive(DATA, 2.0 if good else 0.15)
            equal(got is not None, good, f"{what} ({source})")
        end.alive()


def udp_damaged():
    """What UDP has counted of damaged datagrams, IPv4 and IPv6."""
    with open("/proc/net/snmp", encoding="ascii") as table:
        names, values = (line.split() for line in table if line.startswith("Udp:"))
    with open("/proc/net/snmp6", encoding="ascii") as table:
        six = dict(line.split() for line in table)
    return int(values[names.index("InCsumErrors")]), int(six["Udp6InCsumErrors"])


@case("S7 damaged datagrams are counted, by UDP and by the driver")
def _damaged(w):
    for source, number, rise in (("127.0.0.1", 2, (1, 0)), ("::1", 3, (0, 1))):
        end = w.end(number, source=source)
        end.handshake()
        end.alive()
        before, counted = udp_damaged(), w.counters()
        raw_udp(end, end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 1)), check=b"\xab\xcd")
        wait_until(5, lambda: udp_damaged() != before, "UDP's count")
        equal(tuple(now - then for now, then in zip(udp_damaged(), before)), rise, f"UDP's count ({source})")
        if ktap.ours():
            equal(w.counters()["rx_drop_checksum"] - counted["rx_drop_checksum"], 1, "the driver's count")
        end.alive()


@case("V1 V4 V5 V6 in a train each message is judged by itself")
@one_cpu()
def _train(w):
    end, other = w.end(2), w.end(3)
    end.handshake()
    other.handshake()
    other.alive()
    base = end.session.counter + 100

    def echo(number, counter=None, session=None, source=None):
        return (session or end.session).seal(wgpeer.echo(source or end.inside, "10.77.0.1", 300 + number, body=b"t" * 88), counter, pad=False)

    good = echo(1, base)
    size = len(good)
    equal(size, 148, "size of each")
    before = w.stats(*ERRORS)
    messages = [
        good, good,                                     # and a duplicate
        flip(echo(2, base + 1), 8 * 60),                # does not decrypt
        echo(3, base + 3), echo(4, base + 2),           # out of order
        flip(echo(5, base + 4), 8 * 5),                 # no such session
        flip(echo(6, base + 4), 9),                     # reserved bit
        echo(7, base + 5, source="10.99.9.9"),          # source not allowed
        end.peer.initiation(wgpeer.tai64n(1)),          # an old handshake
        other.session.seal(wgpeer.echo(other.inside, "10.77.0.1", 308, body=b"t" * 88), pad=False),
        echo(9, base + 8128 + 3),                       # the window moves on
        echo(10, base + 3), echo(11, base + 4),         # used; just inside, not yet used
        echo(12, base + 2),                             # too old
        echo(13, 2**64 - 1),
        os.urandom(size),
        echo(14, base + 9000)[:100],                    # the last one is short: does not decrypt
    ]
    # Our own socket takes all answers, whichever peer's they are.
    train(end, messages)
    sent = end.echo(counter=base + 9001)
    found = end.replies(sent)
    equal([n - 300 for n in found if n != sent], [1, 3, 4, 9, 11], "answered")
    got = w.stats(*ERRORS)
    equal([b - a for a, b in zip(before, got)], [1, 1, 0], "errors")
    other.alive()


@case("V6 trains in reverse, repeated, and across the edge of the window")
@one_cpu()
def _train_window(w):
    end = w.end()
    s = end.handshake()
    inner = w.inner(902)
    inner.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)

    def message(counter):
        return s.seal(wgpeer.udp(end.inside, "10.77.0.1", 1, 902, struct.pack(">Q", counter)), counter)

    def delivered(last):
        out = []
        while not out or out[-1] != last:
            out.append(struct.unpack(">Q", inner.recv(100))[0])
        return out

    back = list(range(140, 100, -1))
    train(end, [message(c) for c in back])
    train(end, [message(c) for c in back])
    train(end, [message(c) for c in range(90, 130)])
    end.send(message(141))
    equal(delivered(141), back + list(range(90, 101)) + [141], "reversed, repeated, overlapping")
    train(end, [message(c) for c in (141 + 8128, 142, 141, 140, 143, 141 + 8128, 139, 141 + 8129, 142, 144, 141)])
    end.send(message(20000))
    equal(delivered(20000), [141 + 8128, 142, 143, 141 + 8129, 144, 20000], "at the edge")
    top = wgpeer.REJECT_AFTER_MESSAGES
    train(end, [message(c) for c in (20001, top, top - 1, 20002, top - 8129, top - 8128, 2**64 - 1)])
    # With its last counter the key is used up, also for the rest of the train.
    time.sleep(0.3)
    inner.settimeout(0.3)
    got = []
    try:
        while True:
            got.append(struct.unpack(">Q", inner.recv(100))[0])
    except socket.timeout:
        pass
    true(got[:2] == [20001, top - 1] and 20002 not in got and top not in got and 2**64 - 1 not in got, f"at the limit of the counter: {got}")
    end.handshake()
    end.alive()


@case("V5 V6 E2 hostile trains from elsewhere move no endpoint, disturb no session")
def _train_spoofed(w):
    end = w.end()
    end.handshake()
    end.alive()
    home = end.endpoint()
    old = [end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 800 + i)) for i in range(20)]
    for message in old:
        end.send(message)
    true(819 in end.replies(819), "all of them")
    sock = w.outside()
    for _ in range(10):
        train(end, old, sock)
        train(end, [flip(m, 8 * 40) for m in old], sock)
        train(end, [os.urandom(80) for _ in old], sock)
        train(end, [struct.pack("<II", DATA, end.session.remote) + os.urandom(24 + i % 2) for i in range(0, 40, 2)], sock)
    end.quiet(DATA, 0.3)
    equal(end.endpoint(), home, "endpoint")
    end.alive()
