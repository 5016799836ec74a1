# SPDX-License-Identifier: GPL-2.0
"""Ends that change addresses and ports, sources that stick, cookies under load."""

import time

import ktap
import pair
from ktap import case, equal, true
from pair import ENDS, Tunnel, name, other


def port_of(end):
    return 1000 + end.number


def moves(outer):
    def run(_):
        tunnel = Tunnel(outer=outer)
        tunnel.pings()
        for end in ENDS:
            home = pair.outer_address(end, outer)
            away = f"192.168.0.{10 + end.number}" if outer == 4 else f"fd00::{10 + end.number}"
            # Another address: the old one is gone before the new one is used.
            bits = 24 if outer == 4 else "64 nodad"
            short = 24 if outer == 4 else 64
            end.run(f"ip addr add {away}/{bits} dev lnk0 && ip addr del {home}/{short} dev lnk0")
            tunnel.ping(end, count=1)
            wanted = pair.endpoint(away, port_of(end))
            equal(tunnel.state(other(end))["endpoint"], wanted, f"endpoint at {name(other(end))}")
            tunnel.pings()
            tunnel.tcp(1 << 17)
            # And back, with another port.
            end.run(f"ip addr add {home}/{bits} dev lnk0 && ip addr del {away}/{short} dev lnk0")
            tunnel.set(end, f"listen-port {5000 + end.number}")
            tunnel.ping(end, count=1)
            endpoints = tunnel.state(other(end))["endpoint"]
            equal(endpoints.rsplit(":", 1)[1], str(5000 + end.number), f"port at {name(other(end))}")
            tunnel.pings()
            tunnel.set(end, f"listen-port {port_of(end)}")
            tunnel.ping(end, count=1)
            tunnel.pings()
    return run


for _outer in (4, 6):
    case(f"E2 E3 O5 each end moves to another address and port, IPv{_outer}")(moves(_outer))


@case("E2 E3 each end moves from IPv4 to IPv6 outside and back")
def _families(_):
    tunnel = Tunnel()
    tunnel.pings()
    for end in ENDS:
        for outer in (6, 4):
            to = other(end)
            tunnel.set_peer(end, f"endpoint {pair.endpoint(pair.outer_address(to, outer), port_of(to))}")
            tunnel.ping(end, count=1)
            where = tunnel.state(to)["endpoint"]
            equal(where.startswith("["), outer == 6, f"endpoint at {name(to)}: {where}")
            tunnel.pings()


@case("E5 E6 answers leave from the address that was called; another one is chosen when it goes")
def _sticky(_):
    for outer in (4, 6):
        for end in ENDS:
            to = other(end)
            second = f"192.168.0.{20 + to.number}" if outer == 4 else f"fd00::{20 + to.number}"
            length = 24 if outer == 4 else 64
            to.run(f"ip addr add {second}/{length} dev lnk0 {'' if outer == 4 else 'nodad'}")
            tunnel = Tunnel(outer=outer, knows=(end,))
            tunnel.set_peer(end, f"endpoint {pair.endpoint(second, port_of(to))}")
            kept = tunnel.state(end)["endpoint"]
            tunnel.ping(end, count=3)
            tunnel.ping(to, count=3)
            equal(tunnel.state(end)["endpoint"], kept, f"endpoint at {name(end)}")
            # It goes: the next message of that end comes from the first address.
            to.run(f"ip addr del {second}/{length} dev lnk0")
            tunnel.ping(to, count=3)
            true(tunnel.state(end)["endpoint"] != kept, f"{name(end)} learns the new one")
            tunnel.pings()
            for one in ENDS:
                one.run("ip link del wg0")


def under_load(honest):
    """The other end of `honest` is flooded; `honest` gets in by a cookie."""

    def run(_):
        target = other(honest)
        honest.run("ip addr add 192.168.0.66/24 dev lnk0")
        tunnel = Tunnel(knows=(honest,))
        tunnel.ping(honest, count=1)
        mac2 = bytes(16)
        for attempt in range(1, 7):
            tunnel.restart(honest)
            before = tunnel.state(honest)["handshake"]
            with pair.capture(honest, "stream", f"udp and host 192.168.0.{honest.number}") as seen:
                flood = honest.flood_start(tunnel.public[target.number], "192.168.0.66", [f"192.168.0.{target.number}", port_of(target)])
                time.sleep(1.0)
                # Until one is answered: the second initiation comes after five seconds.
                out = honest.run(f"ping -q -c 1 -i 0.5 -w {20 * ktap.SLOWNESS} {tunnel.inside(target)}", check=False)
                sent = honest.flood_stop(flood)
            true(" 0 received" not in out, f"pings during the flood: {out}")
            kinds = [(m[2] == port_of(honest), m[4][0], m[4][132:148] != mac2 and len(m[4]) == 148) for m in seen]
            ktap.diag(f"attempt {attempt}: {sent} initiations sent to {name(target)}; handshake messages of the honest end: "
                      + ", ".join(f"{'>' if k[0] else '<'}{k[1]}{'+mac2' if k[2] else ''}" for k in kinds if k[1] < 4))
            if (False, 3, False) not in kinds:
                continue
            denied = kinds.index((False, 3, False))
            true((True, 1, True) in kinds[denied:], "an initiation with mac2 after the cookie reply")
            entered = denied + kinds[denied:].index((True, 1, True))
            true((False, 2, False) in kinds[entered:], "a response to it")
            true(tunnel.state(honest)["handshake"] > before, "a session")
            time.sleep(1.5)
            tunnel.pings()
            for end in ENDS:
                value = tunnel.ethtool(end, "tx_cookie")
                if value is not None:
                    ktap.diag(f"{name(end)}: {value} cookies sent")
            return
        raise AssertionError("no cookie reply to the honest end: the load was not enough")

    return run


for _honest in ENDS:
    case(f"C1 C2 C3 H10 {name(other(_honest))} under load, {name(_honest)} enters with a cookie")(under_load(_honest))

pair.main()
