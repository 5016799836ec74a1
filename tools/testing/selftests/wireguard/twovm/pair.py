# SPDX-License-Identifier: GPL-2.0
"""Two guests with a tunnel between them, for the cases of this directory."""

import contextlib
import ipaddress
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
import ktap  # noqa: E402
from end import End, Remote, together  # noqa: E402,F401
from ktap import equal, true  # noqa: E402

NIGHTLY = bool(os.environ.get("NIGHTLY"))
# What the two links have to say for themselves, see twovm.sh on the host.
LINKS = {"stream": 0, "uso": 1, "uso-tx": 2, "plain": 3}
NAMES = [os.environ.get("NEAR", "ours"), os.environ.get("FAR", "stock")]

near = End(1)
far = Remote(2)
ENDS = (near, far)


def other(end):
    return ENDS[2 - end.number]


def name(end):
    return f"{NAMES[end.number - 1]} (end {end.number})"


def outer_address(end, outer=4, link="stream"):
    if outer == 4:
        return f"192.168.{LINKS[link]}.{end.number}"
    return str(ipaddress.ip_address(f"fd00:{LINKS[link]}::{end.number}"))


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def need_link(link):
    if not os.path.exists(f"/sys/class/net/lnk{LINKS[link]}"):
        raise ktap.Skip(f"this machine has no {link} link")


class Tunnel:
    """A wireguard device on each end. Inside 10.NET.0.{1,2} and fdNET::{1,2}."""

    def __init__(self, outer=4, link="stream", mtu=1420, knows=ENDS, psk=None, device="wg0", net=77, ports=(1001, 1002),
                 keepalive=None):
        need_link(link)
        self.outer, self.link, self.device, self.net, self.ports, self.mtu = outer, link, device, net, ports, mtu
        self.knows = knows
        self.psk = psk if isinstance(psk, dict) else {1: psk, 2: psk}
        self.keys, self.public = {}, {}
        for end in ENDS:
            self.keys[end.number], self.public[end.number] = new_key()
        together(*(lambda end=end: self.make(end) for end in ENDS))
        # Not before there are two ends: it begins a handshake at once.
        for number, seconds in (keepalive or {}).items():
            self.set_peer(ENDS[number - 1], f"persistent-keepalive {seconds}")

    def make(self, end):
        n = end.number
        commands = [
            f"ip link add {self.device} type wireguard",
            f"wg set {self.device} private-key <(echo {self.keys[n]}) listen-port {self.ports[n - 1]} {self.peer(end)}",
            f"ip addr add 10.{self.net}.0.{n}/24 dev {self.device}",
            f"ip link set {self.device} mtu {self.mtu} up",
        ]
        if self.mtu >= 1280:
            commands.append(f"ip addr add fd{self.net}::{n}/64 dev {self.device} nodad")
        end.run(" && ".join(commands))

    def peer(self, end):
        """The part of a wg command that describes the other end to this one."""
        n, to = end.number, other(end)
        text = f"peer {self.public[to.number]} allowed-ips 10.{self.net}.0.{to.number}/32,fd{self.net}::{to.number}/128"
        if self.psk[n]:
            text += f" preshared-key <(echo {self.psk[n]})"
        if end in self.knows:
            text += f" endpoint {endpoint(outer_address(to, self.outer, self.link), self.ports[to.number - 1])}"
        return text

    def set(self, end, what):
        end.run(f"wg set {self.device} {what}")

    def set_peer(self, end, what):
        self.set(end, f"peer {self.public[other(end).number]} {what}")

    def restart(self, end):
        """Forgets the sessions of one end."""
        n = end.number
        end.run(f"ip link set {self.device} down && ip link set {self.device} up" +
                (f" && ip addr add fd{self.net}::{n}/64 dev {self.device} nodad" if self.mtu >= 1280 else ""))

    def inside(self, end, fam=4):
        return f"10.{self.net}.0.{end.number}" if fam == 4 else f"fd{self.net}::{end.number}"

    def ping(self, end, fam=4, count=3, options=""):
        """All must be answered.

        One by one: once ping has had an answer, it waits for the next ones for two round trips
        only, which may be some milliseconds, whatever -W says.
        """
        to = self.inside(other(end), fam)
        out = end.run(f"for i in $(seq {count}); do ping -q -c 1 -W 10 {options} {to} || exit; done", check=False)
        equal(out.count(" 1 received"), count, f"answers to {name(end)}: ping {options} {to}: {out.strip()}")

    def pings(self, count=3):
        for end in ENDS:
            for fam in (4, 6) if self.mtu >= 1280 else (4,):
                self.ping(end, fam, count)

    def silent(self, end, wait=3):
        """No ping may be answered."""
        out = end.run(f"ping -q -c 1 -W {wait} {self.inside(other(end))}", check=False)
        true(" 0 received" in out, f"{name(end)}: a ping was answered: {out.strip()}")

    def state(self, end):
        """{endpoint, handshake, rx, tx} of the peer."""
        for line in end.run(f"wg show {self.device} dump").splitlines()[1:]:
            key, _, where, _, handshake, rx, tx, _ = line.split("\t")
            if key == self.public[other(end).number]:
                return {"endpoint": where, "handshake": int(handshake), "rx": int(rx), "tx": int(tx)}
        raise AssertionError(f"{name(end)}: the peer is gone")

    def stat(self, end, counter):
        return int(end.run(f"cat /sys/class/net/{self.device}/statistics/{counter}"))

    def ethtool(self, end, counter):
        """A counter of the driver; None if it has none of that name."""
        for line in end.run(f"ethtool -S {self.device} 2>/dev/null", check=False).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == counter:
                return int(value)
        return None

    def counters_agree(self):
        """On a link that loses nothing, what one end sent is what the other received."""
        states = None

        def agree():
            nonlocal states
            states = [self.state(end) for end in ENDS]
            return states[0]["tx"] == states[1]["rx"] and states[1]["tx"] == states[0]["rx"]

        try:
            ktap.wait_until(5, agree, "counters that agree")
        except AssertionError:
            raise AssertionError(f"counters of the two ends: {states}") from None
        for end in ENDS:
            equal(self.stat(end, "rx_errors"), 0, f"rx_errors of {name(end)}")
            equal(self.stat(end, "tx_errors"), 0, f"tx_errors of {name(end)}")

    def handshakes_after(self, before):
        """Both have had a new handshake since the states `before`."""
        ktap.wait_until(15, lambda: all(self.state(end)["handshake"] > then["handshake"] for end, then in zip(ENDS, before)),
                        "a new handshake")

    def tcp(self, count=1 << 20, fam=4, start=near, limit=120, seed=None):
        """`count` bytes each way at once over one connection that `start` opens: seconds."""
        to = other(start)
        seed = seed or int.from_bytes(os.urandom(4), "big")
        number, port = to.tcp_listen(self.inside(to, fam))
        first, second = together(
            lambda: start.tcp_move([self.inside(to, fam), port], seed, count, limit * ktap.SLOWNESS),
            lambda: to.tcp_move(number, seed + 1, count, limit * ktap.SLOWNESS))
        equal((second[2], second[1]), (count, first[0]), f"TCP bytes from {name(start)}")
        equal((first[2], first[1]), (count, second[0]), f"TCP bytes from {name(to)}")
        return max(first[3], second[3])

    def udp(self, start, count=400, size=1300, fam=4, segment=False, gro=False, percent=95, **more):
        """Datagrams from `start`: every one that arrives is one that was sent."""
        to = other(start)
        mine, _ = start.udp_open(self.inside(start, fam))
        number, port = to.udp_open(self.inside(to, fam), gro=gro)
        seed = int.from_bytes(os.urandom(4), "big")
        _, (good, again, late, wrong) = together(
            lambda: start.udp_send(mine, [self.inside(to, fam), port], seed, count, size, segment),
            lambda: to.udp_collect(number, seed, count, size, **more))
        what = f"UDP from {name(start)}: {good} of {count}, {again} twice, {late} late, {wrong} wrong"
        true(wrong == 0 and good * 100 >= count * percent, what)
        return good, again, late


def new_key():
    private = near.run("wg genkey").strip()
    return private, near.run(f"echo {private} | wg pubkey").strip()


def new_psk():
    return near.run("wg genpsk").strip()


def offload(end, link, feature):
    """Whether a feature of a link's device is on, by its name in ethtool -k."""
    found = json.loads(end.run(f"ethtool --json -k lnk{LINKS[link]}"))[0]
    return found[feature]["active"]


def messages(pcap):
    """What tcpdump -w wrote: [(source, destination, source port, destination port, UDP payload, frame length)]."""
    result, at = [], 24
    while at + 16 <= len(pcap):
        kept, length = (int.from_bytes(pcap[at + k:at + k + 4], sys.byteorder) for k in (8, 12))
        frame = pcap[at + 16:at + 16 + kept]
        at += 16 + kept
        kind = frame[12:14]
        if kind == b"\x08\x00" and frame[23] == 17:
            head = 14 + (frame[14] & 15) * 4
            ends = frame[26:30], frame[30:34]
        elif kind == b"\x86\xdd" and frame[20] == 17:
            head, ends = 54, (frame[22:38], frame[38:54])
        else:
            continue
        udp = frame[head:]
        result.append((*(str(ipaddress.ip_address(e)) for e in ends), int.from_bytes(udp[:2], "big"),
                       int.from_bytes(udp[2:4], "big"), udp[8:], length))
    return result


@contextlib.contextmanager
def capture(end, link, expression, snap=200):
    """Outer packets of an end while the body runs: a list, filled at its end."""
    found = []
    path = f"/tmp/capture{time.monotonic_ns()}"
    pid = end.start(f"tcpdump -Z root -i lnk{LINKS[link]} -U --immediate-mode -B 16384 -s {snap} -w {path} '{expression}'")
    ktap.wait_until(10, lambda: end.run(f"stat -c %s {path} 2>/dev/null", check=False).strip() not in ("", "0"), "tcpdump")
    try:
        yield found
    finally:
        end.run("sleep 0.3")
        end.finish(pid, interrupt=True)
        found.extend(messages(bytes.fromhex(end.run(f"od -An -v -tx1 {path}"))))
        end.run(f"rm -f {path}")


@contextlib.contextmanager
def around():
    """Each case begins and ends without anything of another one."""
    together(near.forget, far.forget)
    try:
        yield None
    finally:
        together(near.forget, far.forget)


def main():
    """Runs the cases that were registered, then sees that the far driver can be removed."""
    near.links()
    ktap.wait_until(120, reachable, "the other guest")

    def wrapped():
        return around()

    @ktap.case("the module of the other end can be removed")
    def _remove(_):
        far.run("rmmod wireguard && modprobe wireguard")

    together(*(lambda end=end: end.run("modprobe wireguard") for end in ENDS))
    ktap.diag(f"end 1: {near.run('modinfo -n wireguard').strip()}, end 2: {far.run('modinfo -n wireguard').strip()}")
    ktap.main(wrapped)


def reachable():
    try:
        far.run("true")
        return True
    except OSError:
        return False
