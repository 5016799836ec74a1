# SPDX-License-Identifier: GPL-2.0
"""Bytes: every size, every MTU, every offload, every kind of link."""

import ktap
import pair
from ktap import case, equal, true
from pair import ENDS, NIGHTLY, Tunnel, far, name, near, other

BULK = (8 if NIGHTLY else 2) << 20


def sizes_near_16(most):
    """Payloads around each multiple of 16 of an inner packet, and the largest ones."""
    step = 16 if NIGHTLY or most < 600 else 16 * 5 if most < 1500 else 16 * 29
    found = {size for at in range(0, most + 1, step) for size in (at - 1, at, at + 1, at + 4)}
    found |= set(range(most - 20, most + 1))
    return sorted(size for size in found if 4 <= size <= most)


def mtu_case(mtu, outer):
    def run(_):
        link = "stream"
        if mtu + 80 > 1500:
            for end in ENDS:
                end.run(f"ip link set lnk{pair.LINKS[link]} mtu {mtu + 80}")
        tunnel = Tunnel(outer=outer, mtu=mtu, link=link)
        tunnel.pings(1)
        count = 0
        for fam in (4, 6) if mtu >= 1280 else (4,):
            most = mtu - (28 if fam == 4 else 48)
            for end in ENDS:
                port = other(end).udp_echo(tunnel.inside(other(end), fam))
                sizes = sizes_near_16(most)
                bad, refused, repeated = end.udp_sizes(tunnel.inside(end, fam), [tunnel.inside(other(end), fam), port], sizes + [most + 1])
                equal((bad, refused), ([], [most + 1]), f"IPv{fam} sizes that fail and that are refused, from {name(end)}")
                count += len(sizes)
                if repeated:
                    ktap.diag(f"{repeated} datagrams had to be repeated")
            # ping does the same with ICMP; beyond the mtu it is fragmented inside.
            for end in ENDS:
                tunnel.ping(end, fam, 2, f"-M do -s {most}")
                tunnel.ping(end, fam, 2, f"-s {min(3 * most, 20000)}")
        if mtu >= 576:
            tunnel.tcp(1 << 18)
        ktap.diag(f"{count} sizes")
        tunnel.counters_agree()
    return run


SHORT = [(68, 4), (1280, 6), (1420, 4), (1420, 6), (8921, 4)]
LONG = [(576, 4), (576, 6), (1280, 4), (1379, 4), (1379, 6), (1412, 6), (8921, 6)]

for _mtu, _outer in SHORT + (LONG if NIGHTLY else []):
    case(f"R4 D2 MTU {_mtu}, IPv{_outer} outside: sizes around multiples of 16, DF, fragments")(mtu_case(_mtu, _outer))


@case("O1 a message longer than the link's MTU is fragmented outside")
def _outer_fragments(_):
    tunnel = Tunnel(mtu=4000)
    tunnel.pings()
    for end in ENDS:
        tunnel.ping(end, 4, 2, "-M do -s 3972")
        tunnel.udp(end, count=100, size=3972)
    tunnel.tcp(1 << 18)
    tunnel.counters_agree()


def bulk(tunnel, fams=(4, 6), count=BULK):
    """TCP and UDP, plain and in GSO packets, both ways: seconds of each."""
    took = []
    for fam in fams:
        size = tunnel.mtu - (28 if fam == 4 else 48)
        took.append(tunnel.tcp(count, fam, start=near if fam == 4 else far))
        for end in ENDS:
            tunnel.udp(end, 200, size, fam)
            tunnel.udp(end, 400, size - 33, fam, segment=True, gro=True)
            tunnel.udp(end, 400, size, fam, segment=True)
    return took


@case("X7 what the links' devices offer")
def _offers(_):
    wanted = {  # tx-checksum, TSO, UDP segmentation, large packets received
        "stream": (False, False, False),
        "uso": (True, True, True),
        "uso-tx": (True, True, True),
        "plain": (True, True, False),
    }
    for link, want in wanted.items():
        try:
            pair.need_link(link)
        except ktap.Skip:
            ktap.diag(f"no {link} link here")
            continue
        for end in ENDS:
            got = tuple(pair.offload(end, link, f) for f in
                        ("tx-checksumming", "tcp-segmentation-offload", "tx-udp-segmentation"))
            equal(got, want, f"tx-checksumming, TSO, UDP segmentation of the {link} link at {name(end)}")


def link_case(link, outer):
    def run(_):
        tunnel = Tunnel(outer=outer, link=link)
        tunnel.pings()
        took = bulk(tunnel)
        ktap.diag(f"TCP: {', '.join(f'{BULK * 16 / t / 1e6:.0f} Mbit/s' for t in took)} (both ways together)")
        for end in ENDS:
            equal(tunnel.stat(end, "rx_errors"), 0, f"rx_errors of {name(end)}")
            if tunnel.ethtool(end, "tx_trains") is not None:
                true(tunnel.ethtool(end, "tx_trains") > 0, f"trains from {name(end)}")
                ktap.diag(f"{name(end)}: {tunnel.ethtool(end, 'tx_trains')} trains of {tunnel.ethtool(end, 'tx_train_messages')} messages sent, "
                          f"{tunnel.ethtool(end, 'rx_trains')} received")
        # Does a train pass the device as one? Not put together again here: GRO of the receiver is off.
        for end in ENDS:
            other(end).run(f"ethtool -K lnk{pair.LINKS[link]} gro off")
            with pair.capture(other(end), link, f"udp and src port {1000 + end.number}", snap=60) as seen:
                tunnel.tcp(1 << 18, 4, start=end)
                # How much TCP sends at once is its own affair; here it is 32 datagrams.
                tunnel.udp(end, 128, 1300, 4, segment=True)
            other(end).run(f"ethtool -K lnk{pair.LINKS[link]} gro on")
            true(sum(m[5] for m in seen) > (1 << 18) + 128 * 1300, f"bytes captured: {sum(m[5] for m in seen)}")
            longest = max(m[5] for m in seen)
            ktap.diag(f"longest frame that {name(other(end))} receives: {longest}")
            if link == "uso" and tunnel.ethtool(end, "tx_trains") is not None:
                true(longest > 3000, f"a train passes the link whole: {longest}")
            if link != "uso":
                true(longest <= 1514, f"the link carries single messages: {longest}")
    return run


for _link in pair.LINKS:
    for _outer in (4, 6) if NIGHTLY or _link == "uso" else (4,):
        case(f"X7 byte-exact over the {_link} link, IPv{_outer} outside")(link_case(_link, _outer))


# For each: what is changed with ethtool, at which device.
SWITCHES = [
    ("wg0", "tso off gso off"), ("wg0", "gro off"), ("wg0", "sg off"), ("trains", "udp-gso off"),
    ("link", "gso off"), ("link", "tx-udp-segmentation off"), ("link", "tx off"), ("link", "sg off"),
    ("link", "gro off"), ("link", "rx off"), ("link", "rx-udp-gro-forwarding on"), ("link", "tso off ufo off"),
]


def switch_case(link):
    def run(_):
        pair.need_link(link)
        device, done = f"lnk{pair.LINKS[link]}", []
        for where, what in SWITCHES:
            tunnel = Tunnel(link=link)
            back = " ".join({"on": "off", "off": "on"}.get(w, w) for w in what.split())
            for end in ENDS:
                command = {"wg0": "ethtool -K wg0", "link": f"ethtool -K {device}", "trains": "ethtool --set-priv-flags wg0"}[where]
                end.run(f"{command} {what}", check=False)
            tunnel.pings(1)
            tunnel.tcp(1 << 19, 4)
            for end in ENDS:
                tunnel.udp(end, 200, 1392, 4, segment=True)
                equal(tunnel.stat(end, "rx_errors"), 0, f"rx_errors of {name(end)}")
                if where == "link":
                    end.run(f"ethtool -K {device} {back}", check=False)
            for end in ENDS:
                end.run("ip link del wg0")
            done.append(f"{where}: {what}")
        ktap.diag("; ".join(done))
    return run


for _link in pair.LINKS if NIGHTLY else ("uso",):
    case(f"R7 X7 offloads switched off and on over the {_link} link")(switch_case(_link))

pair.main()
