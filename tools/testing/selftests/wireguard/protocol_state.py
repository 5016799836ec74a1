# SPDX-License-Identifier: GPL-2.0
"""Protocol cases about state: order of steps, indices, load, checksums."""

import contextlib
import os
import re
import select
import socket
import struct
import time

import genl
import ktap
import wgpeer
from ktap import case, equal, refused, run, true, wait_until
from protocol_flood import PATIENCE, cookie_under_load, flood
from protocol_world import World
from wgcrypto import public_key
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE


@case("V7 the first message of a session: endpoint, key and handshake time count though its packet is refused")
def _refused_but_authentic(w):
    end = w.end()
    one = end.handshake()
    end.alive()
    time.sleep(1.1)
    before = end.handshake_time()
    two = end.handshake(confirm=False)
    elsewhere, errors = w.outside(), w.stat("rx_errors")
    # From a source that is not allowed, to be dropped last of all.
    end.send(two.seal(wgpeer.echo("10.99.9.9", "10.77.0.1", 1)), elsewhere)
    wait_until(2, lambda: w.stat("rx_errors") == errors + 1, "the packet is refused")
    equal(end.endpoint(), elsewhere.getsockname()[1], "endpoint")
    true(end.handshake_time() > before, "handshake time")
    end.sock = elsewhere
    true(end.alive(one, [one, two]) is two, "the device sends by the new key")


@case("H6 our indices: never the same twice, spread over 32 bits, one for handshake and session")
def _indices(w):
    seen = []
    for number in range(48):
        initiator = number % 2 == 0
        end = w.end(2 + number, endpoint=initiator, keepalive=500 if initiator else 0)
        if initiator:
            message = end.receive(INITIATION)
            true(message is not None, "an initiation")
            chosen = struct.unpack_from("<I", message, 4)[0]
            session = end.answer(message)
        else:
            session = end.handshake()
            chosen = session.remote
        # What we put into data messages is the index of the handshake.
        equal(session.remote, chosen, "index of the session")
        if not initiator:
            end.alive()
        seen.append(chosen)
    equal(len(set(seen)), len(seen), "different indices")
    for shift in (0, 8, 16, 24):
        # 48 random bytes have about 44 values; 24 or fewer, once in 10^14.
        values = len({index >> shift & 255 for index in seen})
        true(values > 24, f"{values} values of byte {shift // 8}")


def verified(packet):
    """Whether the checksum of a UDP or TCP packet is right, for either IP version."""
    if packet[0] >> 4 == 4:
        size, head, protocol = struct.unpack_from(">H", packet, 2)[0], 20, packet[9]
        pseudo = packet[12:20]
    else:
        size, head, protocol = 40 + struct.unpack_from(">H", packet, 4)[0], 40, packet[6]
        pseudo = packet[8:40]
    body = packet[head:size]
    stored = struct.unpack_from(">H", body, 6 if protocol == 17 else 16)[0]
    return stored != 0 and wgpeer.checksum(pseudo + struct.pack(">HH", protocol, len(body)) + body) == 0


@case("D4 inner checksums are complete, though the device offers to make them")
def _checksums(w):
    true("tx-checksum-ip-generic: on" in run("ethtool", "-k", "wg0"), "offload on")
    end = w.end()
    end.handshake()
    end.alive()
    for family, target in ((socket.AF_INET, end.inside), (socket.AF_INET6, end.inside6)):
        out = socket.socket(family, socket.SOCK_DGRAM)
        stream = socket.socket(family, socket.SOCK_STREAM)
        stream.setblocking(False)
        w.sockets += [out, stream]
        for size in (1, 2, 333, 1200):
            out.sendto(os.urandom(size), (target, 5))
            _, plain = end.session.unseal(end.receive(DATA))
            true(verified(plain), f"UDP of {size} bytes to {target}")
        with contextlib.suppress(BlockingIOError):
            stream.connect((target, 5))
        _, plain = end.session.unseal(end.receive(DATA))
        true(verified(plain), f"TCP to {target}")
    # Several segments of one packet.
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    w.sockets.append(out)
    out.setsockopt(socket.IPPROTO_UDP, 103, 500)
    out.sendto(os.urandom(1700), (end.inside, 5))
    sizes = []
    while len(sizes) < 4:
        message = end.receive(DATA)
        true(message is not None, "all segments")
        _, plain = end.session.unseal(message)
        if plain[9] == 17:
            sizes.append(struct.unpack_from(">H", plain, 2)[0] - 28)
            true(verified(plain), f"UDP segment {len(sizes)}")
    equal(sizes, [500, 500, 500, 200], "segments")


@case("X7 packets that a sniffer holds too are not changed by encryption")
def _shared(w):
    end = w.end()
    end.handshake()
    end.alive()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sniffer:
        sniffer.bind(("wg0", 3))
        sniffer.settimeout(5)
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        w.sockets.append(out)
        for size in (1, 100, 1391):
            body = os.urandom(size)
            out.sendto(body, (end.inside, 5))
            _, plain = end.session.unseal(end.receive(DATA))
            equal(plain[28:28 + size], body, "what was sent")
            equal(sniffer.recv(4096)[28:], body, "what the sniffer holds")


@case("C4 load ends a second after the flood, and is (C driver: not) of one interface alone")
def _load(w):
    end = w.end()
    run("ip", "link", "add", "wg1", "type", "wireguard")
    try:
        private = os.urandom(32)
        other = wgpeer.Peer(public_key(private))
        refused(w.netlink.set("wg1", genl.attr(genl.PRIVATE_KEY, private), genl.u16(genl.LISTEN_PORT, 51821),
                              genl.array(genl.PEERS, [genl.peer(other.public)])), 0, "another interface")
        run("ip", "link", "set", "wg1", "up")
        sock, found = w.outside(), set()
        sock.settimeout(PATIENCE)
        for _ in range(5):
            mine, theirs = end.peer.initiation(), other.initiation()

            def ask():
                end.send(mine)  # pylint: disable=cell-var-from-loop
                sock.sendto(theirs, ("127.0.0.1", 51821))  # pylint: disable=cell-var-from-loop

            flood(w, within=ask)
            answer = end.receive(timeout=PATIENCE)
            reply = sock.recv(200)
            if answer and answer[0] == COOKIE:
                found.add(reply[0])
            if found:
                break
            time.sleep(1.2)
        true(found, "load")
        if ktap.ours():
            equal(found, {RESPONSE}, "answer of the other interface")
        else:
            # One time stamp for the module. It may have been first, too.
            true(found <= {RESPONSE, COOKIE}, "answer of the other interface")
        # The queue is empty now. A second later all is as usual.
        time.sleep(1.0 + 0.5 * ktap.SLOWNESS)
        end.drain()
        end.send(end.peer.initiation())
        answer = end.receive(timeout=PATIENCE)
        equal(answer and answer[0], RESPONSE, "after the flood")
    finally:
        run("ip", "link", "del", "wg1", check=False)


@case("S1 S3 cookie replies count for the link, not for a peer")
def _cookie_counted(w):
    end = w.end()
    cookie_under_load(end, w)
    wait_until(5, lambda: w.stat("tx_packets") > 100, "cookie replies")
    before = None
    while before != (now := w.stats("tx_packets", "tx_bytes")):
        before = now
        time.sleep(0.5)
    packets, octets = now
    responses = end.bytes()[1]
    true(responses % 92 == 0, "the peer's bytes are responses")
    equal(octets - responses, 64 * (packets - responses // 92), "bytes of the link")


@case("V3 more handshake messages than may wait: the rest is dropped, data goes on")
def _queue_full(w):
    end = w.end()
    end.handshake()
    end.alive()
    before = handshake_drops() if ktap.ours() else 0
    for _ in range(10):
        # Several sockets' worth at once: 12,800 where 4,096 may wait.
        flood(w, count=12800)
        end.alive()
        if not ktap.ours() or handshake_drops() > before:
            break
    if ktap.ours():
        true(handshake_drops() > before, "rx_drop_handshake_queue")
    equal(w.stats("rx_errors", "rx_dropped"), [0, 0], "counters of the link")
    wait_until(20, lambda: end.send(end.peer.initiation()) or end.receive(RESPONSE, 1.0), "a response afterwards")


def handshake_drops():
    """Handshake messages that found no room, as the driver counts them."""
    return int(re.search(r"rx_drop_handshake_queue: (\d+)", run("ethtool", "-S", "wg0"))[1])


def answers(groups, w):
    """Under load, four initiations of each group at once: how many are answered, and in how long."""
    # The tokens that the last ones took are back.
    time.sleep(1.0)
    messages = [(ends[0], [end.peer.initiation(cookie=cookie) for end in ends]) for ends, cookie in groups]
    for end, _ in messages:
        end.drain()
    asked = []

    def ask():
        asked.append(time.monotonic())
        for end, several in messages:
            for message in several:
                end.send(message)

    flood(w, within=ask)
    socks = {end.sock: number for number, (end, _) in enumerate(messages)}
    counts, last = [0] * len(messages), asked[0]
    while ready := select.select(socks, [], [], PATIENCE / 3 if any(counts) else PATIENCE)[0]:
        last = time.monotonic()
        for sock in ready:
            equal(sock.recv(200)[0], RESPONSE, "answer to a valid mac2")
            counts[socks[sock]] += 1
    return counts, last - asked[0]


@case("C6 IPv6: a /64 counts as one source, another /64 on its own")
def _ratelimit6(w):
    one, two = [f"2001:db8:1::{n}" for n in range(1, 5)], "2001:db8:2::1"
    for address in one + [two]:
        run("ip", "addr", "replace", address + "/64", "dev", "lo", "nodad")
    try:
        groups = []
        for number, address in enumerate(one + [two]):
            ends = [w.end(2 + number * 4 + i, source=address) for i in range(4)]
            for end in ends[1:]:
                end.sock = ends[0].sock
            cookie = cookie_under_load(ends[0], w)
            groups.append((ends, cookie))
        # On a slow machine the load may be over before the last of them is looked at.
        for _ in range(4):
            counts, took = answers(groups, w)
            ktap.diag(f"responses to 4 each: {counts[:4]} for one /64, {counts[4]} for another, within {took:.2f} s")
            equal(counts[4], 4, "the other /64")
            if sum(counts[:4]) <= 6 + 20 * took:
                break
        true(4 <= sum(counts[:4]) <= 6 + 20 * took, "responses within the limit of one /64")
    finally:
        for address in one + [two]:
            run("ip", "addr", "del", address + "/64", "dev", "lo", check=False)
