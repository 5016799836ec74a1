# SPDX-License-Identifier: GPL-2.0
"""What the netlink interface refuses, and with which errno."""

import os
import socket
import struct

import genl
from genl import (A_CIDR, A_FAMILY, A_FLAGS, A_IPADDR, ACK, DUMP, FLAGS, FWMARK, IFINDEX, IFNAME,
                  LISTEN_PORT, P_ALLOWEDIPS, P_ENDPOINT, P_FLAGS, P_KEEPALIVE, P_LAST_HANDSHAKE,
                  P_PROTOCOL, P_PSK, P_PUBLIC_KEY, P_RX_BYTES, P_TX_BYTES, PEERS, PRIVATE_KEY,
                  PUBLIC_KEY, REQUEST, allowed, array, attr, name, nest, peer, u16, u32, u8)
from ktap import Skip, case, equal, name_of, ours, refused, run, true

KEY = bytes(range(32))
WG0 = name("wg0")


def one_peer(*parts, **more):
    return array(PEERS, [peer(KEY, *parts, **more)])


def sin(port=1000):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + bytes([192, 0, 2, 9]) + bytes(8)


def sin6(port=1000):
    return (struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 0x12345)
            + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + struct.pack("=I", 0))


# (what, request, errno). None of these may change anything.
REFUSALS = [
    ("no device selector", b"", "EBADR"),
    ("both selectors", u32(IFINDEX, 1) + WG0, "EBADR"),
    ("unknown name", name("nowhere"), "ENODEV"),
    ("unknown index", u32(IFINDEX, 999999), "ENODEV"),
    ("index zero", u32(IFINDEX, 0), "ENODEV"),
    ("another kind by name", name("lo"), "EOPNOTSUPP"),
    ("another kind by index", u32(IFINDEX, 1), "EOPNOTSUPP"),
    ("unknown attribute", WG0 + attr(9, b"abcd"), "EINVAL"),
    ("attribute type 0", WG0 + attr(0, b"abcd"), "EINVAL"),
    ("trailing bytes", WG0 + b"\x01\x02", "EINVAL"),
    ("attribute longer than the message", WG0 + struct.pack("=HH", 40, FWMARK) + bytes(4), "EINVAL"),
    ("attribute shorter than its header", WG0 + struct.pack("=HH", 3, FWMARK) + bytes(4), "EINVAL"),
    ("empty name", attr(IFNAME), "EINVAL"),
    ("name of 16 characters", attr(IFNAME, b"a" * 16 + b"\0"), "EINVAL"),
    ("name of 20 characters without end", attr(IFNAME, b"a" * 20), "EINVAL"),
    ("short name without end", attr(IFNAME, b"wg0"), "EINVAL"),
    ("short name in a long attribute", attr(IFNAME, b"wg0\0" + bytes(16)), "ERANGE"),
    ("index of 2 bytes", attr(IFINDEX, b"\1\0"), "EINVAL"),
    ("index of 8 bytes", attr(IFINDEX, b"\1" + bytes(7)), "EINVAL"),
    ("nested index", attr(IFINDEX | genl.NESTED, b"\1\0\0\0"), "EINVAL"),
    ("private key of 31 bytes", WG0 + attr(PRIVATE_KEY, bytes(31)), "ERANGE"),
    ("private key of 33 bytes", WG0 + attr(PRIVATE_KEY, bytes(33)), "ERANGE"),
    ("public key of 31 bytes", WG0 + attr(PUBLIC_KEY, bytes(31)), "ERANGE"),
    ("device flag 2", WG0 + u32(FLAGS, 2), "EINVAL"),
    ("device flags all", WG0 + u32(FLAGS, 0xFFFFFFFF), "EINVAL"),
    ("device flags of 2 bytes", WG0 + u16(FLAGS, 1), "EINVAL"),
    ("port of 4 bytes", WG0 + u32(LISTEN_PORT, 5), "EINVAL"),
    ("port of 1 byte", WG0 + u8(LISTEN_PORT, 5), "EINVAL"),
    ("fwmark of 2 bytes", WG0 + u16(FWMARK, 5), "EINVAL"),
    ("peers without the nested flag", WG0 + attr(PEERS, nest(0, peer(KEY))), "EINVAL"),
    ("peers of 1 byte", WG0 + attr(PEERS | genl.NESTED, b"x"), "ERANGE"),
    ("peers of 3 bytes", WG0 + attr(PEERS | genl.NESTED, b"xyz"), "ERANGE"),
    ("peer entry of 2 bytes", WG0 + nest(PEERS, attr(genl.NESTED, b"xy")), "ERANGE"),
    ("empty peer entry", WG0 + nest(PEERS, nest(0)), "EINVAL"),
    ("peer without public key", WG0 + array(PEERS, [u16(P_KEEPALIVE, 5)]), "EINVAL"),
    ("peer key of 31 bytes", WG0 + array(PEERS, [attr(P_PUBLIC_KEY, bytes(31))]), "ERANGE"),
    ("peer key of 33 bytes", WG0 + array(PEERS, [attr(P_PUBLIC_KEY, bytes(33))]), "ERANGE"),
    ("unknown peer attribute", WG0 + one_peer(attr(11, b"abcd")), "EINVAL"),
    ("peer attribute type 0", WG0 + one_peer(attr(0, b"abcd")), "EINVAL"),
    ("psk of 31 bytes", WG0 + one_peer(attr(P_PSK, bytes(31))), "ERANGE"),
    ("psk of 33 bytes", WG0 + one_peer(attr(P_PSK, bytes(33))), "ERANGE"),
    ("peer flag 8", WG0 + one_peer(flags=8), "EINVAL"),
    ("peer flags of 1 byte", WG0 + one_peer(u8(P_FLAGS, 1)), "EINVAL"),
    ("endpoint of 15 bytes", WG0 + one_peer(attr(P_ENDPOINT, sin()[:15])), "ERANGE"),
    ("empty endpoint", WG0 + one_peer(attr(P_ENDPOINT)), "ERANGE"),
    ("keepalive of 4 bytes", WG0 + one_peer(u32(P_KEEPALIVE, 5)), "EINVAL"),
    ("handshake time of 8 bytes", WG0 + one_peer(attr(P_LAST_HANDSHAKE, bytes(8))), "ERANGE"),
    ("rx bytes of 4 bytes", WG0 + one_peer(u32(P_RX_BYTES, 1)), "EINVAL"),
    ("tx bytes of 4 bytes", WG0 + one_peer(u32(P_TX_BYTES, 1)), "EINVAL"),
    ("protocol version of 2 bytes", WG0 + one_peer(u16(P_PROTOCOL, 1)), "EINVAL"),
    ("protocol version 0", WG0 + one_peer(u32(P_PROTOCOL, 0)), "EPFNOSUPPORT"),
    ("protocol version 2", WG0 + one_peer(u32(P_PROTOCOL, 2)), "EPFNOSUPPORT"),
    ("allowed IPs without the nested flag",
     WG0 + one_peer(attr(P_ALLOWEDIPS, nest(0, allowed("10.0.0.0", 8)))), "EINVAL"),
    ("allowed IPs of 3 bytes", WG0 + one_peer(attr(P_ALLOWEDIPS | genl.NESTED, b"xyz")), "ERANGE"),
    ("allowed IP entry of 1 byte", WG0 + one_peer(nest(P_ALLOWEDIPS, attr(genl.NESTED, b"x"))), "ERANGE"),
    ("address of 3 bytes",
     WG0 + one_peer(ips=[u16(A_FAMILY, 2) + attr(A_IPADDR, b"\n\0\0") + u8(A_CIDR, 8)]), "ERANGE"),
    ("unknown allowed IP attribute", WG0 + one_peer(ips=[allowed("10.0.0.0", 8) + attr(5, b"abcd")]), "EINVAL"),
    ("allowed IP flag 2", WG0 + one_peer(ips=[allowed("10.0.0.0", 8, 2)]), "EINVAL"),
    ("family of 4 bytes",
     WG0 + one_peer(ips=[u32(A_FAMILY, 2) + attr(A_IPADDR, bytes(4)) + u8(A_CIDR, 8)]), "EINVAL"),
    ("prefix length of 2 bytes",
     WG0 + one_peer(ips=[u16(A_FAMILY, 2) + attr(A_IPADDR, bytes(4)) + u16(A_CIDR, 8)]), "EINVAL"),
    ("allowed IP flags of 2 bytes",
     WG0 + one_peer(ips=[allowed("10.0.0.0", 8) + u16(A_FLAGS, 1)]), "EINVAL"),
]

# Refused by the handler of an allowed IP, when the peer already exists.
BAD_IPS = [
    ("IPv4 length 33", allowed("10.0.0.0", 33)),
    ("IPv6 length 129", allowed("fd00::", 129)),
    ("IPv4 with 16 bytes", u16(A_FAMILY, 2) + attr(A_IPADDR, bytes(16)) + u8(A_CIDR, 8)),
    ("IPv4 with 5 bytes", u16(A_FAMILY, 2) + attr(A_IPADDR, bytes(5)) + u8(A_CIDR, 8)),
    ("IPv6 with 4 bytes", u16(A_FAMILY, 10) + attr(A_IPADDR, bytes(4)) + u8(A_CIDR, 8)),
    ("another family", u16(A_FAMILY, 1) + attr(A_IPADDR, bytes(4)) + u8(A_CIDR, 8)),
    ("no family", attr(A_IPADDR, bytes(4)) + u8(A_CIDR, 8)),
    ("no address", u16(A_FAMILY, 2) + u8(A_CIDR, 8)),
    ("no length", u16(A_FAMILY, 2) + attr(A_IPADDR, bytes(4))),
    ("empty entry", b""),
]


@case("N5 N4 N6 refused requests: exact errno, nothing applied")
def _refusals(client):
    before = run("wg", "showconf", "wg0")
    wrong = []
    for what, body, expected in REFUSALS:
        got = name_of(client.request(body))
        if got != expected:
            wrong.append(f"{what}: got {got}, expected {expected}")
        if client.device("wg0")[1]:
            wrong.append(f"{what}: a peer was made")
            client.set("wg0", array(PEERS, [peer(KEY, flags=genl.REMOVE_ME)]))
    equal(wrong, [], "refusals")
    equal(run("wg", "showconf", "wg0"), before, "configuration")


@case("N5 bad allowed IPs: EINVAL, the earlier ones stay")
def _bad_ips(client):
    for what, entry in BAD_IPS:
        got = client.set("wg0", array(PEERS, [peer(KEY, ips=[allowed("10.1.0.0", 16), entry, allowed("10.2.0.0", 16)])]))
        refused(got, 22, what)
        _, peers = client.device("wg0")
        equal([genl.prefix(e) for e in peers[0][1]], ["10.1.0.0/16"], what)
        client.set("wg0", array(PEERS, [peer(KEY, flags=genl.REMOVE_ME)]))


@case("N17 N5 every refusal says why (extended ack)")
def _extack(client):
    if not ours():
        raise Skip("the C driver leaves most of them empty")
    silent = []
    for what, body, expected in REFUSALS:
        if name_of(client.request(body)) == expected and not client.text:
            silent.append(what)
        client.set("wg0", array(PEERS, [peer(KEY, flags=genl.REMOVE_ME)]))
    for what, entry in BAD_IPS:
        if client.set("wg0", array(PEERS, [peer(KEY, ips=[entry])])) and not client.text:
            silent.append(what)
    equal(silent, [], "refusals without a word")


@case("N1 GET only as a dump, SET only as a request")
def _operations(client):
    refused(client.request(WG0, genl.GET, REQUEST | ACK), 95, "GET without DUMP")
    refused(client.request(WG0, genl.SET, REQUEST | ACK | DUMP), 95, "SET with DUMP")
    refused(client.request(WG0, 2, REQUEST | ACK), 95, "command 2")
    refused(client.request(WG0, 255, REQUEST | ACK), 95, "command 255")


@case("N4 header: reserved field, flags, version")
def _header(client):
    refused(client.request(WG0, reserved=1), 22, "reserved field")
    refused(client.request(WG0, flags=REQUEST | ACK | 0x400), 22, "flag CREATE")
    refused(client.request(WG0, flags=REQUEST | ACK | 0x100), 22, "flag REPLACE")
    refused(client.request(WG0, flags=REQUEST | ACK | genl.ECHO), 0, "flag ECHO")
    for version in (0, 1, 2, 255):
        refused(client.request(WG0, version=version), 0, f"version {version}")


@case("N5 N6 what GET refuses")
def _get(client):
    for what, body, expected in [
            ("no selector", b"", "EBADR"),
            ("both selectors", u32(IFINDEX, 1) + WG0, "EBADR"),
            ("unknown name", name("nowhere"), "ENODEV"),
            ("unknown index", u32(IFINDEX, 999999), "ENODEV"),
            ("another kind", name("lo"), "EOPNOTSUPP"),
            ("a further attribute", WG0 + u32(FLAGS, 0), "EINVAL"),
            ("peers", WG0 + nest(PEERS), "EINVAL"),
            ("name too long", attr(IFNAME, b"a" * 20), "EINVAL"),
            ("trailing bytes", WG0 + b"\1", "EINVAL"),
    ]:
        messages, number = client.dump(body)
        equal((name_of(number), len(messages)), (expected, 0), what)
    _, number = client.dump(WG0, reserved=1)
    refused(number, 22, "reserved field")
    # By index it works as well.
    index = struct.unpack("=I", genl.get(client.device("wg0")[0], IFINDEX))[0]
    equal(client.dump(u32(IFINDEX, index))[1], 0, "GET by index")
    refused(client.request(u32(IFINDEX, index) + u32(FWMARK, 7)), 0, "SET by index")


@case("N5 what is accepted and ignored")
def _ignored(client):
    refused(client.set("wg0", attr(PUBLIC_KEY, KEY)), 0, "device public key")
    refused(client.set("wg0", nest(PEERS)), 0, "no entries")
    refused(client.set("wg0", u32(FLAGS, 0)), 0, "no flags")
    refused(client.set("wg0", one_peer(u32(P_PROTOCOL, 1), attr(P_LAST_HANDSHAKE, b"\1" * 16),
                                       attr(P_RX_BYTES, b"\1" * 8), attr(P_TX_BYTES, b"\1" * 8))), 0, "read-only values")
    attributes, peers = client.device("wg0")
    equal(genl.get(attributes, PUBLIC_KEY), None, "public key")
    equal(genl.get(peers[0][0], P_LAST_HANDSHAKE), bytes(16), "handshake time")
    equal(genl.get(peers[0][0], P_RX_BYTES), bytes(8), "rx bytes")
    # A name may be followed by more than one NUL.
    refused(client.request(attr(IFNAME, b"wg0" + bytes(13))), 0, "name padded to 16 bytes")


@case("N5 endpoints: two exact forms, all else ignored")
def _endpoints(client):
    def endpoint(raw):
        refused(client.set("wg0", one_peer(attr(P_ENDPOINT, raw))), 0, "endpoint")
        return genl.get(client.device("wg0")[1][0][0], P_ENDPOINT)

    equal(endpoint(sin6()[:27]), None, "27 bytes, none before")
    equal(endpoint(sin(1)), sin(1), "IPv4")
    equal(endpoint(sin6(2)), sin6(2), "IPv6 with flow information")
    for what, raw in [("IPv4 in 28 bytes", sin(3) + bytes(12)), ("IPv6 in 29 bytes", sin6(3) + b"\0"),
                      ("IPv6 in 16 bytes", sin6(3)[:16]), ("family 1", b"\1\0" + sin(3)[2:]), ("17 bytes", sin(3) + b"\0")]:
        equal(endpoint(raw), sin6(2), what)
    equal(endpoint(sin(4)), sin(4), "IPv4 again")


@case("N5 an entry without the nested flag fails after what came before it")
def _partial(client):
    other = bytes(reversed(KEY))
    body = nest(PEERS, nest(0, peer(KEY)), attr(0, peer(other)))
    refused(client.set("wg0", u32(FWMARK, 9), body), 22, "second entry")
    attributes, peers = client.device("wg0")
    equal(struct.unpack("=I", genl.get(attributes, FWMARK))[0], 9, "fwmark")
    equal([genl.get(p[0], P_PUBLIC_KEY) for p in peers], [KEY], "peers")
    body = array(PEERS, [peer(KEY, nest(P_ALLOWEDIPS, nest(0, allowed("10.0.0.0", 8)), attr(0, allowed("11.0.0.0", 8))))])
    refused(client.set("wg0", body), 22, "second allowed IP")
    equal([genl.prefix(e) for e in client.device("wg0")[1][0][1]], ["10.0.0.0/8"], "allowed IPs")


@case("N4 N5 a request cut at every byte leaves the driver sound")
def _cut(client):
    whole = (WG0 + attr(PRIVATE_KEY, KEY) + u16(LISTEN_PORT, 7) + array(PEERS, [
        peer(KEY, attr(P_PSK, KEY), attr(P_ENDPOINT, sin6()), u16(P_KEEPALIVE, 3), ips=[allowed("10.0.0.0", 8), allowed("fd00::", 64)]),
        peer(bytes(reversed(KEY)), ips=[allowed("10.0.0.0", 8)])]))
    done = set()
    for cut in range(len(whole)):
        done.add(name_of(client.request(whole[:cut])))
    # With the lengths of the outer nest kept right as well.
    start = len(whole) - len(array(PEERS, []))
    for size in range(start):
        inside = whole[len(whole) - size:]
        done.add(name_of(client.request(WG0 + attr(PEERS | genl.NESTED, inside))))
    true(done <= {"ok", "EINVAL", "ERANGE", "EBADR", "ENODEV", "EPFNOSUPPORT"}, f"errors seen: {done}")
    equal(client.request(whole), 0, "the whole one")


def in_child(body):
    """Runs `body()` in a child process and returns the text it returns."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            out = body()
        except OSError as err:
            out = "raised " + name_of(err.errno)
        except Exception as err:  # pylint: disable=broad-except
            out = "raised " + repr(err)
        os.write(write, str(out).encode())
        os._exit(0)
    os.close(write)
    out = b""
    while True:
        chunk = os.read(read, 65536)
        if not chunk:
            break
        out += chunk
    os.close(read)
    os.waitpid(pid, 0)
    return out.decode()
