# SPDX-License-Identifier: GPL-2.0
"""Requests grown from the grammar of the family, most of them then damaged."""

import socket
import struct
import time

import genl
import netlink_pins
import netns
from dice import Dice, seconds, seed
from genl import (A_CIDR, A_FAMILY, A_FLAGS, A_IPADDR, ACK, FLAGS, FWMARK, IFNAME, LISTEN_PORT, NESTED,
                  P_ALLOWEDIPS, P_ENDPOINT, P_FLAGS, P_KEEPALIVE, P_LAST_HANDSHAKE, P_PROTOCOL, P_PSK,
                  P_PUBLIC_KEY, P_RX_BYTES, P_TX_BYTES, PEERS, PRIVATE_KEY, PUBLIC_KEY, REPLACE_PEERS, REQUEST)
from ktap import case, diag, equal, name_of, run, true
from wgcrypto import public_key

DEVICE = "wgz"
SPACE = "wgt-fuzz"
TAKEN = 51820
PRIVATE = [bytes(32), bytes(range(1, 33)), bytes(range(101, 133))]
KEYS = [bytes([number]) * 32 for number in range(6)] + [public_key(private) for private in PRIVATE[1:]]
ERRORS = {"ok", "EINVAL", "ERANGE", "EBADR", "ENODEV", "EPFNOSUPPORT", "EOPNOTSUPP", "EADDRINUSE"}
PINNED_SEED, PINNED = 20240917, 1024


def u(size, value):
    return value.to_bytes(size, "little") if struct.pack("=H", 1) == b"\1\0" else value.to_bytes(size, "big")


def allowed_ip(d):
    if d.chance(0.5):
        family, address, bits = 2, bytes([10, d.below(3), d.below(3), d.below(256)]), d.pick([0, 8, 16, 24, 31, 32])
    else:
        family, address, bits = 10, b"\xfd" + bytes(13) + bytes([d.below(3), d.below(256)]), d.pick([0, 1, 64, 112, 127, 128])
    tree = [[A_FAMILY, u(2, family)], [A_IPADDR, address], [A_CIDR, u(1, bits)]]
    if d.chance(0.2):
        tree.append([A_FLAGS, u(4, d.below(2))])
    return tree


def endpoint(d):
    port = struct.pack(">H", d.number(16))
    if d.chance(0.5):
        return u(2, socket.AF_INET) + port + d.pick([bytes(4), b"\xff" * 4, bytes([127, 0, 0, 1]), bytes([224, 0, 0, 1]), d.bytes(4)]) + bytes(8)
    address = d.pick([bytes(16), bytes(15) + b"\1", b"\xfe\x80" + bytes(14), b"\xff\2" + bytes(14), bytes(10) + b"\xff\xff\x7f\0\0\1", d.bytes(16)])
    return u(2, socket.AF_INET6) + port + d.bytes(4) + address + u(4, d.number(32))


def peer(d):
    tree = [[P_PUBLIC_KEY, d.pick(KEYS)]]
    for kind, probability, value in (
            (P_PSK, 0.3, lambda: d.pick([bytes(32), d.bytes(32)])), (P_FLAGS, 0.4, lambda: u(4, d.below(8))),
            (P_ENDPOINT, 0.4, lambda: endpoint(d)), (P_KEEPALIVE, 0.3, lambda: u(2, d.number(16))),
            (P_LAST_HANDSHAKE, 0.05, lambda: d.bytes(16)), (P_RX_BYTES, 0.05, lambda: d.bytes(8)), (P_TX_BYTES, 0.05, lambda: d.bytes(8)),
            (P_PROTOCOL, 0.1, lambda: u(4, 1)),
            (P_ALLOWEDIPS | NESTED, 0.6, lambda: [[NESTED, allowed_ip(d)] for _ in range(d.below(6))])):
        if d.chance(probability):
            tree.append([kind, value()])
    return tree


def device(d, ports):
    tree = [[IFNAME, DEVICE.encode() + b"\0"]]
    for kind, probability, value in (
            (PRIVATE_KEY, 0.15, lambda: d.pick(PRIVATE)), (PUBLIC_KEY, 0.03, lambda: d.bytes(32)),
            (FLAGS, 0.15, lambda: u(4, REPLACE_PEERS if d.chance(0.3) else 0)),
            (LISTEN_PORT, 0.15, lambda: u(2, d.pick(ports))), (FWMARK, 0.15, lambda: u(4, d.number(32))),
            (PEERS | NESTED, 0.85, lambda: [[NESTED, peer(d)] for _ in range(d.below(4))])):
        if d.chance(probability):
            tree.append([kind, value()])
    return tree


def serialize(tree):
    """Its bytes; a third element of a node is added to the length that it tells."""
    out = []
    for node in tree:
        body = serialize(node[1]) if isinstance(node[1], list) else node[1]
        size = 4 + len(body) + (node[2] if len(node) > 2 else 0)
        out.append(struct.pack("=HH", size & 0xFFFF, node[0]) + body + bytes(-len(body) % 4))
    return b"".join(out)


def lists(tree):
    """All lists of nodes in it, itself first."""
    out = [tree]
    for node in tree:
        if isinstance(node[1], list):
            out += lists(node[1])
    return out


def copy(tree):
    return [[node[0], copy(node[1]) if isinstance(node[1], list) else node[1], *node[2:]] for node in tree]


def damage(d, tree):
    """One change somewhere in the tree."""
    level = d.pick([one for one in lists(tree) if one])
    at = d.below(len(level))
    node, how = level[at], d.below(12)
    flat = node[1] if not isinstance(node[1], list) else serialize(node[1])
    if how == 0:
        del level[at]
    elif how == 1:
        level.insert(d.below(len(level) + 1), copy([node])[0])
    elif how == 2:
        level.append(level.pop(at))
    elif how == 3:
        node[0] = node[0] & 0xC000 | d.pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x3FFF, d.below(0x4000)])
    elif how == 4:
        node[0] ^= d.pick([0x8000, 0x4000, 0xC000])
    elif how == 5:
        node[1] = flat[:d.below(len(flat) + 1)]
    elif how == 6:
        node[1] = flat + d.bytes(1 + d.below(20))
    elif how == 7:
        node[1] = d.bytes(len(flat))
    elif how == 8 and flat:
        at = d.below(len(flat))
        node[1] = flat[:at] + bytes([flat[at] ^ 1 << d.below(8)]) + flat[at + 1:]
    elif how == 9:
        node[2:] = [d.pick([-5, -4, -3, -1, 1, 3, 4, 100, d.below(65536)])]
    elif how == 10:
        node[1] = copy([d.pick(d.pick([one for one in lists(tree) if one]))])
        for _ in range(d.below(20)):
            node[1] = [[NESTED | d.below(10), node[1]]]
    elif len(flat) in (1, 2, 4, 8):
        node[1] = u(len(flat), d.number(8 * len(flat)))


def request(d, ports):
    """A request: (bytes, header fields)."""
    tree = device(d, ports)
    if d.chance(0.6):
        for _ in range(1 + d.below(3)):
            if tree:
                damage(d, tree)
    body = serialize(tree)
    if d.chance(0.1) and body:
        at = d.below(len(body))
        body = d.pick([body[:at], body[:at] + bytes([d.below(256)]) + body[at + 1:], body + d.bytes(1 + d.below(8))])
    how = {"version": d.below(3)}
    if d.chance(0.03):
        how["reserved"] = d.number(16)
    if d.chance(0.03):
        how["flags"] = REQUEST | ACK | d.pick([8, 0x10, 0x40, 0x400, 0x800])
    return body, how


def fresh_device(state="down"):
    run("ip", "link", "del", DEVICE, check=False)
    run("ip", "link", "add", DEVICE, "type", "wireguard")
    run("ip", "link", "set", DEVICE, state)


def sound(config, text):
    """What holds of every configuration, however it came to be."""
    _, _, private, peers = config
    keys = [entry[0] for entry in peers]
    equal(len(set(keys)), len(keys), "peers listed once, " + text)
    prefixes = [prefix for entry in peers for prefix in entry[4]]
    equal(len(set(prefixes)), len(prefixes), "prefixes with one owner, " + text)
    if private:
        true(public_key(private) not in keys, "our own key is no peer, " + text)


@case("N4 N5 N7 N12 grown and damaged requests: errno and configuration as with the C driver")
def _pinned(w):
    del w
    fresh_device()
    d, client, outcomes = Dice(PINNED_SEED), genl.Client(), []
    for _ in range(PINNED):
        body, how = request(d, [0, 1, 2, 51820, 65535])
        got = name_of(client.request(body, **how))
        outcomes.append((got, client.config(DEVICE)))
        if len(outcomes[-1][1][3]) > 6:
            client.set(DEVICE, genl.u32(FLAGS, REPLACE_PEERS))
    client.close()
    run("ip", "link", "del", DEVICE)
    answers = [got for got, _ in outcomes]
    diag({got: answers.count(got) for got in sorted(set(answers))})
    true(PINNED / 4 < answers.count("ok") < PINNED * 3 / 4, "some are right, some are wrong")
    netlink_pins.compare("fuzz", outcomes)


@case("N4 N5 N22 grown and damaged requests of any seed, while the device is up: sound, and an honest peer goes on")
def _free(w):
    number = seed()
    diag(f"SEED={number}")
    end = w.end()
    end.handshake()
    run("ip", "netns", "add", SPACE)
    try:
        # Apart: one damaged request in some ten thousands names the peer's device.
        with netns.entered(SPACE), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", TAKEN))
            count, answers = any_requests(number, time.monotonic() + seconds(6))
    finally:
        run("ip", "netns", "del", SPACE)
    diag(f"{count} requests: {answers}")
    true(count > 100 and answers.get("ok"), "enough of them")
    end.alive()
    equal(len(w.netlink.device("wg0")[1]), 1, "the other device's peers")


def any_requests(number, until):
    """Requests until that time: how many, and how often each answer came."""
    d, client, count, answers = Dice(number), genl.Client(), 0, {}
    fresh_device("up")
    while time.monotonic() < until:
        body, how = request(d, [0, 0, 41000 + d.below(50), TAKEN])
        if d.chance(0.1):
            messages, got = client.dump(body, reserved=how.get("reserved", 0), version=how["version"])
            got = name_of(got)
            true(got == "ok" or not messages, f"a list and an error, request {count}")
        else:
            got = name_of(client.request(body, **how))
        true(got in ERRORS, f"SEED={number}, request {count}: {got} to {body.hex()}")
        answers[got] = answers.get(got, 0) + 1
        count += 1
        if count % 20 == 0:
            config = client.config(DEVICE)
            sound(config, f"SEED={number}, request {count}")
            if len(config[3]) > 6:
                client.set(DEVICE, genl.u32(FLAGS, REPLACE_PEERS))
        if count % 500 == 0:
            fresh_device("up")
    client.close()
    run("ip", "link", "del", DEVICE)
    return count, answers
