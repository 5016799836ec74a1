# SPDX-License-Identifier: GPL-2.0
"""Each cause of a drop: its counter goes up, and counter, reason and event agree."""

import contextlib
import os
import re
import socket
import struct
import time

import genl
import wgpeer
from ktap import case, equal, run, true, wait_until
from protocol_flood import UDP_SEGMENT, cookie_under_load, flood
from protocol_world import PORT
from tracefs import tracing
from wgpeer import COOKIE, DATA, INITIATION, RESPONSE

DROPS = ("skb/kfree_skb", "wireguard/wg_drop")


def counters(dev="wg0"):
    """What `ethtool -S` says, as a dict."""
    return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", run("ethtool", "-S", dev))}


class Watch:
    """Checks one cause after another."""

    def __init__(self, w, tracer):
        self.world, self.tracer = w, tracer

    def drop(self, cause, reason, act, packets=1):
        """`act` makes the counter `cause` go up, and at least `packets` packets be freed for `reason`."""
        before = counters()
        self.tracer.clear()
        act()
        what = f"{cause}, {reason}"
        wait_until(20, lambda: counters()[cause] > before[cause], "counter of " + what)
        wait_until(10, lambda: self.tracer.freed().count(reason) >= packets, f"reason of {what} in {self.tracer.freed()}")
        # Other traffic of the machine may be dropped as well, but never without a reason.
        freed = self.tracer.freed()
        true("NOT_SPECIFIED" not in freed, f"{what}: dropped without a reason: {self.tracer.lines('NOT_SPECIFIED')}")

        def told():
            return sum(int(event["count"]) for event in self.tracer.events_of("wg_drop") if event["cause"] == cause)

        # One is read after the other, and what `act` brought about may go on for a moment.
        with contextlib.suppress(AssertionError):
            wait_until(5, lambda: told() == counters()[cause] - before[cause], "both")
        equal(told(), counters()[cause] - before[cause], f"events of {what} and its counter")


def udp_to(address, size=10, port=9):
    """Sends a datagram into the tunnel; whether that is refused is not the matter here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(bytes(size), (address, port))
        except OSError:
            pass


def to_device(w, message):
    """Sends a message to the device from a socket that nobody knows."""
    w.outside("127.0.0.44").sendto(message, ("127.0.0.1", PORT))


@case("drops on the way out: not IP, no peer, no endpoint, no route, too long")
def _out(w):
    with tracing(*DROPS) as tracer:
        watch = Watch(w, tracer)
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)

        def not_ip():
            try:
                raw.sendto(b"\xffnot a packet" * 4, ("wg0", 0x1234))
            except OSError:
                pass

        watch.drop("tx_drop_not_ip", "UNHANDLED_PROTO", not_ip)
        raw.close()
        watch.drop("tx_drop_no_peer", "NO_TX_TARGET", lambda: udp_to("10.77.0.99"))
        end = w.end()
        watch.drop("tx_drop_no_endpoint", "TUNNEL_TXINFO", lambda: udp_to(end.inside))
        end.handshake()
        end.alive()
        run("ip", "link", "set", "wg0", "mtu", "100000")
        watch.drop("tx_drop_too_long", "PKT_TOO_BIG", lambda: udp_to(end.inside, 65507))
        run("ip", "link", "set", "wg0", "mtu", "1420")
        far = wgpeer.Peer(w.public)
        address = struct.pack("=H", 2) + struct.pack(">H", 7) + socket.inet_aton("203.0.113.7") + bytes(8)
        entry = genl.peer(far.public, genl.attr(genl.P_ENDPOINT, address), ips=[genl.allowed("10.77.0.77", 32)])
        equal(w.netlink.set("wg0", genl.array(genl.PEERS, [entry])), 0, "adding a peer that is far away")
        watch.drop("tx_drop_no_route", "IP_OUTNOROUTES", lambda: udp_to("10.77.0.77"))


@case("drops of packets that wait: beyond 128, and when the interface goes down")
def _staged(w):
    with tracing(*DROPS) as tracer:
        watch = Watch(w, tracer)
        end = w.end(endpoint=True)

        def many():
            for _ in range(200):
                udp_to(end.inside)

        watch.drop("tx_drop_staged", "FULL_RING", many, 71)
        watch.drop("tx_drop_purged", "QUEUE_PURGE", lambda: run("ip", "link", "set", "wg0", "down"), 128)


@case("drops of handshake messages: MAC, key, peer, replay, response, cookie, no key")
def _handshakes(w):
    with tracing(*DROPS) as tracer:
        watch = Watch(w, tracer)
        watch.drop("rx_drop_malformed", "UNHANDLED_PROTO", lambda: to_device(w, b"not WireGuard"))
        end = w.end()
        good = end.peer.initiation()
        watch.drop("rx_drop_mac1", "OTHERHOST", lambda: to_device(w, good[:116] + bytes(32)))
        forged = end.peer.macs(good[:60] + bytes([good[60] ^ 1]) + good[61:116])
        watch.drop("rx_drop_initiation", "SKB_CSUM", lambda: to_device(w, forged))
        stranger = wgpeer.Peer(w.public)
        watch.drop("rx_drop_unknown_peer", "NO_SOCKET", lambda: to_device(w, stranger.initiation()))
        first = end.peer.initiation()
        end.send(first)
        true(end.receive(RESPONSE) is not None, "a response")
        time.sleep(0.05)
        watch.drop("rx_drop_initiation_replay", "TCP_OLD_SEQUENCE", lambda: end.send(first))
        nothing = end.peer.macs(struct.pack("<III", RESPONSE, 1, 0x12345678) + bytes(48))
        watch.drop("rx_drop_response_unexpected", "NO_SOCKET", lambda: to_device(w, nothing))
        reply = struct.pack("<II", COOKIE, 0x12345678) + bytes(56)
        watch.drop("rx_drop_cookie_unexpected", "NO_SOCKET", lambda: to_device(w, reply))
        caller = w.end(3, endpoint=True, keepalive=500)
        message = caller.receive(INITIATION)
        true(message is not None, "an initiation of the device")
        reply = caller.peer.cookie_reply(message, os.urandom(16))
        watch.drop("rx_drop_cookie", "SKB_CSUM", lambda: caller.send(reply[:40] + bytes(24)))
        response, _ = caller.peer.respond(caller.peer.read(message)[1])
        forged = caller.peer.macs(response[:50] + bytes([response[50] ^ 1]) + response[51:60])
        watch.drop("rx_drop_response", "SKB_CSUM", lambda: caller.send(forged))
        equal(w.netlink.set("wg0", genl.attr(genl.PRIVATE_KEY, bytes(32))), 0, "no private key")
        watch.drop("rx_drop_no_identity", "DEV_READY", lambda: to_device(w, end.peer.initiation()))


@case("drops under load: a source over its rate")
def _limited(w):
    first = w.end(2)
    ends = [w.end(3 + i) for i in range(24)]
    for end in ends:
        end.sock = first.sock
    with tracing(*DROPS) as tracer:
        watch = Watch(w, tracer)
        cookie = cookie_under_load(first, w)

        def burst():
            # As long as it takes for enough of them to meet the load.
            for _ in range(8):
                before = counters()["rx_drop_rate_limit"]
                messages = [end.peer.initiation(cookie=cookie) for end in ends]
                flood(w)
                for message in messages:
                    first.send(message)
                first.drain()
                if counters()["rx_drop_rate_limit"] > before:
                    return

        watch.drop("rx_drop_rate_limit", "CPU_BACKLOG", burst)


@case("drops of data: no session, forged, replayed, not IP, length, source; trains")
def _data(w):
    end = w.end()
    end.handshake()
    end.alive()
    session = end.session
    with tracing(*DROPS) as tracer:
        watch = Watch(w, tracer)
        lost = struct.pack("<IIQ", DATA, session.remote ^ 1, 99) + bytes(16)
        watch.drop("rx_drop_no_keypair", "NO_SOCKET", lambda: end.send(lost))
        good = session.seal(wgpeer.echo(end.inside, "10.77.0.1", 900))
        bad = good[:-1] + bytes([good[-1] ^ 1])
        watch.drop("rx_drop_decrypt", "SKB_CSUM", lambda: end.send(bad))
        end.send(good)
        watch.drop("rx_drop_replay", "TCP_OLD_SEQUENCE", lambda: end.send(good))
        watch.drop("rx_drop_not_ip", "IP_INHDR", lambda: end.send(session.seal(b"\xff" * 64)))
        long = wgpeer.echo(end.inside, "10.77.0.1", 901, length=1000)
        watch.drop("rx_drop_length", "PKT_TOO_SMALL", lambda: end.send(session.seal(long)))
        foreign = wgpeer.echo("10.77.0.200", "10.77.0.1", 902)
        watch.drop("rx_drop_source", "IP_RPFILTER", lambda: end.send(session.seal(foreign)))

        # A train that nothing comes of is one packet dropped; its messages are counted each.
        train = w.outside()
        train.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(bad))
        before = counters()
        watch.drop("rx_drop_decrypt", "SKB_CSUM", lambda: train.sendto(bad * 5, end.device))
        equal(counters()["rx_drop_decrypt"] - before["rx_drop_decrypt"], 5, "messages of the train")
        equal(counters()["rx_train_messages"] - before["rx_train_messages"], 5, "messages in trains")


@case("what is not dropped: a handshake, data and keepalives free no packet as a drop")
def _good(w):
    end = w.end()
    with tracing(*DROPS) as tracer:
        before = counters()
        end.handshake()
        for _ in range(5):
            end.alive()
        end.send(end.session.seal())
        wait_until(10, lambda: counters()["rx_keepalive"] >= before["rx_keepalive"] + 2, "keepalives")
        equal(tracer.freed(), [], "packets that the module has dropped")
        equal(tracer.events_of("wg_drop"), [], "drops told")
        after = counters()
        for name, least in [("rx_initiation", 1), ("tx_response", 1), ("handshake_completed", 1), ("rx_keepalive", 2)]:
            true(after[name] - before[name] >= least, f"{name}: {before[name]}, {after[name]}")
