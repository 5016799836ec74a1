#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Events of peers by generic netlink. See events.sh."""

import contextlib
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import time

import genl
import ktap
from ktap import Skip, case, equal, ours, refused, run, true, wait_until
from protocol_world import world

ADD_MEMBERSHIP = 1
PEER_EVENT = 2
P_EVENTS = 11
(ADDED, REMOVED, CHANGED, ALLOWEDIPS, HANDSHAKE, ENDPOINT) = (1 << i for i in range(6))


class Listener:
    """A member of the group `peers`."""

    def __init__(self, client):
        groups = [genl.parse(inside) for _, inside in genl.parse(genl.get(client.info, 7) or b"")]
        found = {genl.get(g, 1).rstrip(b"\0"): struct.unpack("=I", genl.get(g, 2))[0] for g in groups}
        equal(list(found), [b"peers"], "multicast groups of the family")
        self.family = client.family
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, genl.NETLINK_GENERIC)
        self.sock.bind((0, 0))
        self.group = found[b"peers"]

    def join(self):
        self.sock.setsockopt(genl.SOL_NETLINK, ADD_MEMBERSHIP, self.group)

    def events(self, seconds):
        """[(events, attributes of the peer)] that come within that time."""
        out, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                break
            length, kind = struct.unpack_from("=IH", data)
            equal((kind, data[16]), (self.family, PEER_EVENT), "family and command of an event")
            attributes = genl.parse(data[20:length])
            equal(genl.get(attributes, genl.IFNAME), b"wg0\0", "name of the interface")
            allowed = {genl.IFINDEX, genl.IFNAME, genl.PEERS}
            equal(set(genl.types(attributes)) - allowed, set(), "attributes of the interface")
            for peer in genl.entries(genl.get(attributes, genl.PEERS)):
                out.append((struct.unpack("=I", genl.get(peer, P_EVENTS))[0], peer))
        return out

    def expect(self, wanted, key, what):
        """All those events of that peer come soon; returns the attributes of the last message."""
        seen, last = 0, None

        def all_there():
            nonlocal seen, last
            for events, peer in self.events(0.3):
                true(genl.get(peer, genl.P_PSK) is None, "no preshared key in an event")
                if genl.get(peer, genl.P_PUBLIC_KEY) == key:
                    seen, last = seen | events, peer
            return seen & wanted == wanted

        wait_until(15, all_there, f"{what}: events {wanted:#x}")
        return last


def listening(w):
    listener = Listener(w.netlink)
    listener.join()
    w.sockets.append(listener.sock)
    return listener


@case("a peer is added, changed, gets and loses allowed IPs, is removed")
def _configured(w):
    listener = listening(w)
    end = w.end(psk=b"p" * 32)
    key = end.peer.public
    listener.expect(ADDED | ALLOWEDIPS, key, "added")

    def peer(*parts, **more):
        refused(w.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(key, *parts, **more)])), 0, "a change")

    peer(genl.u16(genl.P_KEEPALIVE, 77))
    got = listener.expect(CHANGED, key, "keepalive")
    equal(struct.unpack("=H", genl.get(got, genl.P_KEEPALIVE))[0], 77, "interval")
    peer(ips=[genl.allowed("10.9.0.0", 16)])
    listener.expect(ALLOWEDIPS, key, "a prefix more")
    other = w.end(3)
    listener.expect(ADDED, other.peer.public, "another peer")
    taken = genl.peer(other.peer.public, ips=[genl.allowed("10.9.0.0", 16)])
    refused(w.netlink.set("wg0", genl.array(genl.PEERS, [taken])), 0, "a prefix moves")
    listener.expect(ALLOWEDIPS, key, "the loser is told")
    peer(flags=genl.REMOVE_ME)
    listener.expect(REMOVED, key, "removed")
    equal(listener.events(1), [], "nothing more")


@case("many peers: as many as fit share a message, and all are told")
def _many(w):
    listener = listening(w)
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    entries = [genl.peer(os.urandom(32)) for _ in range(300)]
    refused(w.netlink.set("wg0", genl.array(genl.PEERS, entries)), 0, "adding peers")
    told = listener.events(3)
    equal(len(told), 300, "peers told of")
    refused(w.netlink.set("wg0", genl.u32(genl.FLAGS, genl.REPLACE_PEERS)), 0, "removing them")
    told = listener.events(3)
    equal([events & REMOVED for events, _ in told], [REMOVED] * 300, "peers told of")


@case("a handshake is completed, the endpoint moves; at most ten messages a second")
def _running(w):
    end = w.end()
    listener = listening(w)
    end.handshake()
    got = listener.expect(HANDSHAKE | ENDPOINT, end.peer.public, "handshake")
    true(struct.unpack_from("=q", genl.get(got, genl.P_LAST_HANDSHAKE))[0] > 0, "time of the handshake")
    other = w.outside("127.0.0.8")
    end.send(end.session.seal(), other)
    got = listener.expect(ENDPOINT, end.peer.public, "endpoint")
    equal(genl.get(got, genl.P_ENDPOINT)[:8], w.sockaddr(other)[:8], "endpoint")
    # To and fro as fast as it goes.
    began = time.monotonic()
    for _ in range(300):
        end.send(end.session.seal(), other)
        end.send(end.session.seal())
    told = listener.events(1.5)
    took = time.monotonic() - began
    true(1 <= len(told) <= 10 * took + 2, f"{len(told)} messages in {took:.1f} s")


@case("the group needs CAP_NET_ADMIN, and the namespace is that of the interface")
def _rights(w):
    listener = Listener(w.netlink)
    w.sockets.append(listener.sock)
    pid = os.fork()
    if pid == 0:
        # Any user may have the socket, not the group.
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            listener.join()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    _, status = os.waitpid(pid, 0)
    equal(os.waitstatus_to_exitcode(status), errno.EPERM, "errno of a user without rights")


@case("the kernel's own client: list, change, hear of events, from the YAML")
def _ynl(w):
    folder = os.environ.get("YNL")
    if not folder:
        raise Skip("no YNL: make test-operator has it")
    client = [sys.executable, folder + "/pyynl/cli.py", "--spec", folder + "/wireguard.yaml"]
    env = {**os.environ, "PYTHONPATH": folder + "/python"}

    def ynl(*arguments):
        done = subprocess.run([*client, *arguments], env=env, capture_output=True, text=True,
                              timeout=120 * ktap.SLOWNESS, check=False)
        true(done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    # Once with the kernel's schema, which takes its time.
    ynl("--schema", folder + "/genetlink-legacy.yaml", "--validate")
    client += ["--no-schema", "--output-json"]
    end = w.end()
    listed = ynl("--dump", "get-device", "--json", '{"ifname": "wg0"}')
    peers = [entry for message in listed for peer in message.get("peers", []) for entry in peer.values()]
    keys = [peer["public-key"].replace(":", "").replace(" ", "") for peer in peers]
    equal(keys, [end.peer.public.hex()], "peers that the client lists")
    ynl("--do", "set-device", "--json", '{"ifname": "wg0", "fwmark": 4711}')
    equal(run("wg", "show", "wg0", "fwmark").strip(), "0x1267", "mark that the client has set")
    watch = subprocess.Popen(client + ["--subscribe", "peers", "--duration", str(15 * ktap.SLOWNESS)],
                             env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # It has joined when the kernel says so: until then nobody listens.
    wait_until(30, lambda: members() > 0, "the client to join")
    end.handshake()
    out, _ = watch.communicate(timeout=60 * ktap.SLOWNESS)
    true("peer-event" in out and "handshake" in out, f"the client's output: {out}")


def members():
    """Generic netlink sockets that are in any group, in this namespace."""
    with open("/proc/net/netlink", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return sum(1 for row in rows if row[1] == "16" and int(row[3], 16))


@contextlib.contextmanager
def ours_only():
    """The C driver has no events."""
    if not ours():
        raise Skip("the C driver tells of nothing")
    with world() as made:
        yield made


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    ktap.main(ours_only)
