# SPDX-License-Identifier: GPL-2.0
"""Hostile requests: every length, every cut, no rights, lists of things that vanish.

What a wrong request may have changed is compared with what the C driver changed: see netlink_pins.py.
"""

import os
import struct
import threading

import genl
import netlink_pins
from genl import (A_CIDR, A_FAMILY, A_FLAGS, A_IPADDR, FLAGS, FWMARK, IFINDEX, IFNAME, LISTEN_PORT,
                  NESTED, P_ALLOWEDIPS, P_ENDPOINT, P_FLAGS, P_KEEPALIVE, P_LAST_HANDSHAKE, P_PROTOCOL,
                  P_PSK, P_PUBLIC_KEY, P_RX_BYTES, P_TX_BYTES, PEERS, PRIVATE_KEY, PUBLIC_KEY,
                  REMOVE_ME, REPLACE_PEERS, allowed, array, attr, name, peer, u16, u32, u8)
from ktap import Skip, case, equal, name_of, ours, refused, run, true
from netlink_refusals import KEY, WG0, in_child, one_peer, sin, sin6

CLONE_NEWUSER = 0x10000000
LENGTHS = list(range(37)) + [64, 255, 1000]
V4 = u16(A_FAMILY, 2), attr(A_IPADDR, bytes([10, 0, 0, 0])), u8(A_CIDR, 8)

# (type, policy, what a right length of zeros leads to); the policies of contract N5.
DEVICE = [(IFINDEX, 4, "ENODEV"), (IFNAME, "name", "ok"), (PRIVATE_KEY, (32, 32), "ok"), (PUBLIC_KEY, (32, 32), "ok"),
          (FLAGS, 4, "ok"), (LISTEN_PORT, 2, "ok"), (FWMARK, 4, "ok"), (PEERS, "array", "ok")]
PEER = [(P_PUBLIC_KEY, (32, 32), "ok"), (P_PSK, (32, 32), "ok"), (P_FLAGS, 4, "ok"), (P_ENDPOINT, (16, 65535), "ok"),
        (P_KEEPALIVE, 2, "ok"), (P_LAST_HANDSHAKE, (16, 16), "ok"), (P_RX_BYTES, 8, "ok"), (P_TX_BYTES, 8, "ok"),
        (P_ALLOWEDIPS, "array", "ok"), (P_PROTOCOL, 4, "EPFNOSUPPORT")]
ALLOWED = [(A_FAMILY, 2, "EINVAL"), (A_IPADDR, (4, 65535), "ok"), (A_CIDR, 1, "ok"), (A_FLAGS, 4, "ok")]


def verdict(policy, length, flags):
    """The errno by which strict validation refuses an attribute of zeros, or None."""
    nested = bool(flags & NESTED)
    if isinstance(policy, int):
        return "EINVAL" if length != policy or nested else None
    if nested != (policy == "array"):
        return "EINVAL"
    if policy == "array":
        return "ERANGE" if 0 < length < 4 else None
    if policy == "name":
        return "EINVAL" if length < 4 else "ERANGE" if length > 16 else None
    return None if policy[0] <= length <= policy[1] else "ERANGE"


def content(kind, policy, length):
    if policy == "name":
        return (b"wg0" + bytes(length))[:length]
    return bytes([10]) + bytes(length - 1) if kind == A_IPADDR and policy == (4, 65535) and length else bytes(length)


def _each_length(client, table, wrap, after):
    """Every length with every flag bit; `after` maps a refusal by the handler to the state it leaves."""
    base, wrong = client.config("wg0"), []
    for kind, policy, good in table:
        for flags in (0, NESTED, 0x4000, 0xC000):
            for length in LENGTHS:
                expected = verdict(policy, length, flags)
                early = expected is not None
                if not early:
                    expected = "EINVAL" if kind == A_IPADDR and table is ALLOWED and length != 4 else good
                got = name_of(client.request(wrap(kind, attr(kind | flags, content(kind, policy, length)))))
                text = client.text
                state = client.config("wg0")
                label = f"attribute {kind} | {flags:#x} of {length} bytes: {got}"
                if got != expected:
                    wrong.append(f"{label}, expected {expected}")
                elif got != "ok" and state != (base if early else after(kind)(base)):
                    wrong.append(f"{label}, and the configuration changed")
                elif got != "ok" and ours() and not text:
                    wrong.append(f"{label}, without a word")
                if state != base:
                    client.set("wg0", u32(FLAGS, REPLACE_PEERS))
    equal(wrong[:10], [], f"{len(wrong)} differences")


@case("N4 N5 every attribute of the device at every length, with every flag bit")
def _device_lengths(client):
    def wrap(kind, body):
        return body if kind in (IFINDEX, IFNAME) else WG0 + body

    _each_length(client, DEVICE, wrap, lambda kind: lambda base: base)


@case("N4 N5 every attribute of a peer at every length, with every flag bit")
def _peer_lengths(client):
    def wrap(kind, body):
        return WG0 + array(PEERS, [body if kind == P_PUBLIC_KEY else attr(P_PUBLIC_KEY, KEY) + body])

    _each_length(client, PEER, wrap, lambda kind: lambda base: base)


@case("N4 N5 every attribute of an allowed IP at every length, with every flag bit")
def _allowed_lengths(client):
    def wrap(kind, body):
        parts = list(V4)
        if kind <= len(parts):
            parts[kind - 1] = body
        else:
            parts.append(body)
        return WG0 + one_peer(ips=[b"".join(parts)])

    # What the handler refuses, it refuses when the peer is there.
    _each_length(client, ALLOWED, wrap, lambda kind: lambda base: base[:3] + ([(KEY, bytes(32), None, bytes(2), [])],))


@case("N4 types beyond the last, with and without flag bits; bytes behind each nest")
def _unknown(client):
    base, wrong = client.config("wg0"), []
    ip = b"".join(V4)
    for level, last, wrap in (("device", PEERS, lambda b: WG0 + b), ("peer", P_PROTOCOL, lambda b: WG0 + one_peer(b)),
                              ("allowed IP", A_FLAGS, lambda b: WG0 + one_peer(ips=[ip + b]))):
        kinds = [0, last + 1, last + 2, 100, 255, 256, 0x3FFF]
        bodies = [attr(kind | flags, bytes(n)) for kind in kinds for flags in (0, NESTED, 0x4000, 0xC000) for n in (0, 4)]
        for body in bodies + [b"\0", b"\1\2\3", struct.pack("=HH", 0, 1), struct.pack("=HH", 3, 1), struct.pack("=HH", 65535, 1) + bytes(8)]:
            got = name_of(client.request(wrap(body)))
            if got != "EINVAL" or client.config("wg0") != base:
                wrong.append(f"{level}: {body.hex()}: {got}")
                client.set("wg0", u32(FLAGS, REPLACE_PEERS))
    equal(wrong[:10], [], f"{len(wrong)} differences")


# What the driver itself refuses: (what, request, errno, text, payload of the attribute to blame or
# the type that is missing).
OWN = [
    ("no selector", b"", "EBADR", "name the interface by either its index or its name", None, None),
    ("both selectors", u32(IFINDEX, 1) + WG0, "EBADR", "name the interface by either its index or its name", u32(IFINDEX, 1), None),
    ("unknown name", name("nowhere"), "ENODEV", "no such interface in this network namespace", name("nowhere"), None),
    ("another kind", name("lo"), "EOPNOTSUPP", "not a WireGuard interface", name("lo"), None),
    ("no public key", WG0 + array(PEERS, [u16(P_KEEPALIVE, 5)]), "EINVAL", "peer without public key", None, P_PUBLIC_KEY),
    ("protocol version", WG0 + one_peer(u32(P_PROTOCOL, 2)), "EPFNOSUPPORT", "only version 1 of the protocol is known",
     u32(P_PROTOCOL, 2), None),
    ("no family", WG0 + one_peer(ips=[V4[1] + V4[2]]), "EINVAL", "an allowed IP needs family, address and prefix length", None, A_FAMILY),
    ("no address", WG0 + one_peer(ips=[V4[0] + V4[2]]), "EINVAL", "an allowed IP needs family, address and prefix length", None, A_IPADDR),
    ("no length", WG0 + one_peer(ips=[V4[0] + V4[1]]), "EINVAL", "an allowed IP needs family, address and prefix length", None, A_CIDR),
    ("IPv4 of 5 bytes", WG0 + one_peer(ips=[V4[0] + attr(A_IPADDR, bytes(5)) + V4[2]]), "EINVAL", "an IPv4 address has 4 bytes",
     attr(A_IPADDR, bytes(5)), None),
    ("IPv6 of 4 bytes", WG0 + one_peer(ips=[u16(A_FAMILY, 10) + V4[1] + V4[2]]), "EINVAL", "an IPv6 address has 16 bytes", V4[1], None),
    ("another family", WG0 + one_peer(ips=[u16(A_FAMILY, 3) + V4[1] + V4[2]]), "EINVAL", "neither IPv4 nor IPv6", u16(A_FAMILY, 3), None),
    ("IPv4 prefix of 33", WG0 + one_peer(ips=[V4[0] + V4[1] + u8(A_CIDR, 33)]), "EINVAL", "prefix longer than the address", u8(A_CIDR, 33), None),
    ("entry without the flag", WG0 + genl.nest(PEERS, attr(0, peer(KEY))), "EINVAL", "nested attribute without NLA_F_NESTED",
     attr(0, peer(KEY)), None),
]


@case("N4 N5 N6 the driver's own refusals: errno, text, and which attribute")
def _own(client):
    if not ours():
        raise Skip("the C driver says nothing")
    wrong = []
    for what, body, number, text, blamed, missing in OWN:
        got = name_of(client.request(body))
        # Offsets count from the message's header: 16 bytes, and 4 of generic netlink.
        at = None if blamed is None else 20 + body.index(blamed)
        if (got, client.text, client.offset, client.missing) != (number, text, at, missing):
            wrong.append((what, got, client.text, client.offset, client.missing, at))
        client.set("wg0", u32(FLAGS, REPLACE_PEERS))
    equal(wrong, [], "refusals")


WHOLE = [
    (IFNAME, b"wg0\0"), (FWMARK, struct.pack("=I", 5)), (PRIVATE_KEY, bytes(range(1, 33))), (LISTEN_PORT, struct.pack("=H", 7)),
    (PEERS | NESTED, [
        (NESTED, [(P_PUBLIC_KEY, KEY), (P_PSK, KEY), (P_ENDPOINT, sin6()), (P_KEEPALIVE, struct.pack("=H", 3)), (P_ALLOWEDIPS | NESTED, [
            (NESTED, [(A_FAMILY, struct.pack("=H", 2)), (A_IPADDR, b"\n\0\0\0"), (A_CIDR, b"\b")]),
            (NESTED, [(A_FAMILY, struct.pack("=H", 10)), (A_IPADDR, b"\xfd" + bytes(15)), (A_CIDR, b"\x40")])])]),
        (NESTED, [(P_PUBLIC_KEY, bytes(reversed(KEY))), (P_ENDPOINT, sin()), (P_ALLOWEDIPS | NESTED, [
            (NESTED, [(A_FAMILY, struct.pack("=H", 2)), (A_IPADDR, b"\n\0\0\0"), (A_CIDR, b"\b")])])])])]


def serialize(tree, left, honest):
    """At most `left` bytes of a tree of attributes. The lengths of what is cut are those of what is
    left of it if `honest`; else a leaf tells its old one."""
    out = b""
    for kind, inside in tree:
        room = left - len(out)
        if room < 4:
            return out + struct.pack("=HH", 4, kind)[:max(room, 0)]
        body = serialize(inside, room - 4, honest) if isinstance(inside, list) else inside[:room - 4]
        told = len(body) if honest or isinstance(inside, list) else len(inside)
        out += struct.pack("=HH", 4 + told, kind) + body
        out += bytes(min(-len(body) % 4, max(left - len(out), 0)))
    return out


def size_of(tree):
    return sum(4 + (size_of(v) if isinstance(v, list) else len(v) + 3 & ~3) for _, v in tree)


@case("N4 N5 N7 a request cut at every byte: what is applied is what the C driver applies")
def _cuts(client):
    outcomes = []
    for honest in (True, False):
        for left in range(size_of(WHOLE)):
            number = client.request(serialize(WHOLE, left, honest))
            outcomes.append((name_of(number), client.config("wg0")))
            refused(client.set("wg0", attr(PRIVATE_KEY, bytes(32)), u32(FWMARK, 0), u16(LISTEN_PORT, 0), u32(FLAGS, REPLACE_PEERS)), 0, "reset")
    # The whole message with its end cut off, lengths untouched: refused before anything is applied.
    base, whole = client.config("wg0"), serialize(WHOLE, 10**6, True)
    top = [0]
    for _, payload in genl.parse(whole):
        top.append(top[-1] + 4 + (len(payload) + 3 & ~3))
    for cut in set(range(len(whole))) - set(top):
        got = client.request(whole[:cut])
        # Padding of the last attribute may be missing.
        if not any(end - 4 < cut < end for end in top):
            true(got != 0, f"cut at {cut}")
            equal(client.config("wg0"), base, f"configuration after a cut at {cut}")
        else:
            client.set("wg0", attr(PRIVATE_KEY, bytes(32)), u32(FWMARK, 0), u16(LISTEN_PORT, 0), u32(FLAGS, REPLACE_PEERS))
    netlink_pins.compare("cuts", outcomes)


@case("N2 a user namespace without rights over the network namespace: EPERM, nothing shown or changed")
def _no_rights(client):
    refused(client.set("wg0", attr(PRIVATE_KEY, KEY), array(PEERS, [peer(KEY)])), 0, "setup")
    before = client.config("wg0")

    def body():
        os.unshare(CLONE_NEWUSER)
        other = genl.Client()
        out = [name_of(other.dump(name("wg0"))[1])]
        for parts in (b"", u32(FWMARK, 9), u16(LISTEN_PORT, 9), attr(PRIVATE_KEY, bytes(32)), u32(FLAGS, REPLACE_PEERS),
                      array(PEERS, [peer(KEY, flags=REMOVE_ME)]), array(PEERS, [peer(bytes(32))])):
            out.append(name_of(other.set("wg0", parts)))
        # Not even whether a name exists.
        out.append(name_of(other.set("nowhere", b"")))
        return " ".join(out)

    equal(in_child(body), " ".join(["EPERM"] * 9), "GET, SET")
    equal(client.config("wg0"), before, "configuration")


def _peer_key(number):
    return struct.pack(">I", number + 1) + bytes(28)


def _fill(client, count):
    for at in range(0, count, 50):
        refused(client.set("wg0", array(PEERS, [peer(_peer_key(i), ips=[allowed(f"10.{i >> 8}.{i & 255}.{j}", 32) for j in range(3)])
                                                for i in range(at, min(at + 50, count))])), 0, "peers")


@case("N19 N20 N21 a dump in which peers vanish between any two messages")
def _vanishing(client):
    _fill(client, 300)
    small = genl.Client(size=8192)
    total = len(small.dump(name("wg0"))[0])
    true(total >= 4, f"{total} messages")
    other = genl.Client()
    for at in range(1, total):
        for which in ("cursor", "next", "before", "all"):
            small.dump_start(name("wg0"))
            seen, done, count, removed = [], None, 0, set()
            while done is None:
                more, done = small.dump_next()
                count += len(more)
                seen += [struct.unpack_from(">I", genl.get(p, P_PUBLIC_KEY))[0] - 1 for m in more for p in m.peers()]
                if count >= at and not removed:
                    last = seen[-1]
                    removed = set({"cursor": [last], "next": range(last + 1, min(last + 40, 300)), "before": range(last), "all": range(300)}[which])
                    victims = [peer(_peer_key(i), flags=REMOVE_ME) for i in removed]
                    if victims:
                        refused(other.set("wg0", array(PEERS, victims)), 0, "removal")
            refused(done, 0, f"dump, {which} after message {at}")
            # A continuation of a peer repeats its key, in the next message only.
            order = [n for i, n in enumerate(seen) if i == 0 or seen[i - 1] != n]
            equal(order, sorted(set(order)), f"order, {which} after message {at}")
            if ours():
                late = set(range(300)) - set(order) - removed
                equal(late, set(), f"peers that stayed are listed, {which} after message {at}")
            refused(other.set("wg0", u32(FLAGS, REPLACE_PEERS)), 0, "reset")
            _fill(client, 300)
    small.close()
    other.close()


@case("N21 the device is deleted while several dumps are half read, closed or left alone")
def _deleted_dumps(client):
    for round_ in range(3):
        _fill(client, 200)
        clients = [genl.Client(size=8192) for _ in range(6)]
        for i, dumper in enumerate(clients):
            dumper.dump_start(name("wg0"))
            for _ in range(i % 3):
                dumper.dump_next()
        thread = threading.Thread(target=run, args=("ip", "link", "del", "wg0"), daemon=True)
        thread.start()
        for i, dumper in enumerate(clients):
            if i % 2:
                done = None
                while done is None:
                    _, done = dumper.dump_next()
                true(name_of(done) in ("ok", "ENODEV"), f"end of a dump: {name_of(done)}")
            # A socket that is closed gives up its dump.
            dumper.close()
        thread.join(60)
        true(not thread.is_alive(), f"the deletion came to its end ({round_})")
        run("ip", "link", "add", "wg0", "type", "wireguard")


@case("N22 requests of many kinds from several sockets while the device comes and goes")
def _race(client):
    del client
    stop, wrong = threading.Event(), []
    fine = {"ok", "ENODEV", "EOPNOTSUPP"}

    def setter(which):
        mine = genl.Client()
        i = 0
        while not stop.is_set():
            i += 1
            number = mine.set("wg0", u32(FLAGS, REPLACE_PEERS if i % 7 == 0 else 0), array(PEERS, [
                peer(_peer_key(which * 1000 + i % 50), attr(P_ENDPOINT, sin()), u16(P_KEEPALIVE, i % 3), ips=[allowed(f"10.{which}.{i % 50}.0", 24)])]))
            if name_of(number) not in fine:
                wrong.append(("set", name_of(number)))

    def lister():
        mine = genl.Client(size=8192)
        while not stop.is_set():
            _, number = mine.dump(name("wg0"))
            if name_of(number) not in fine:
                wrong.append(("dump", name_of(number)))

    threads = [threading.Thread(target=setter, args=(n,), daemon=True) for n in range(2)] + [threading.Thread(target=lister, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(15):
        run("ip", "link", "set", "wg0", "up" if i % 2 else "down")
        run("ip", "link", "del", "wg0")
        run("ip", "link", "add", "wg0", "type", "wireguard")
    stop.set()
    for thread in threads:
        thread.join(60)
        true(not thread.is_alive(), "a socket's work came to its end")
    equal(wrong, [], "errors")
