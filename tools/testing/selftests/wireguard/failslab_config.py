# SPDX-License-Identifier: GPL-2.0
"""Configuration while memory is short: each allocation of each kind of request fails once.

Whatever fails, the request says ENOMEM or succeeds; what is there is what was there before or what
was asked for, in every part; and the same request again succeeds.
"""

import ctypes
import errno
import itertools
import os
import socket
import struct

import faults
import genl
import ktap
from genl import (FLAGS, FWMARK, LISTEN_PORT, P_ENDPOINT, P_KEEPALIVE, P_PSK, P_PUBLIC_KEY, PEERS,
                  PRIVATE_KEY, PUBLIC_KEY, REMOVE_ME, REPLACE_ALLOWEDIPS, REPLACE_PEERS, allowed,
                  array, attr, peer, u16, u32)
from ktap import case, equal, refused, run, true
from wgcrypto import public_key

RTM_NEWLINK, RTM_DELLINK = 16, 17
IFF_UP = 1


class Links:
    """rtnetlink without a process for each request."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.bind((0, 0))
        self.sock.settimeout(30 * ktap.SLOWNESS)
        self.number = 0

    def request(self, kind, flags, link, body=b"", index=0, change=0):
        """The errno of one request; ENOBUFS if the answer was lost."""
        self.number += 1
        head = struct.pack("=BxHiII", 0, 0, index, link, change)
        data = struct.pack("=IHHII", 16 + len(head) + len(body), kind, 5 | flags, self.number, 0) + head + body
        try:
            self.sock.send(data)
            while True:
                got = self.sock.recv(65536)
                length, kind, _, number, _ = struct.unpack_from("=IHHII", got)
                if kind == genl.NLMSG_ERROR and number == self.number:
                    return -struct.unpack_from("=i", got, 16)[0]
        except OSError as error:
            return error.errno

    def add(self, name, kind="wireguard"):
        info = attr(1, kind.encode() + b"\0")
        return self.request(RTM_NEWLINK, 0x600, 0, attr(3, name.encode() + b"\0") + attr(18 | genl.NESTED, info))

    def delete(self, name):
        return self.request(RTM_DELLINK, 0, 0, attr(3, name.encode() + b"\0"))

    def up(self, name, wanted=True):
        return self.request(RTM_NEWLINK, 0, IFF_UP if wanted else 0, attr(3, name.encode() + b"\0"), change=IFF_UP)


def exists(name):
    return os.path.exists("/sys/class/net/" + name)


def is_up(name):
    with open(f"/sys/class/net/{name}/flags", encoding="ascii") as value:
        return int(value.read(), 16) & IFF_UP != 0


def sin(port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + bytes([192, 0, 2, 9]) + bytes(8)


def sin6(port):
    return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 0) + bytes(15) + b"\1" + bytes(4)


def key(number):
    return struct.pack(">I", number + 1) + bytes(28)


def state(client):
    """What a dump tells of wg0: {part: value}, all values comparable."""
    attributes, peers = client.device("wg0")
    out = {("device", kind): genl.get(attributes, kind) for kind in (PRIVATE_KEY, PUBLIC_KEY, LISTEN_PORT, FWMARK)}
    for fields, ips in peers:
        who = genl.get(fields, P_PUBLIC_KEY)
        out["peer", who] = True
        for kind in (P_PSK, P_ENDPOINT, P_KEEPALIVE):
            out["peer", who, kind] = genl.get(fields, kind)
        for entry in ips:
            prefix = genl.prefix(entry)
            if ("prefix", prefix) in out:
                raise AssertionError(f"{prefix} is listed twice")
            out["prefix", prefix] = who
    return out


def between(old, new, now, what, replaced=False):
    """Every part of `now` is as in `old` or as in `new`.

    With `replaced` all peers go first, and come back one by one.
    """
    fresh = {P_PSK: bytes(32), P_KEEPALIVE: bytes(2), P_ENDPOINT: None}
    for part in old.keys() | new.keys() | now.keys():
        allowed_values = [old.get(part), new.get(part)]
        if replaced and part[0] == "peer" and part[:2] not in now:
            continue
        if part[0] == "peer" and len(part) == 3 and (replaced or part[:2] not in old):
            # A new peer of which not everything was set.
            allowed_values.append(fresh[part[2]])
        if part[0] == "prefix":
            # On its way from one peer to another.
            allowed_values.append(None)
        true(now.get(part) in allowed_values, f"{what}: {part} is {now.get(part)!r}")


def routed(address):
    """Where the data path would send: the errno of a datagram to `address`.

    ENOKEY: no peer has it; EDESTADDRREQ: a peer without endpoint; 0: one with.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"x", (address, 9))
        except OSError as error:
            return error.errno
    return 0


def systematically(client, setup, request, what, extra=None, replaced=False):
    """Each allocation of the SET request fails once. `setup()` is what there is before."""
    def prepare():
        # A port of our own choice: one of the kernel's would be another one each time.
        refused(client.set("wg0", attr(PRIVATE_KEY, bytes(32)), u32(FLAGS, REPLACE_PEERS), u16(LISTEN_PORT, 2999)), 0, "reset")
        refused(client.set("wg0", *setup), 0, "setup")

    prepare()
    old = state(client)
    refused(client.set("wg0", *request), 0, "without failure")
    new = state(client)
    prepare()
    equal(state(client).keys(), old.keys(), "set up again")

    def call():
        try:
            return client.set("wg0", *request)
        except OSError as error:
            return error.errno

    def after(number, got):
        if got:
            between(old, new, state(client), f"{what}, allocation {number}", replaced)
        elif number and extra:
            extra()
        refused(call(), 0, f"{what} again, allocation {number}")
        equal(state(client), new, f"{what} at last, allocation {number}")
        if extra:
            extra()
        prepare()

    faults.within(faults.module())
    count, seen = faults.each(call, after)
    true(seen > 0, f"{count} allocations, of which {seen} failures were told")
    ktap.diag(f"{what}: {count} allocations, {seen} of their failures were told")


OLD_PEERS = array(PEERS, [
    peer(key(1), attr(P_ENDPOINT, sin(1000)), ips=[allowed("10.1.0.0", 16), allowed("fd01::", 64), allowed("10.9.0.0", 16)]),
    peer(key(2), ips=[allowed("10.2.0.0", 16), allowed("10.2.2.0", 24), allowed("fd02::", 64)])])


@case("a link is added, each allocation failing")
def _link_add(client):
    links = Links()

    def after(number, got):
        equal(exists("wgf"), got == 0, f"there is a link, allocation {number}")
        if got:
            refused(links.add("wgf"), 0, f"again, allocation {number}")
        refused(links.delete("wgf"), 0, "deleted")
        true(not exists("wgf"), "gone")

    # The one failure that the kernel tells in another way, whatever the driver: netdev_register_kobject()
    # does not look whether dev_set_name() found memory, and device_add() calls no name EINVAL.
    faults.within(faults.function("dev_set_name"))
    equal(faults.nth(1, lambda: links.add("wgf")), (True, errno.EINVAL), "no memory for the name in sysfs")
    turns, unnamed = itertools.count(1), []

    def add():
        turn, got = next(turns), links.add("wgf")
        if got == errno.EINVAL:
            unnamed.append(turn)
            return errno.ENOMEM
        return got

    faults.within(faults.module())
    count, seen = faults.each(add, after)
    ktap.diag(f"{count} allocations, {seen} of their failures were told")
    true(seen >= 8, "the driver's own allocations are among them")
    # More than once, if there are not always as many allocations before it (a new slab, say).
    true(not unnamed or unnamed[-1] - unnamed[0] < 8, f"EINVAL is told of one allocation, not of {unnamed}")


@case("a link is deleted, each allocation failing")
def _link_delete(client):
    links = Links()
    refused(links.add("wgf"), 0, "added")

    def after(number, got):
        refused(got, 0, f"deletion cannot fail, allocation {number}")
        true(not exists("wgf"), "gone")
        refused(links.add("wgf"), 0, "added")

    faults.within(faults.module())
    count, _ = faults.each(lambda: links.delete("wgf"), after)
    ktap.diag(f"{count} allocations")
    refused(links.delete("wgf"), 0, "deleted")


@case("a link with peers goes up, each allocation failing")
def _link_up(client):
    links = Links()
    refused(client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))), u16(LISTEN_PORT, 3000), OLD_PEERS), 0, "setup")
    refused(client.set("wg0", array(PEERS, [peer(key(1), u16(P_KEEPALIVE, 60))])), 0, "keepalive")

    def after(number, got):
        equal(is_up("wg0"), got == 0, f"it is up, allocation {number}")
        if got:
            with open("/proc/net/udp", encoding="ascii") as table:
                true(":0BB8 " not in table.read(), "no socket is left")
            refused(links.up("wg0"), 0, f"again, allocation {number}")
        refused(links.up("wg0", False), 0, "down")

    faults.within(faults.module())
    count, seen = faults.each(lambda: links.up("wg0"), after)
    ktap.diag(f"{count} allocations, {seen} of their failures were told")
    true(seen >= 2, "both sockets are among them")


@case("SET of a private key, each allocation failing")
def _private_key(client):
    mine = bytes(range(32))
    own = array(PEERS, [peer(public_key(mine), ips=[allowed("10.7.0.0", 16)])])
    systematically(client, [OLD_PEERS], [attr(PRIVATE_KEY, mine)], "private key")
    systematically(client, [own], [attr(PRIVATE_KEY, mine)], "private key of a peer")


@case("SET of new peers, each allocation failing")
def _new_peers(client):
    request = array(PEERS, [
        peer(key(3), attr(P_PSK, b"p" * 32), attr(P_ENDPOINT, sin6(5)), u16(P_KEEPALIVE, 7),
             ips=[allowed("10.3.0.0", 16), allowed("10.3.4.0", 24), allowed("fd03::", 64)]),
        peer(key(4), ips=[allowed("10.4.0.0", 16)])])
    systematically(client, [OLD_PEERS], [request], "new peers")
    run("ip", "link", "set", "wg0", "up")
    systematically(client, [OLD_PEERS], [request], "new peers while up")


@case("SET of allowed IPs that move between peers, each allocation failing")
def _moves(client):
    run("ip", "addr", "add", "10.0.0.1/8", "dev", "wg0")
    run("ip", "link", "set", "wg0", "up")

    def routes():
        refused(routed("10.1.0.1"), errno.EDESTADDRREQ, "the data path has the new owner")

    systematically(client, [OLD_PEERS], [array(PEERS, [peer(key(2), ips=[allowed("10.1.0.0", 16), allowed("fd01::", 64)])])],
                   "moved prefixes", routes)


@case("SET that replaces and removes allowed IPs, each allocation failing")
def _replaces(client):
    run("ip", "addr", "add", "10.0.0.1/8", "dev", "wg0")
    run("ip", "link", "set", "wg0", "up")

    def replaced():
        refused(routed("10.2.2.2"), errno.ENOKEY, "the data path has forgotten it")
        refused(routed("10.5.0.1"), errno.EDESTADDRREQ, "the data path has the new one")

    def removed():
        refused(routed("10.2.2.2"), errno.EDESTADDRREQ, "the shorter prefix counts")
        refused(routed("10.9.0.1"), errno.ENOKEY, "the data path has forgotten it")

    systematically(client, [OLD_PEERS], [array(PEERS, [
        peer(key(2), flags=REPLACE_ALLOWEDIPS, ips=[allowed("10.5.0.0", 16)])])], "replaced allowed IPs", replaced)
    systematically(client, [OLD_PEERS], [array(PEERS, [
        peer(key(2), ips=[allowed("10.2.2.0", 24, genl.A_REMOVE_ME)]),
        peer(key(1), ips=[allowed("10.9.0.0", 16, genl.A_REMOVE_ME), allowed("fd01::", 64, genl.A_REMOVE_ME)])])],
                   "removed allowed IPs", removed)


@case("SET that removes a peer, each allocation failing: its prefixes hide no others")
def _removed(client):
    run("ip", "addr", "add", "10.0.0.1/8", "dev", "wg0")
    run("ip", "link", "set", "wg0", "up")
    peers = array(PEERS, [
        peer(key(1), ips=[allowed("10.1.0.0", 16), allowed("fd01::", 48)]),
        peer(key(2), attr(P_ENDPOINT, sin(1000)), ips=[allowed("10.1.1.0", 24), allowed("10.1.2.0", 24), allowed("fd01::", 64)])])
    remove = array(PEERS, [peer(key(2), flags=REMOVE_ME)])
    kept = {}

    def after(number, got):
        # Told or not: the peer is gone.
        equal([genl.get(p[0], P_PUBLIC_KEY) for p in client.device("wg0")[1]], [key(1)], f"peers, allocation {number}")
        now = routed("10.1.1.1")
        kept[now] = kept.get(now, 0) + 1
        true(now in (errno.ENOKEY, errno.EDESTADDRREQ), f"nothing goes to it, allocation {number}")
        # Any request, about something else.
        refused(client.set("wg0", u32(FWMARK, number)), 0, "another request")
        for address in ("10.1.1.1", "10.1.2.1"):
            refused(routed(address), errno.EDESTADDRREQ, f"{address} belongs to the shorter prefix, allocation {number}")
        refused(client.set("wg0", u32(FLAGS, REPLACE_PEERS), peers), 0, "setup")

    refused(client.set("wg0", peers), 0, "setup")
    faults.within(faults.module())
    count, seen = faults.each(lambda: client.set("wg0", remove), after)
    ktap.diag(f"{count} allocations, {seen} of their failures were told; before the next request: "
              + ", ".join(f"{errno.errorcode[e]} {n}" for e, n in kept.items()))
    true(kept.get(errno.ENOKEY), "some failures left prefixes behind")


@case("SET that replaces all peers, each allocation failing")
def _replace_peers(client):
    systematically(client, [OLD_PEERS], [u32(FLAGS, REPLACE_PEERS), u32(FWMARK, 9), array(PEERS, [
        peer(key(2), ips=[allowed("10.1.0.0", 16)]), peer(key(5), u16(P_KEEPALIVE, 9))])], "replaced peers", replaced=True)


@case("SET of the listen port while up, each allocation failing")
def _port(client):
    run("ip", "link", "set", "wg0", "up")
    systematically(client, [u16(LISTEN_PORT, 3000), OLD_PEERS], [u16(LISTEN_PORT, 3001)], "listen port")
    with open("/proc/net/udp", encoding="ascii") as table:
        true(":0BB9 " not in table.read(), "no socket is left at the new port")


@case("GET, each allocation failing")
def _get(client):
    refused(client.set("wg0", attr(PRIVATE_KEY, bytes(range(32))), OLD_PEERS), 0, "setup")
    for i in range(10, 40):
        refused(client.set("wg0", array(PEERS, [peer(key(i), ips=[allowed(f"10.{i}.{j}.0", 24) for j in range(100)])])), 0, "peers")
    before = state(client)
    true(len(before) > 3000, "several messages")

    def dump():
        # A dump that broke off leaves the rest to the socket: one for each.
        other = genl.Client(size=8192)
        try:
            return other.dump(genl.name("wg0"))[1]
        except OSError as error:
            return error.errno
        finally:
            other.close()

    faults.within(faults.module())
    count, seen = faults.each(dump, lambda number, got: equal(state(client), before, f"a dump after allocation {number}"))
    ktap.diag(f"{count} allocations, {seen} of their failures were told")


@case("a thousand SET requests, one allocation of ten failing")
def _random(client):
    faults.within(faults.module())
    told = 0
    run("ip", "link", "set", "wg0", "up")
    with faults.percent(10):
        for i in range(1000):
            flags = (None, REPLACE_ALLOWEDIPS, REMOVE_ME)[i % 3]
            request = [array(PEERS, [peer(key(i * 7 % 20), flags=flags, ips=[allowed(f"10.{i % 7}.{i % 11}.0", 24)])])]
            if i % 50 == 0:
                request.append(attr(PRIVATE_KEY, bytes([i % 256]) * 32))
            got = client.set("wg0", *request)
            true(got in (0, errno.ENOMEM, errno.ENOBUFS), f"request {i}: {ktap.name_of(got)}")
            told += got != 0
    ktap.diag(f"{told} were refused")
    true(told > 50, "failures were injected")
    state(client)
    refused(client.set("wg0", u32(FLAGS, REPLACE_PEERS), OLD_PEERS), 0, "all replaced")
    equal(len([part for part in state(client) if part[0] == "prefix"]), 6, "prefixes at last")


@case("the module is loaded, each allocation failing")
def _load(client):
    path = run("modinfo", "-n", "wireguard").strip()
    libc = ctypes.CDLL(None, use_errno=True)
    number_of_call = {"x86_64": 313, "aarch64": 273}[os.uname().machine]
    client.close()
    run("ip", "link", "del", "wg0")
    image = os.open(path, os.O_RDONLY)

    def load():
        return ctypes.get_errno() if libc.syscall(number_of_call, image, b"", 0) else 0

    def after(number, got):
        equal(os.path.exists("/sys/module/wireguard"), got == 0, f"it is loaded, allocation {number}")
        if got == 0:
            run("rmmod", "wireguard")

    run("rmmod", "wireguard")
    try:
        faults.within(faults.function("do_one_initcall"))
        count, seen = faults.each(load, after)
    finally:
        os.close(image)
        run("modprobe", "wireguard")
    ktap.diag(f"{count} allocations, {seen} of their failures were told")
    # Little can fail: most is static, and nobody is told that a notification was not sent.
    true(count > seen >= 1, "some can be done without, not all")
