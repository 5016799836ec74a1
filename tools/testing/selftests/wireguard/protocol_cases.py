#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The protocol, message by message, against a peer that we play. See protocol.sh."""

import os
import socket
import struct
import time

import genl
import ktap
import protocol_hostile  # noqa: F401  (registers its cases)
import protocol_load  # noqa: F401  (so does this)
import protocol_order  # noqa: F401  (and this)
import protocol_state  # noqa: F401  (and this)
import wgpeer
from affinity import one_cpu
from ktap import case, equal, refused, run, true
from protocol_world import IP_TOS, IPV6_TCLASS, world
from wgcrypto import self_test
from wgpeer import DATA, INITIATION, REJECT_AFTER_MESSAGES, RESPONSE

ERRORS = ("rx_errors", "rx_frame_errors", "rx_length_errors")


@case("H1 H2 H12 H13 H14 D1 S2 S3 we initiate: response, session, counters, IPv4 outside")
def _initiate(w):
    end = w.end()
    before = time.time()
    session = end.handshake(confirm=False)
    equal(end.tos, 0x88, "TOS of the response")
    equal(end.handshake_time(), 0, "handshake time before the first data")
    end.send(session.seal())
    end.alive()
    true(before - 1 <= end.handshake_time() <= time.time() + 1, "handshake time")
    # 148 + 32 + 32 + 48; 92 + 80 (echo of 48 bytes and its reply).
    equal(end.bytes(), (148 + 32 + 80, 92 + 80), "bytes of the peer")
    w.expect(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), [260, 172, 3, 2], "counters of the link")


@case("H1 H12 E2 we initiate, IPv6 outside, with PSK")
def _initiate6(w):
    end = w.end(source="::1", psk=b"k" * 32)
    end.handshake()
    equal(end.tos, 0x88, "traffic class of the response")
    end.alive()
    equal(end.tos, 0, "traffic class of data")


@case("H2 H3 H12 O6 C1 the device initiates: message, timestamp, confirmation")
def _respond(w):
    end = w.end(endpoint=True)
    run("ping", "-c", "1", "-W", "0.1", "-i", "0.1", end.inside, check=False)
    message = end.receive(INITIATION)
    equal((len(message), end.tos, message[132:]), (148, 0x88, bytes(16)), "size, TOS, mac2")
    stamp, _ = end.peer.read(message)
    seconds, nanos = struct.unpack(">QI", stamp)
    true(abs(seconds - 2**62 - 10 - time.time()) < 5, "seconds of the timestamp")
    true(nanos < 10**9 and nanos & 0xFFFFFF == 0, "nanoseconds, rounded down")
    session = end.answer(message)
    first = end.receive(DATA)
    counter, plain = session.unseal(first)
    equal((counter, plain[9], plain[16:20]), (0, 1, socket.inet_aton(end.inside)), "the staged ping")
    end.alive()


@case("H12 D3 D5 without anything to send, an empty message confirms the key")
def _confirm(w):
    end = w.end(endpoint=True, keepalive=500)
    session = end.answer()
    # The staged keepalive is that message.
    equal(session.unseal(end.receive(DATA)), (0, b""), "first message")
    # A new handshake for which nothing is staged: none of ours is, either.
    end.quiet(DATA)


@case("H5 a response that is wrong, late or repeated makes no session")
def _bad_responses(w):
    end = w.end(endpoint=True, keepalive=500)
    message = end.receive(INITIATION)
    _, state = end.peer.read(message)
    good, session = end.peer.respond(state)
    for what, bad in [("corrupted", good[:50] + bytes([good[50] ^ 1]) + good[51:]),
                      ("for another index", good[:8] + struct.pack("<I", struct.unpack_from("<I", good, 8)[0] ^ 1) + good[12:]),
                      ("wrong mac1", good[:60] + bytes(16) + good[76:])]:
        if what == "corrupted" or what == "for another index":
            body = bad[:60]
            bad = end.peer.macs(body)
        end.send(bad)
        got = end.receive(DATA, 0.3)
        true(got is None, f"{what}: no session")
    end.send(good)
    equal(session.unseal(end.receive(DATA)), (0, b""), "the good one")
    end.send(good)
    end.quiet(DATA)
    end.session = session
    end.alive()


@case("H5 an initiation from the other side overwrites the one that is pending")
def _overwritten(w):
    end = w.end(endpoint=True, keepalive=500)
    message = end.receive(INITIATION)
    _, state = end.peer.read(message)
    late, _ = end.peer.respond(state)
    session = end.handshake(confirm=False)
    end.send(late)
    end.quiet(DATA)
    end.send(session.seal())
    end.alive()


@case("H4 timestamps must grow; a replayed initiation is ignored")
def _timestamps(w):
    end = w.end()
    now = time.time_ns()
    first = end.peer.initiation(wgpeer.tai64n(now))
    end.send(first)
    true(end.receive(RESPONSE), "response")
    time.sleep(0.05)
    end.send(first)
    end.quiet(RESPONSE)
    for what, stamp in [("the same", now), ("older", now - 10**10), ("the oldest", 0)]:
        end.send(end.peer.initiation(wgpeer.tai64n(stamp)))
        true(end.receive(RESPONSE, 0.3) is None, f"{what}: no response")
    end.send(end.peer.initiation(wgpeer.tai64n(now + (1 << 24))))
    true(end.receive(RESPONSE), "greater by one step")
    # The memory goes with the peer.
    pub = end.peer.public
    end.world.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(pub, flags=genl.REMOVE_ME)]))
    end.world.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(pub)]))
    end.send(end.peer.initiation(wgpeer.tai64n(now)))
    true(end.receive(RESPONSE), "after removal and re-adding")


@case("H4 at most one initiation each 20 ms")
def _spacing(w):
    end = w.end()
    now = time.time_ns()
    several = [end.peer.initiation(wgpeer.tai64n(now + (i << 24))) for i in range(8)]
    for message in several:
        end.send(message)
    count = 0
    while end.receive(RESPONSE, 0.4):
        count += 1
    true(1 <= count < 8, f"{count} responses to 8 initiations at once")
    end.send(end.peer.initiation(wgpeer.tai64n(now + (9 << 24))))
    true(end.receive(RESPONSE), "later on")


@case("H4 initiations of unknown peers, wrong keys and wrong PSK make nothing")
def _strangers(w):
    end = w.end()
    stranger = wgpeer.Peer(w.public)
    end.send(stranger.initiation())
    end.quiet()
    elsewhere = wgpeer.Peer(wgpeer.Peer(w.public).public, end.peer.private)
    end.send(elsewhere.initiation())
    end.quiet()
    end.peer.psk = b"q" * 32
    end.send(end.peer.initiation())
    true(end.peer.finish(end.receive(RESPONSE)) is None, "a response for another PSK")
    equal(end.handshake_time(), 0, "handshake time")


@case("H8 a low-order public key is a peer to which nothing is ever sent")
def _low_order(w):
    for number, point in enumerate((bytes(32), b"\1" + bytes(31))):
        sock = w.outside()
        refused(w.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(
            point, genl.attr(genl.P_ENDPOINT, w.sockaddr(sock)), genl.u16(genl.P_KEEPALIVE, 1),
            ips=[genl.allowed(f"10.77.0.{50 + number}", 32)])])), 0, "accepted")
        run("ping", "-c", "1", "-W", "0.2", f"10.77.0.{50 + number}", check=False)
        sock.settimeout(0.3)
        try:
            got = sock.recv(2000)
        except socket.timeout:
            got = None
        equal(got, None, "messages")


@case("C1 a wrong mac1 is ignored, a wrong mac2 does not matter without load")
def _macs(w):
    end = w.end()
    good = end.peer.initiation()
    end.send(good[:116] + bytes(16) + good[132:])
    end.quiet()
    end.send(good[:132] + os.urandom(16))
    true(end.receive(RESPONSE), "response")


@case("V1 every length and every type from 0 to 200 bytes: silence")
def _sizes(w):
    end = w.end()
    end.handshake()
    end.alive()
    before = end.bytes(), w.stats("rx_packets", "tx_packets", *ERRORS)
    filler = end.session.seal(bytes(208), counter=100)
    for kind in range(6):
        for size in range(0, 201):
            end.send((struct.pack("<I", kind) + filler[4:])[:size])
    end.quiet(timeout=1.0)
    equal((end.bytes(), w.stats("rx_packets", "tx_packets", *ERRORS)), before, "counters")
    end.alive()


@case("V1 handshake messages one byte short or long, reserved bytes set")
def _exact(w):
    end = w.end()
    good = end.peer.initiation()
    for what, bad in [("short", good[:-1]), ("long", good + b"\0"), ("double", good + good)]:
        end.send(bad)
        true(end.receive(timeout=0.2) is None, what)
    for word in (0x01000001, 0x00000101, 0x00010001):
        end.send(end.peer.initiation(word=word))
        true(end.receive(timeout=0.2) is None, f"type word {word:#x}")
    end.handshake()
    end.alive()
    for byte in (1, 2, 3):
        message = bytearray(end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 999)))
        message[byte] = 1
        end.send(bytes(message))
    end.quiet(DATA)
    end.alive()


@case("V4 V5 S7 unknown index, corrupted and truncated data: silence, the session lives")
def _corrupted(w):
    end = w.end()
    end.handshake()
    end.alive()
    before = end.bytes(), w.stats(*ERRORS)
    good = end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 999))
    for at in (4, 8, 16, 20, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 0x40
        end.send(bytes(bad))
    for size in (len(good) - 1, len(good) - 16, 32, 33):
        end.send(good[:size])
    end.send(good + b"\0")
    end.quiet()
    equal((end.bytes(), w.stats(*ERRORS)), before, "counters")
    # None of these has used up the counter.
    end.send(good)
    true(999 in end.replies(999), "the true one")


@case("V6 replay window: duplicates, 8128 behind accepted, 8129 not")
@one_cpu()
def _window(w):
    end = w.end()
    s = end.handshake()
    equal(end.accepted(s, [5, 5, 5, 3, 3, 1, 5], 10), [5, 3, 1], "duplicates and reordering")
    equal(end.accepted(s, [20000, 20000 - 8128, 20000 - 8128, 20000 - 8129, 20000 - 8127, 10, 11], 20001),
          [20000, 20000 - 8128, 20000 - 8127], "edge of the window")
    equal(end.accepted(s, [20001 - 8128, 20001 - 8127, 20001 - 8126, 20000, 19999], 20002),
          [20001 - 8127, 20001 - 8126, 19999], "one further")
    # A jump beyond the window forgets nothing that it must keep.
    equal(end.accepted(s, [10**6, 20002, 10**6 - 64, 10**6 - 64, 10**6 - 8128], 10**6 + 1),
          [10**6, 10**6 - 64, 10**6 - 8128], "after a jump")
    # Word boundaries of the bitmap.
    base = 10**6 - 10**6 % 64 + 6400
    several = [base + d for d in (0, 63, 64, 127, 128, 62, 1, 65)]
    equal(end.accepted(s, several + several, base + 200), several, "word boundaries")


@case("V6 V5 counters at the limit")
@one_cpu()
def _limit(w):
    end = w.end()
    s = end.handshake()
    equal(end.accepted(s, [2**64 - 1, REJECT_AFTER_MESSAGES + 1, REJECT_AFTER_MESSAGES, 7], 8), [7], "beyond the limit")
    equal(end.accepted(s, [], REJECT_AFTER_MESSAGES - 1), [], "the last one")
    # With it the key is used up.
    end.echo(s, REJECT_AFTER_MESSAGES - 2)
    end.echo(s, 9)
    end.quiet(DATA)
    end.handshake()
    end.alive()


@case("V6 a replayed message is not delivered and moves no endpoint")
def _replay(w):
    end = w.end()
    end.handshake()
    end.alive()
    port = end.endpoint()
    message = end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", 700))
    end.send(message)
    true(700 in end.replies(700), "first time")
    end.send(message, w.outside())
    end.send(message, w.outside())
    end.quiet(DATA)
    equal(end.endpoint(), port, "endpoint")
    end.alive()


@case("E2 the endpoint follows authenticated messages only")
def _roam(w):
    end = w.end()
    end.handshake()
    end.alive()
    home = end.endpoint()
    other = w.outside()
    # Not authentic: data, initiation, cookie reply.
    bad = bytearray(end.session.seal(bytes(32), 5000))
    bad[30] ^= 1
    end.send(bytes(bad), other)
    end.send(wgpeer.Peer(w.public).initiation(), other)
    end.send(end.peer.cookie_reply(bytes(148), bytes(16)), other)
    end.send(end.peer.initiation(wgpeer.tai64n(1)), other)
    end.alive()
    equal(end.endpoint(), home, "after forged messages")
    # A keepalive, a data message, a packet from a source that is not allowed.
    for what, packet in [("keepalive", b""), ("data", wgpeer.echo(end.inside, "10.77.0.1", 1)),
                         ("not allowed", wgpeer.echo("10.99.9.9", "10.77.0.1", 1))]:
        sock = w.outside()
        end.send(end.session.seal(packet), sock)
        ktap.wait_until(2, lambda: end.endpoint() == sock.getsockname()[1], what)  # pylint: disable=cell-var-from-loop
    sock = w.outside()
    time.sleep(0.05)
    end.send(end.peer.initiation(), sock)
    ktap.wait_until(2, lambda: end.endpoint() == sock.getsockname()[1], "initiation")


@case("V8 S2 S4 a keepalive counts 32 bytes and one packet, nothing is delivered")
def _keepalive(w):
    end = w.end()
    end.handshake()
    end.alive()
    rx, _ = end.bytes()
    packets = w.stat("rx_packets")
    for _ in range(3):
        end.send(end.session.seal())
    end.alive()
    equal(end.bytes()[0], rx + 3 * 32 + 80, "bytes of the peer")
    equal(w.stat("rx_packets"), packets + 4, "packets")
    w.expect(ERRORS, [0, 0, 0], "errors")


@case("V9 V10 S2 S6 bad inner packets: counters, nothing delivered, not counted as received")
def _inner(w):
    end = w.end()
    end.handshake()
    end.alive()
    me, dst = end.inside, "10.77.0.1"
    short6 = wgpeer.ipv6(end.inside6, "fd77::1", 17, bytes(16))
    frame, length = [1, 1, 0], [1, 0, 1]
    bad = [
        ("version 0", bytes(48), frame),
        ("version 5", b"\x55" + wgpeer.echo(me, dst, 1)[1:], frame),
        ("version 15", b"\xff" + bytes(47), frame),
        ("IPv4 of 19 bytes", wgpeer.echo(me, dst, 1)[:19], frame),
        ("IPv4 of 1 byte", b"\x45", frame),
        ("IPv6 of 39 bytes", short6[:39], frame),
        ("IPv4 total length 19", wgpeer.echo(me, dst, 1, length=19), length),
        ("IPv4 total length 0", wgpeer.echo(me, dst, 1, length=0), length),
        ("IPv4 total length too large", wgpeer.echo(me, dst, 1, length=49), length),
        ("IPv4 total length 65535", wgpeer.echo(me, dst, 1, length=65535), length),
        ("IPv6 payload too large", wgpeer.ipv6(end.inside6, "fd77::1", 17, bytes(16), length=17), length),
        ("IPv6 payload 65535", wgpeer.ipv6(end.inside6, "fd77::1", 17, bytes(16), length=65535), length),
        ("IPv4 source not allowed", wgpeer.echo("10.77.0.99", dst, 1), frame),
        ("IPv4 source of the device", wgpeer.echo(dst, dst, 1), frame),
        ("IPv6 source not allowed", wgpeer.ipv6("fd77::99", "fd77::1", 17, bytes(16)), frame),
    ]
    other = w.end(3)
    bad.append(("source of another peer", wgpeer.echo(other.inside, dst, 1), frame))
    for what, packet, change in bad:
        before, rx = w.stats(*ERRORS), (end.bytes()[0], w.stat("rx_packets"))
        end.send(end.session.seal(packet, pad=False))
        w.expect(ERRORS, [a + b for a, b in zip(before, change)], what)
        equal((end.bytes()[0], w.stat("rx_packets")), rx, what + ": received")
    end.quiet(DATA)
    end.alive()


@case("V9 D2 padding and trailing bytes are cut off, unpadded messages are accepted")
def _trailing(w):
    end = w.end()
    end.handshake()
    for extra in (0, 1, 15, 16, 100, 1000):
        number, end.next_echo = end.next_echo, end.next_echo + 1
        packet = wgpeer.echo(end.inside, "10.77.0.1", number, body=b"y" * 21)
        end.send(end.session.seal(packet + b"\xee" * extra, pad=False))
        while True:
            _, plain = end.session.unseal(end.receive(DATA))
            if struct.unpack_from(">H", plain, 26)[0] == number:
                break
        equal((struct.unpack_from(">H", plain, 2)[0], plain[28:49], plain[49:]), (49, b"y" * 21, bytes(15)), f"{extra} more bytes")
    inner = w.inner(700, socket.AF_INET6)
    end.send(end.session.seal(wgpeer.udp(end.inside6, "fd77::1", 1, 700, b"seven") + b"\xee" * 60))
    equal(inner.recv(2000), b"seven", "IPv6")


@case("E1 ECN of the outer packet is applied to the inner one")
def _ecn(w):
    inner4, inner6 = w.inner(800), w.inner(800, socket.AF_INET6)
    for source, option, level in (("127.0.0.1", IP_TOS, socket.IPPROTO_IP), ("::1", IPV6_TCLASS, socket.IPPROTO_IPV6)):
        end = w.end(2 if source != "::1" else 3, source=source)
        end.handshake()
        for inside, outside, expected in [
                (0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0), (1, 0, 1), (1, 1, 1), (1, 2, 1), (1, 3, 3),
                (2, 0, 2), (2, 1, 1), (2, 2, 2), (2, 3, 3), (3, 0, 3), (3, 1, 3), (3, 2, 3), (3, 3, 3), (0xB8, 3, 0xB8), (0xBA, 3, 0xBB)]:
            end.sock.setsockopt(level, option, outside)
            for sock, src, dst in ((inner4, end.inside, "10.77.0.1"), (inner6, end.inside6, "fd77::1")):
                end.send(end.session.seal(wgpeer.udp(src, dst, 1, 800, b"ecn", inside)))
                data, control, _, _ = sock.recvmsg(100, 100)
                equal((data, control[0][2][0]), (b"ecn", expected), f"inner {inside:#x}, outer {outside} ({src} by {source})")


@case("K1 K2 K3 the responder sends by the new key once it is confirmed; old keys are received")
def _rotation(w):
    end = w.end()
    one = end.handshake()
    end.alive()
    time.sleep(0.05)
    two = end.handshake(confirm=False)
    both = [one, two]
    true(end.alive(one, both) is one, "not confirmed: still the old key")
    true(end.alive(two, both) is two, "confirmed by the first message: the new key")
    true(end.alive(one, both) is two, "the old key is received, answered by the new one")
    time.sleep(0.05)
    three = end.handshake(confirm=False)
    # The oldest went when the response was sent; the current one goes on.
    end.echo(one)
    true(end.alive(two, [one, two, three]) is two, "current")
    true(end.alive(three, [one, two, three]) is three, "newest")
    true(end.alive(two, [two, three]) is three, "the one before")
    number = end.echo(one)
    true(number not in end.replies(end.echo(three), [one, two, three]), "the oldest is dead")


@case("K1 an unconfirmed key is replaced by the next one")
def _unconfirmed(w):
    end = w.end()
    one = end.handshake()
    end.alive()
    time.sleep(0.05)
    two = end.handshake(confirm=False)
    time.sleep(0.05)
    three = end.handshake(confirm=False)
    number = end.echo(two)
    found = end.replies(end.echo(three), [one, two, three])
    true(number not in found, "the replaced key is dead")
    true(end.alive(three, [one, two, three]) is three, "the last one lives")


@case("K1 H12 the initiator sends by the new key at once")
def _initiator(w):
    end = w.end()
    one = end.handshake()
    end.alive()
    # Another private key would end everything; down and up lets it initiate.
    run("ip", "link", "set", "wg0", "down")
    run("ip", "link", "set", "wg0", "up")
    end.drain()
    end.echo(one)
    end.quiet(DATA)
    run("ping", "-c", "1", "-W", "0.1", end.inside, check=False)
    two = end.answer()
    true(two.unseal(end.receive(DATA)) is not None, "data by the new key")
    true(end.alive(two) is two, "answers")


@case("N11 a new private key: old sessions receive, the device sends by new ones only")
def _new_key(w):
    end = w.end()
    one = end.handshake()
    end.alive()
    refused(w.netlink.set("wg0", genl.attr(genl.PRIVATE_KEY, bytes(range(1, 33)))), 0, "another key")
    inner = w.inner(900)
    end.send(one.seal(wgpeer.udp(end.inside, "10.77.0.1", 1, 900, b"still")))
    equal(inner.recv(100), b"still", "received by the old key")
    end.echo(one)
    got = end.receive(timeout=2)
    equal((got[0], len(got)), (INITIATION, 148), "the reply needs a new handshake")


@case("D2 large and odd messages both ways")
def _big(w):
    run("ip", "link", "set", "wg0", "mtu", "34736")
    end = w.end()
    end.handshake()
    for size in (1, 1400, 5000, 30001):
        number, end.next_echo = end.next_echo, end.next_echo + 1
        body = os.urandom(size)
        end.send(end.session.seal(wgpeer.echo(end.inside, "10.77.0.1", number, body=body)))
        got = end.session.unseal(end.receive(DATA))
        equal(got[1][28:28 + size], body, f"{size} bytes")


if __name__ == "__main__":
    self_test()
    run("ip", "link", "set", "lo", "up")
    ktap.main(world)
