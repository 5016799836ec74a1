#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The netlink interface, case by case. To be run in a network namespace of its own."""

import base64
import contextlib
import os
import socket
import struct
import threading

import genl
import ktap
import netlink_hostile  # noqa: F401  (registers its cases)
from genl import (DUMP_INTR, FLAGS, FWMARK, IFINDEX, IFNAME, LISTEN_PORT, P_ALLOWEDIPS, P_ENDPOINT,
                  P_KEEPALIVE, P_LAST_HANDSHAKE, P_PROTOCOL, P_PSK, P_PUBLIC_KEY, P_RX_BYTES,
                  P_TX_BYTES, PEERS, PRIVATE_KEY, PUBLIC_KEY, REMOVE_ME, REPLACE_ALLOWEDIPS,
                  REPLACE_PEERS, UPDATE_ONLY, allowed, array, attr, name, peer, u16, u32)
from ktap import case, equal, refused, run, true
from netlink_refusals import in_child, sin, sin6

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def key(number):
    """A public key of which the first bytes tell the number."""
    return struct.pack(">I", number + 1) + bytes(28)


def number_of(fields):
    return struct.unpack_from(">I", genl.get(fields, P_PUBLIC_KEY))[0] - 1


def ips_of(entry):
    return [genl.prefix(e) for e in entry[1]]


def u32_of(attributes, kind):
    return struct.unpack("=I", genl.get(attributes, kind))[0]


def fill(client, peers, ips, first=0):
    """Peers with `ips` allowed IPs each, in requests that fit a message."""
    todo = []
    for i in range(first, first + peers):
        prefixes = [allowed(f"10.{i >> 8 & 255}.{i & 255}.{j}", 32) if j < 256 and i < 65536 else
                    allowed(f"fd00:{i:x}::{j:x}", 128) for j in range(ips)]
        for at in range(0, max(1, ips), 500):
            todo.append(peer(key(i), ips=prefixes[at:at + 500]))
            if sum(map(len, todo)) > 20000:
                refused(client.set("wg0", array(PEERS, todo)), 0, "adding peers")
                todo = []
    refused(client.set("wg0", array(PEERS, todo)), 0, "adding peers")


@case("N1 the family: version 1, no header, no multicast groups but ours")
def _family(client):
    info = client.info
    equal(genl.get(info, 2), b"wireguard\0", "name")
    equal(struct.unpack("=I", genl.get(info, 3))[0], 1, "version")
    equal(struct.unpack("=I", genl.get(info, 4))[0], 0, "header size")
    groups = [genl.get(group, 1) for group in genl.entries(genl.get(info, 7))]
    equal(groups, [b"peers\0"] if ktap.ours() else [], "multicast groups")
    commands = {}
    for op in genl.entries(genl.get(info, 6)):
        commands[struct.unpack("=I", genl.get(op, 1))[0]] = struct.unpack("=I", genl.get(op, 2))[0]
    equal(sorted(commands), [0, 1], "commands")
    # GENL_UNS_ADMIN_PERM 0x10, CMD_CAP_DO 2, CMD_CAP_DUMP 4.
    true(commands[0] & 0x16 == 0x14, f"GET: dump only, with rights ({commands[0]:#x})")
    true(commands[1] & 0x16 == 0x12, f"SET: do only, with rights ({commands[1]:#x})")


@case("N17 N18 order of attributes in a reply")
def _order(client):
    equal(genl.types(client.device("wg0")[0]), [LISTEN_PORT, FWMARK, IFINDEX, IFNAME], "device without key")
    refused(client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))), array(PEERS, [
        peer(key(1), attr(P_PSK, b"p" * 32), attr(P_ENDPOINT, sin(5)), u16(P_KEEPALIVE, 7),
             ips=[allowed("10.0.0.0", 8), allowed("fd00::", 64)]), peer(key(2))])), 0, "set")
    messages, _ = client.dump(name("wg0"))
    equal(genl.types(messages[0].attributes), [LISTEN_PORT, FWMARK, IFINDEX, IFNAME, PRIVATE_KEY, PUBLIC_KEY, PEERS], "device")
    equal([(m.command, m.flags & genl.MULTI) for m in messages], [(0, genl.MULTI)] * len(messages), "headers")
    full, bare = messages[0].peers()
    fixed = [P_PUBLIC_KEY, P_PSK, P_LAST_HANDSHAKE, P_KEEPALIVE, P_TX_BYTES, P_RX_BYTES, P_PROTOCOL]
    equal(genl.types(full), fixed + [P_ENDPOINT, P_ALLOWEDIPS], "peer with everything")
    equal(genl.types(bare), fixed, "peer with nothing")
    equal(genl.get(full, P_PSK), b"p" * 32, "psk")
    equal(genl.get(bare, P_PSK), bytes(32), "no psk")
    equal(genl.get(full, P_LAST_HANDSHAKE), bytes(16), "handshake time")
    equal(genl.get(full, P_PROTOCOL), struct.pack("=I", 1), "protocol version")
    equal(genl.get(full, P_KEEPALIVE), struct.pack("=H", 7), "keepalive")
    raw = genl.parse(genl.get(full, P_ALLOWEDIPS))
    equal([kind & 0x3FFF for kind, _ in raw], [0, 0], "types in an array")
    equal([genl.types(e) for e in genl.entries(genl.get(full, P_ALLOWEDIPS))],
          [[genl.A_CIDR, genl.A_FAMILY, genl.A_IPADDR]] * 2, "allowed IP")
    equal(genl.get(messages[0].attributes, IFNAME), b"wg0\0", "name")


def _check_dump(size, counts):
    """Dumps with a receive buffer of `size`; checks every rule of fragmentation."""
    sized = genl.Client(size=size)
    messages, number = sized.dump(name("wg0"))
    sized.close()
    refused(number, 0, "dump")
    seen, completed = {}, False
    device = [LISTEN_PORT, FWMARK, IFINDEX, IFNAME, PRIVATE_KEY, PUBLIC_KEY]
    for at, message in enumerate(messages):
        kinds = genl.types(message.attributes)
        peers = message.peers()
        equal(kinds, ([] if completed else device) + ([PEERS] if peers else []), f"attributes of message {at}")
        true(not message.flags & DUMP_INTR, "not interrupted")
        for fields in peers:
            who = number_of(fields)
            if who in seen:
                equal(genl.types(fields), [P_PUBLIC_KEY, P_ALLOWEDIPS], "continuation")
            else:
                if seen:
                    completed = True
                true(len(fields) >= 7, "all fields of a new peer")
                seen[who] = []
            seen[who] += [genl.prefix(e) for e in genl.entries(genl.get(fields, P_ALLOWEDIPS))]
        # The cursor moves once a peer is complete; that shows with the next message.
        if peers and at + 1 < len(messages) and messages[at + 1].peers():
            nxt = messages[at + 1].peers()[0]
            completed = completed or len(genl.types(nxt)) != 2
    equal(list(seen), list(counts), "peers in order")
    equal({who: len(ips) for who, ips in seen.items()}, counts, "allowed IPs of each")
    equal(len({ip for ips in seen.values() for ip in ips}), sum(counts.values()), "different prefixes")
    return len(messages)


@case("N19 N17 one peer with 20,000 allowed IPs")
def _one_big(client):
    client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))))
    fill(client, 1, 20000)
    parts = {size: _check_dump(size, {0: 20000}) for size in (65536, 8192)}
    ktap.diag(f"messages by buffer size: {parts}")
    true(parts[8192] > 10, "several messages")


@case("N19 N17 1,000 peers")
def _many_peers(client):
    client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))))
    fill(client, 1000, 3)
    for size in (65536, 8192):
        _check_dump(size, {i: 3 for i in range(1000)})


@case("N19 mixed: 40 x 52, an empty one, 197 after it, 30 more")
def _mixed(client):
    client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))))
    shape = [52] * 40 + [0, 197, 0] + [3] * 30
    for i, ips in enumerate(shape):
        fill(client, 1, ips, first=i)
    for size in (65536, 8192, 16384):
        _check_dump(size, dict(enumerate(shape)))


@case("N19 fragmentation at every filling of a message")
def _boundaries(client):
    client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))))
    fill(client, 2, 1)
    extra = 0
    for ips in range(250, 290):
        fill(client, 1, ips)
        extra = max(extra, _check_dump(8192, {0: ips, 1: 1}))
    true(extra >= 2, "more than one message")


@case("N20 a SET during a dump marks it interrupted")
def _interrupted(client):
    fill(client, 600, 3)
    other = genl.Client()
    client.dump_start(name("wg0"))
    first, done = client.dump_next()
    true(done is None, "the dump goes on")
    true(not any(m.flags & DUMP_INTR for m in first), "not interrupted yet")
    refused(other.set("wg0", u32(FWMARK, 5)), 0, "set meanwhile")
    rest = []
    while done is None:
        more, done = client.dump_next()
        rest += more
    true(any(m.flags & DUMP_INTR for m in rest), "interrupted")
    other.close()


@case("N20 peers removed during a dump")
def _removed(client):
    fill(client, 600, 3)
    other = genl.Client()
    client.dump_start(name("wg0"))
    client.dump_next()
    refused(other.set("wg0", u32(FLAGS, REPLACE_PEERS), array(PEERS, [peer(key(7))])), 0, "replace all")
    done, rest = None, []
    while done is None:
        more, done = client.dump_next()
        rest += more
    refused(done, 0, "end of the dump")
    true(len(rest) < 4, "it ended soon")
    equal([number_of(p[0]) for p in client.device("wg0")[1]], [7], "a new dump")
    other.close()


@case("N20 allowed IPs changed during a dump of one peer")
def _ips_changed(client):
    fill(client, 1, 5000)
    other = genl.Client()
    client.dump_start(name("wg0"))
    client.dump_next()
    refused(other.set("wg0", array(PEERS, [peer(key(0), flags=REPLACE_ALLOWEDIPS, ips=[allowed("10.9.9.9", 32)])])), 0, "replace")
    done, rest = None, []
    while done is None:
        more, done = client.dump_next()
        rest += more
    refused(done, 0, "end of the dump")
    true(any(m.flags & DUMP_INTR for m in rest) or not rest, "interrupted")
    equal(ips_of(client.device("wg0")[1][0]), ["10.9.9.9/32"], "a new dump")
    other.close()


@case("N21 a device deleted during a dump")
def _deleted(client):
    fill(client, 20, 200)
    client.dump_start(name("wg0"))
    client.dump_next()
    thread = threading.Thread(target=run, args=("ip", "link", "del", "wg0"), daemon=True)
    thread.start()
    done = None
    while done is None:
        _, done = client.dump_next()
    client.close()
    thread.join(20)
    true(not thread.is_alive(), "the deletion came to its end")
    refused(genl.Client().dump(name("wg0"))[1], 19, "afterwards")


@case("N7 order of a SET and no rollback")
def _set_order(client):
    busy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    busy.bind(("0.0.0.0", 3000))
    run("ip", "link", "set", "wg0", "up")
    refused(client.set("wg0", u16(LISTEN_PORT, 2999), array(PEERS, [peer(key(1))])), 0, "first")
    got = client.set("wg0", array(PEERS, [peer(key(2))]), attr(PRIVATE_KEY, bytes(range(32))),
                     u32(FLAGS, REPLACE_PEERS), u16(LISTEN_PORT, 3000), u32(FWMARK, 77))
    refused(got, 98, "busy port")
    attributes, peers = client.device("wg0")
    equal(u32_of(attributes, FWMARK), 77, "fwmark came first")
    equal(genl.get(attributes, PRIVATE_KEY), None, "private key comes later")
    equal([number_of(p[0]) for p in peers], [1], "peers come later")
    busy.close()
    # Key before peers: the peer with our own new key is ignored.
    pub = base64.b64decode(_pubkey(bytes(range(32))))
    refused(client.set("wg0", array(PEERS, [peer(pub), peer(key(3))]), attr(PRIVATE_KEY, bytes(range(32))),
                       u32(FLAGS, REPLACE_PEERS)), 0, "with our own key")
    equal([number_of(p[0]) for p in client.device("wg0")[1]], [3], "peers")
    # A failing peer: the ones before stay.
    got = client.set("wg0", u32(FLAGS, REPLACE_PEERS), array(PEERS, [peer(key(4)), peer(key(5), u32(P_PROTOCOL, 2)), peer(key(6))]))
    refused(got, 96, "protocol version")
    equal([number_of(p[0]) for p in client.device("wg0")[1]], [4], "peers before the bad one")


def _pubkey(private):
    import subprocess
    return subprocess.run(["wg", "pubkey"], input=base64.b64encode(private), stdout=subprocess.PIPE, check=True).stdout


@case("N9 listen port: same, another, random, busy")
def _port(client):
    def port():
        return struct.unpack("=H", genl.get(client.device("wg0")[0], LISTEN_PORT))[0]

    equal(port(), 0, "new device")
    refused(client.set("wg0", u16(LISTEN_PORT, 4000)), 0, "set while down")
    equal(port(), 4000, "stored")
    run("ip", "link", "set", "wg0", "up")
    refused(client.set("wg0", u16(LISTEN_PORT, 4000)), 0, "the same while up")
    refused(client.set("wg0", u16(LISTEN_PORT, 4001)), 0, "another while up")
    equal(port(), 4001, "moved")
    with open("/proc/net/udp", encoding="ascii") as table:
        text = table.read()
    true(":0FA1 " in text and ":0FA0 " not in text, "old socket closed, new one open")
    busy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    busy.bind(("0.0.0.0", 4002))
    refused(client.set("wg0", u16(LISTEN_PORT, 4002)), 98, "busy port")
    equal(port(), 4001, "kept")
    busy.close()
    refused(client.set("wg0", u16(LISTEN_PORT, 0)), 0, "random")
    true(port() not in (0, 4001), "a real port")


@case("N12 N10 peer flags: remove, update only, replace")
def _peer_flags(client):
    def numbers():
        return [number_of(p[0]) for p in client.device("wg0")[1]]

    for flags in (REMOVE_ME, UPDATE_ONLY, REMOVE_ME | UPDATE_ONLY):
        refused(client.set("wg0", array(PEERS, [peer(key(1), flags=flags)])), 0, "unknown peer")
    equal(numbers(), [], "nothing made")
    refused(client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("10.1.0.0", 16)])])), 0, "add")
    refused(client.set("wg0", array(PEERS, [peer(key(1), u16(P_KEEPALIVE, 9), flags=UPDATE_ONLY,
                                                 ips=[allowed("10.2.0.0", 16)])])), 0, "update")
    entry = client.device("wg0")[1][0]
    equal(ips_of(entry), ["10.1.0.0/16", "10.2.0.0/16"], "allowed IPs added")
    refused(client.set("wg0", array(PEERS, [peer(key(1), flags=REPLACE_ALLOWEDIPS, ips=[allowed("10.3.0.0", 16)])])), 0, "replace")
    equal(ips_of(client.device("wg0")[1][0]), ["10.3.0.0/16"], "allowed IPs replaced")
    # The same prefix again is kept once and goes to the end of nothing.
    refused(client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("10.3.0.0", 16)])])), 0, "again")
    equal(ips_of(client.device("wg0")[1][0]), ["10.3.0.0/16"], "once")
    # The rest of the entry of a peer that is removed is ignored, even if wrong.
    refused(client.set("wg0", array(PEERS, [peer(key(1), flags=REMOVE_ME, ips=[allowed("10.0.0.0", 33)])])), 0, "remove")
    equal(numbers(), [], "removed")
    refused(client.set("wg0", array(PEERS, [peer(key(i)) for i in (4, 2, 3)])), 0, "three")
    refused(client.set("wg0", u32(FLAGS, REPLACE_PEERS), array(PEERS, [peer(key(9)), peer(key(2))])), 0, "replace peers")
    equal(numbers(), [9, 2], "replaced")
    refused(client.set("wg0", u32(FLAGS, REPLACE_PEERS)), 0, "replace by none")
    equal(numbers(), [], "none")


@case("N14 allowed IPs: moved, removed only from their owner")
def _ips(client):
    client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("10.0.0.0", 24), allowed("10.0.1.0", 24)]),
                                    peer(key(2), ips=[allowed("10.0.2.0", 24)])]))

    def state():
        return [ips_of(p) for p in client.device("wg0")[1]]

    client.set("wg0", array(PEERS, [peer(key(2), ips=[allowed("10.0.0.77", 24)])]))
    equal(state(), [["10.0.1.0/24"], ["10.0.2.0/24", "10.0.0.0/24"]], "moved, host bits ignored")
    refused(client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("10.0.0.0", 24, 1)])])), 0, "not its own")
    refused(client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("10.0.1.0", 25, 1)])])), 0, "another length")
    equal(state(), [["10.0.1.0/24"], ["10.0.2.0/24", "10.0.0.0/24"]], "untouched")
    refused(client.set("wg0", array(PEERS, [peer(key(2), ips=[allowed("10.0.2.9", 24, 1), allowed("::", 0), allowed("0.0.0.0", 0)])])), 0, "its own")
    equal(state(), [["10.0.1.0/24"], ["10.0.0.0/24", "::/0", "0.0.0.0/0"]], "removed, defaults added")
    client.set("wg0", array(PEERS, [peer(key(2), flags=REMOVE_ME)]))
    client.set("wg0", array(PEERS, [peer(key(1), ips=[allowed("0.0.0.0", 0)])]))
    equal(state(), [["10.0.1.0/24", "0.0.0.0/0"]], "the prefixes of a removed peer are free")


@case("N11 private key: clamped, kept, removed")
def _private(client):
    refused(client.set("wg0", attr(PRIVATE_KEY, b"\xff" * 32)), 0, "set")
    attributes, _ = client.device("wg0")
    equal(genl.get(attributes, PRIVATE_KEY), b"\xf8" + b"\xff" * 30 + b"\x7f", "clamped")
    equal(base64.b64encode(genl.get(attributes, PUBLIC_KEY)), _pubkey(b"\xff" * 32).strip(), "public key")
    refused(client.set("wg0", attr(PRIVATE_KEY, bytes(32))), 0, "zeros")
    equal(genl.types(client.device("wg0")[0]), [LISTEN_PORT, FWMARK, IFINDEX, IFNAME], "no identity")


@case("N2 without CAP_NET_ADMIN nothing is shown or set")
def _unprivileged(_):
    def body():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        other = genl.Client()
        _, get = other.dump(name("wg0"))
        return f"{ktap.name_of(get)} {ktap.name_of(other.set('wg0', u32(FWMARK, 1)))}"

    equal(in_child(body), "EPERM EPERM", "GET, SET")


def _user_namespace(ready, go):
    """In a child: a user namespace of its own, mapped to root, with a network namespace."""
    os.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    os.write(ready, b"x")
    os.read(go, 1)


@case("N2 N3 rights from a user namespace: its own device, and one whose sockets are ours")
def _userns(client):
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()
    outer = {}

    def parent():
        os.read(ready_r, 1)
        pid = outer["pid"]
        for what in ("uid_map", "gid_map"):
            if what == "gid_map":
                with open(f"/proc/{pid}/setgroups", "w", encoding="ascii") as f:
                    f.write("deny")
            with open(f"/proc/{pid}/{what}", "w", encoding="ascii") as f:
                f.write("0 0 1")
        run("ip", "link", "add", "wgm", "type", "wireguard")
        run("ip", "link", "set", "wgm", "netns", str(pid))
        os.write(go_w, b"x")

    def body():
        _user_namespace(ready_w, go_r)
        other = genl.Client()
        out = [ktap.name_of(n) for n in (
            other.set("wgm", attr(PRIVATE_KEY, bytes(range(32)))),
            other.set("wgm", array(PEERS, [peer(key(1))])),
            other.set("wgm", u16(LISTEN_PORT, 9)),
            other.set("wgm", u32(FWMARK, 9)),
            other.set("wgm", u32(FWMARK, 9), attr(PRIVATE_KEY, bytes(32))),
            other.dump(name("wgm"))[1],
        )]
        out.append("key" if genl.get(other.device("wgm")[0], PRIVATE_KEY) else "none")
        # A device made here is wholly ours.
        run("ip", "link", "add", "wgn", "type", "wireguard")
        out.append(ktap.name_of(other.set("wgn", u16(LISTEN_PORT, 9), u32(FWMARK, 9), array(PEERS, [peer(key(1))]))))
        # And the family outside is out of reach: only names of this namespace.
        out.append(ktap.name_of(other.dump(name("wg0"))[1]))
        return " ".join(out)

    real_fork = os.fork

    def fork():
        pid = real_fork()
        if pid:
            outer["pid"] = pid
            threading.Thread(target=parent, daemon=True).start()
        return pid

    os.fork = fork
    try:
        said = in_child(body)
    finally:
        os.fork = real_fork
    equal(said, "ok ok EPERM EPERM EPERM ok key ok ENODEV", "what the user namespace may do")
    del client


@case("N5 N16 a big request with everything at once")
def _big(client):
    todo = [peer(key(i), attr(P_PSK, bytes([i & 255 or 1]) * 32), attr(P_ENDPOINT, sin(i + 1) if i % 2 else sin6(i + 1)),
                 u16(P_KEEPALIVE, i), ips=[allowed(f"10.{i >> 8}.{i & 255}.0", 24)]) for i in range(200)]
    refused(client.set("wg0", u32(FLAGS, REPLACE_PEERS), u16(LISTEN_PORT, 99), u32(FWMARK, 98), array(PEERS, todo)), 0, "set")
    attributes, peers = client.device("wg0")
    equal((u32_of(attributes, FWMARK), genl.get(attributes, LISTEN_PORT)), (98, struct.pack("=H", 99)), "device")
    equal([number_of(p[0]) for p in peers], list(range(200)), "peers")
    for i, entry in enumerate(peers):
        equal(genl.get(entry[0], P_ENDPOINT), sin(i + 1) if i % 2 else sin6(i + 1), "endpoint")
        equal(genl.get(entry[0], P_KEEPALIVE), struct.pack("=H", i), "keepalive")
        equal(ips_of(entry), [f"10.{i >> 8}.{i & 255}.0/24"], "allowed IPs")
        equal((genl.get(entry[0], P_RX_BYTES), genl.get(entry[0], P_TX_BYTES)), (bytes(8), bytes(8)), "counters")


@case("N22 requests and dumps from several sockets at once")
def _parallel(client):
    wrong = []

    def work(which):
        mine = genl.Client()
        for i in range(40):
            number = mine.set("wg0", array(PEERS, [peer(key(which * 100 + i), ips=[allowed(f"10.{which}.{i}.0", 24)])]))
            _, other = mine.dump(name("wg0"))
            if number or other:
                wrong.append((which, i, number, other))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    equal(wrong, [], "errors")
    equal(len(client.device("wg0")[1]), 160, "peers")


@case("R1 link requests: info data ignored on creation, refused on change")
def _link_info(_):
    rtnl = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    rtnl.bind((0, 0))

    def newlink(flags, data):
        info = genl.attr(1, b"wireguard\0") + (genl.attr(2 | genl.NESTED, data) if data is not None else b"")
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + genl.attr(3, b"wgi\0") + genl.attr(18 | genl.NESTED, info)
        rtnl.send(struct.pack("=IHHII", 16 + len(body), 16, 5 | flags, 1, 0) + body)
        return -struct.unpack_from("=i", rtnl.recv(65536), 16)[0]

    refused(newlink(0x600, genl.attr(1, b"abcd")), 0, "created with info data")
    refused(newlink(0, genl.attr(1, b"abcd")), 95, "changed with info data")
    refused(newlink(0, None), 0, "changed without info data")
    run("ip", "link", "del", "wgi")


@contextlib.contextmanager
def device():
    """A fresh wg0 around each case."""
    run("ip", "link", "del", "wg0", check=False)
    run("ip", "link", "add", "wg0", "type", "wireguard")
    client = genl.Client()
    try:
        yield client
    finally:
        client.close()
        # Quicker than to leave the peers to the deletion.
        other = genl.Client()
        other.set("wg0", u32(FLAGS, REPLACE_PEERS))
        other.close()
        run("ip", "link", "del", "wg0", check=False)


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    ktap.main(device)
