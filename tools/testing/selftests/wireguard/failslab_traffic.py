# SPDX-License-Identifier: GPL-2.0
"""Handshakes and traffic while memory is short.

Packets are lost then, and counters tell. What may not be lost is the peer: once there is memory
again, packets pass within seconds, sent by nobody but those who would have sent anyway.
"""

import contextlib
import os
import socket
import subprocess
import time

import faults
import genl
import ktap
import wgpeer
from ktap import equal, run, true, wait_until
from protocol_world import World
from wgpeer import DATA, INITIATION

UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
HERE = os.path.dirname(os.path.abspath(__file__))


def case(name):
    """Registers a case that works with a World of its own."""
    def add(function):
        def with_world(_):
            made = World()
            try:
                function(made)
            finally:
                made.close()
        ktap.case(name)(with_world)
        return function
    return add


def counters(names=("drop", "tx_")):
    """ethtool -S wg0, as far as it counts drops or what was sent."""
    out = {}
    for line in run("ethtool", "-S", "wg0").splitlines():
        name, _, value = line.strip().partition(": ")
        if value and any(part in name for part in names):
            out[name] = int(value)
    return out


def rise(before, after):
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def inner(world, number, size=64, segment=None):
    """Sends a datagram into the tunnel; the errno of that, 0 for none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if segment:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
        try:
            sock.sendto(bytes(size), (f"10.77.0.{number}", 9))
        except OSError as error:
            return error.errno
    return 0


def arrived(end, wanted, seconds):
    """How many data messages with something inside come, until `wanted` or for so long."""
    found, until = 0, time.monotonic() + seconds
    while found < wanted and time.monotonic() < until:
        message = end.receive(DATA, max(0.01, until - time.monotonic()))
        if message and len(message) > 32:
            found += 1
    return found


def _sending(world, what, size, segment=None, watched=False):
    """Each allocation of one sendto() fails once. `watched`: a packet socket has the packet as well."""
    end = world.end(endpoint=True)
    end.handshake()
    end.alive()
    messages = -(-size // segment) if segment else 1
    lost, silent = [], []

    def after(number, got):
        # The way is loopback: what does not come at once does not come.
        found = arrived(end, messages, 0.3 * ktap.SLOWNESS)
        if number and got == 0 and found < messages:
            lost.append(number)
            if not any("drop" in name for name in rise(seen[0], counters())):
                silent.append(number)
        end.drain()
        end.alive()
        seen[0] = counters()

    seen = [counters()]
    faults.within(faults.module())
    with contextlib.ExitStack() as stack:
        if watched:
            watcher = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)))
            watcher.bind(("wg0", 3))
        count, told = faults.each(lambda: inner(world, 2, size, segment), after)
    ktap.diag(f"{what}: {count} allocations, {told} failures told to the sender, messages lost at {lost}, "
              f"without a counter of ours at {silent}")
    equal(told, 0, "failures told to the sender")
    equal(silent, [], "lost without a counter")
    return count, lost


@case("one packet is sent that nobody else has: nothing is allocated for it")
def _send_own(world):
    for size in (64, 1300):
        equal(_sending(world, f"{size} bytes", size), (0, []), f"allocations and losses, {size} bytes")


@case("one packet is sent that a packet socket has as well, each allocation failing")
def _send_watched(world):
    for size in (64, 1300):
        count, lost = _sending(world, f"{size} bytes", size, watched=True)
        true(count > 0 and lost, "something was lost")


@case("a GSO packet is sent, each allocation failing: its segments leave one by one")
def _send_gso(world):
    count, lost = _sending(world, "20 x 1,000 bytes", 20000, 1000)
    true(count > 0, "there were allocations")
    equal(lost, [], "lost")


@case("GSO packets are sent while there is no memory in large pieces: nothing is lost")
def _send_gso_no_large_pages(world):
    packets, kept = 48, 32
    end = world.end(endpoint=True)
    end.handshake()
    end.alive()
    # All that is sent stays in the socket, so that no page comes back.
    end.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    os.sched_setaffinity(0, {0})
    before = counters()
    faults.within(faults.module())
    with faults.no_large_pages():
        for _ in range(packets):
            # Of a debug kernel's slabs, those for longer packets take more than a page.
            equal(inner(world, 2, 4000, 200), 0, "errno")
        got = arrived(end, 20 * packets, 10 * ktap.SLOWNESS)
    changes = rise(before, counters())
    ktap.diag(changes)
    equal(got, 20 * packets, "messages")
    true(changes.get("tx_gso_segmented", 0) >= packets - kept, "packets left in segments")
    true(not any("drop" in name for name in changes), "nothing was dropped")


def _session_by_device(world, end, limit):
    """The device begins: one datagram, then nobody sends any more. It must arrive.

    Unless it was the datagram itself that found no memory, as a counter tells: then one more.
    """
    before = counters()
    equal(inner(world, end.number), 0, "a datagram")
    until = time.monotonic() + limit
    initiations, again = 0, False
    while time.monotonic() < until:
        message = end.receive(timeout=0.5)
        if not message:
            if not again and any("tx_drop" in name for name in rise(before, counters())):
                again = True
                equal(inner(world, end.number), 0, "another datagram")
            continue
        if message[0] == INITIATION:
            initiations += 1
            end.answer(message)
        elif message[0] == DATA and len(message) > 32:
            return initiations
    raise AssertionError(f"the datagram did not arrive in {limit:.0f} s, after {initiations} initiations")


def _one_by_one(world, scenario):
    """Runs `scenario(end)` with a new peer each, the first allocation failing, then the second..."""
    def add_one():
        world.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(os.urandom(32))]))

    faults.within(faults.module())
    for number in range(1, 60):
        end = world.end(2, endpoint=True)
        faults.Place.start(number)
        try:
            scenario(end)
        finally:
            came = faults.Place.stop(add_one)
        end.drain()
        end.alive()
        ktap.refused(world.netlink.set("wg0", genl.u32(genl.FLAGS, genl.REPLACE_PEERS)), 0, "removed")
        end.sock.close()
        if not came:
            return
    raise AssertionError("there is no end to it")


# A handshake that is lost is tried again after 5 s.
RETRY = 6.0


@case("a handshake that the device begins, each allocation failing once: it is tried again")
def _initiator(world):
    tries = {}

    def one(end):
        tries[len(tries) + 1] = _session_by_device(world, end, 3 * RETRY + ktap.SLOWNESS)

    _one_by_one(world, one)
    ktap.diag(f"initiations by place of the failure: {tries}")
    true(len(tries) > 4 and max(tries.values()) > 1, "some handshakes were lost")


@case("a handshake that the peer begins, each allocation failing once")
def _responder(world):
    tries = {}

    def one(end):
        began = time.monotonic()
        for _ in range(5):
            # Repeats until there is a response; what confirms the session may be lost as well.
            end.handshake()
            if end.replies(end.echo(), timeout=ktap.SLOWNESS):
                break
        tries[len(tries) + 1] = round(time.monotonic() - began, 1)

    _one_by_one(world, one)
    ktap.diag(f"seconds by place of the failure: {tries}")
    true(len(tries) > 3, "some allocations failed")


@case("no memory for anything: handshakes and data come back, persistent keepalives too")
def _nothing(world):
    asleep = world.end(2, endpoint=True)
    busy = world.end(3, source="127.0.0.2", endpoint=True)
    for end in (asleep, busy):
        end.handshake()
        end.alive()
    ktap.refused(world.netlink.set("wg0", genl.array(genl.PEERS, [genl.peer(asleep.peer.public, genl.u16(genl.P_KEEPALIVE, 1))])), 0, "keepalive")
    true(asleep.receive(DATA, 3.0 * ktap.SLOWNESS) is not None, "a keepalive")
    before = counters()
    faults.within(faults.module())
    with faults.percent(100):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            inner(world, 3)
            inner(world, 3, 20000, 1000)
            busy.send(busy.peer.initiation())
            busy.echo()
            time.sleep(0.05)
        asleep.drain()
        busy.drain()
    risen = rise(before, counters())
    ktap.diag(f"counted: {risen}")
    true(risen.get("drop_no_memory"), "drop_no_memory counts")
    # Nobody sends; the device has its keepalives to send.
    for _ in range(2):
        true(asleep.receive(DATA, 3.0 * ktap.SLOWNESS) is not None, "a keepalive again")
    busy.handshake()
    busy.alive()
    asleep.drain()
    asleep.alive()


@case("one allocation of five fails, handshakes both ways for ten seconds: all come back")
def _handshakes(world):
    ends = [world.end(number, source=f"127.0.0.{number}", endpoint=True) for number in range(2, 8)]
    before = counters()
    faults.within(faults.module())
    done = 0
    with faults.percent(20):
        until = time.monotonic() + 10 * min(ktap.SLOWNESS, 3)
        while time.monotonic() < until:
            for end in ends:
                inner(world, end.number)
                end.send(end.peer.initiation())
                message = end.receive(timeout=0.05)
                while message:
                    if message[0] == wgpeer.RESPONSE:
                        session = end.peer.finish(message)
                        if session:
                            end.session, done = session, done + 1
                            end.send(session.seal())
                    message = end.receive(timeout=0.01)
    ktap.diag(f"{done} sessions meanwhile; counted: {rise(before, counters())}")
    time.sleep(0.1)
    for end in ends:
        end.drain()
        end.handshake()
        end.alive()
    # The device as initiator, after its spacing.
    ktap.refused(world.netlink.set("wg0", genl.attr(genl.PRIVATE_KEY, world.private)), 0, "the same key")
    for end in ends:
        end.session = None
    run("ip", "link", "set", "wg0", "down")
    run("ip", "link", "set", "wg0", "up")
    for end in ends:
        end.drain()
        _session_by_device(world, end, 2 * RETRY + ktap.SLOWNESS)


def _two_ends(mtu=1420):
    """Namespaces fa and fb with a tunnel between them, over a veth pair."""
    names = ("fa", "fb")
    keys = [subprocess.run(["wg", "genkey"], stdout=subprocess.PIPE, check=True).stdout for _ in names]
    pubs = [subprocess.run(["wg", "pubkey"], input=k, stdout=subprocess.PIPE, check=True).stdout.decode().strip() for k in keys]
    for name in names:
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "va", "netns", "fa", "type", "veth", "peer", "name", "vb", "netns", "fb")
    for at, name in enumerate(names):
        other = 1 - at
        run("ip", "-n", name, "addr", "add", f"192.0.2.{at + 1}/24", "dev", "v" + "ab"[at])
        run("ip", "-n", name, "link", "set", "v" + "ab"[at], "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "add", "wg0", "type", "wireguard")
        subprocess.run(["ip", "netns", "exec", name, "wg", "set", "wg0", "private-key", "/dev/stdin", "listen-port", "1000",
                        "peer", pubs[other], "endpoint", f"192.0.2.{other + 1}:1000", "allowed-ips", f"10.78.0.{other + 1}/32"],
                       input=keys[at], check=True)
        run("ip", "-n", name, "addr", "add", f"10.78.0.{at + 1}/24", "dev", "wg0")
        run("ip", "-n", name, "link", "set", "wg0", "mtu", str(mtu), "up")


def _transfer(*more):
    return subprocess.run(["python3", HERE + "/xfer.py", "--from", "fa", "--to", "fb", "--dst", "10.78.0.2", *more],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def _losses(probability, what, **where):
    _two_ends()
    try:
        done = _transfer("--bytes", "100000")
        true(done.returncode == 0, f"before: {done.stdout}")
        faults.within(**where)
        size, done = 200000, None
        with faults.percent(probability):
            done = _transfer("--bytes", str(size))
        ktap.diag(f"meanwhile, status {done.returncode}: {done.stdout.strip()[-300:]}")
        for name in ("fa", "fb"):
            stats = [line.strip() for line in run("ip", "netns", "exec", name, "ethtool", "-S", "wg0").splitlines()]
            ktap.diag(f"{name}: " + ", ".join(line for line in stats if "drop" in line and not line.endswith(" 0")))
        # It may have been too slow, but never wrong.
        true(done.returncode == 0 or f"received [({size}," not in done.stdout, "what arrived was what was sent")
        # Packets pass again within seconds.
        wait_until(10, lambda: "1 received" in run("ip", "netns", "exec", "fa", "ping", "-c", "1", "-W", "1", "10.78.0.2", check=False), what)
        done = _transfer("--bytes", "200000")
        true(done.returncode == 0, f"afterwards: {done.stdout}")
    finally:
        for name in ("fa", "fb"):
            run("ip", "netns", "del", name, check=False)


@case("TCP while one of the driver's allocations of twenty-five fails: every byte right")
def _tcp_module(world):
    _losses(4, "a ping", where=faults.module())


@case("TCP while one atomic allocation of fifty fails, all over the machine")
def _tcp_anywhere(world):
    _losses(2, "a ping", where=faults.ANYWHERE, sleeping=False)


@case("TCP while packets move in memory wherever they may: every byte right")
def _tcp_moving(world):
    _two_ends()
    try:
        with faults.moving():
            done = _transfer("--bytes", "200000", "--udp", "20")
        true(done.returncode == 0, f"meanwhile: {done.stdout}")
    finally:
        for name in ("fa", "fb"):
            run("ip", "netns", "del", name, check=False)
