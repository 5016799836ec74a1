# SPDX-License-Identifier: GPL-2.0
"""Who begins, preshared keys, new sessions of every kind, keepalives."""

import time

import ktap
import pair
from ktap import case, equal, true
from pair import ENDS, NIGHTLY, Tunnel, far, name, near, other, together


def begun_by(start, outer):
    def run(_):
        with pair.capture(near, "stream", "udp and portrange 1001-1002") as seen:
            tunnel = Tunnel(outer=outer, knows=(start,))
            tunnel.ping(start, count=1)
        first = [(m[2], m[4][0]) for m in seen[:2]]
        equal(first, [(1000 + start.number, 1), (1000 + other(start).number, 2)], "the first two messages")
        tunnel.pings()
        # The one that was not told has learned it.
        for end in ENDS:
            equal(tunnel.state(end)["endpoint"], pair.endpoint(pair.outer_address(other(end), outer), tunnel.ports[other(end).number - 1]),
                  f"endpoint at {name(end)}")
        tunnel.counters_agree()
    return run


for _start in ENDS:
    for _outer in (4, 6):
        case(f"H1 H12 {name(_start)} initiates, IPv{_outer} outside; counters agree")(begun_by(_start, _outer))


@case("H1 K1 both initiate at once: one session in the end")
def _both(_):
    tunnel = Tunnel()
    tunnel.pings()
    crossed = 0

    def insist(end):
        """Sends until something is answered.

        Both have sent a response, too, and for five seconds after it no initiation, not even
        the repeated one: only what is sent later begins another. The C driver does just so.
        """
        out = end.run(f"ping -q -c 1 -i 0.5 -w {40 * ktap.SLOWNESS} {tunnel.inside(other(end))}", check=False)
        true(" 0 received" not in out, f"{name(end)}: {out.strip()}")

    for _ in range(8):
        time.sleep(1.1)
        before = [tunnel.state(end) for end in ENDS]
        # A path so long that the initiations cross.
        for end in ENDS:
            tunnel.restart(end)
            end.run("tc qdisc replace dev lnk0 root netem delay 1s")

        def shorten():
            time.sleep(2.5)
            for end in ENDS:
                # Not removed: that would lose what is still on its way, a ping perhaps.
                end.run("tc qdisc change dev lnk0 root netem delay 0ms")

        with pair.capture(near, "stream", "udp and portrange 1001-1002") as seen:
            together(shorten, *(lambda end=end: insist(end) for end in ENDS))
        tunnel.handshakes_after(before)
        tunnel.pings(5)
        for end in ENDS:
            end.run("tc qdisc del dev lnk0 root")
        kinds = [(m[2], m[4][0]) for m in seen]
        crossed += sorted(kinds[:2]) == [(1001, 1), (1002, 1)]
        if crossed == (4 if NIGHTLY else 2):
            break
    ktap.diag(f"initiations crossed {crossed} times; the last time: {kinds}")
    true(crossed > 0, "initiations that cross")


def new_session(tunnel, start):
    """A handshake that `start` begins: done, or not within the time of some tries."""
    tunnel.restart(start)
    tunnel.ping(start, count=1)


@case("H7 preshared key: right, changed on both ends, wrong, right again")
def _psk(_):
    tunnel = Tunnel(psk=pair.new_psk())
    tunnel.pings()
    for start in ENDS:
        key = pair.new_psk()
        for end in ENDS:
            tunnel.set_peer(end, f"preshared-key <(echo {key})")
        new_session(tunnel, start)
        tunnel.pings(1)
        # The other one has another key: the initiation is read, the response is not.
        tunnel.set_peer(other(start), f"preshared-key <(echo {pair.new_psk()})")
        before = tunnel.state(start)
        for end in ENDS:
            tunnel.restart(end)
        tunnel.silent(start)
        tunnel.silent(other(start))
        now = tunnel.state(start)
        equal((now["handshake"], now["rx"] >= before["rx"]), (before["handshake"], True), f"handshake at {name(start)}")
        tunnel.set_peer(other(start), f"preshared-key <(echo {key})")
        for end in ENDS:
            tunnel.restart(end)
        tunnel.ping(start, count=1)
        tunnel.pings(1)


@case("R14 K1 either end restarts while data flows")
def _restart(_):
    tunnel = Tunnel()
    tunnel.pings()
    for end in ENDS:
        for _ in range(2):
            # Time stamps of handshakes are in seconds.
            time.sleep(1.1)
            before = [tunnel.state(e) for e in ENDS]
            tunnel.restart(end)
            tunnel.ping(end, count=1)
            tunnel.handshakes_after(before)
            tunnel.pings()
            tunnel.tcp(1 << 17)


@case("N7 P1 another private key, a peer removed and added: sessions end and begin anew")
def _keys(_):
    tunnel = Tunnel()
    tunnel.pings()
    for end in ENDS:
        # The other end learns the new key, then either of them initiates.
        old = tunnel.public[end.number]
        tunnel.keys[end.number], tunnel.public[end.number] = pair.new_key()
        tunnel.set(end, f"private-key <(echo {tunnel.keys[end.number]})")
        tunnel.silent(other(end), 2)
        tunnel.set(other(end), f"peer {old} remove {tunnel.peer(other(end))}")
        tunnel.ping(end if end is near else other(end), count=1)
        tunnel.pings()
        # Only one end forgets: its first packet makes a session with the other's old one.
        tunnel.set_peer(end, "remove")
        tunnel.set(end, tunnel.peer(end))
        tunnel.ping(end, count=1)
        tunnel.pings()
        tunnel.tcp(1 << 17)
    for end in ENDS:
        equal(tunnel.stat(end, "rx_errors"), 0, f"rx_errors of {name(end)}")


@case("T1 V8 keepalives: passive after 10 s, persistent every 2 s, both ends")
def _keepalive(_):
    # wg0: end 1 sends, wg1: end 2 does, and gets no answer; wg2, wg3: persistent at one end.
    passive = [Tunnel(), Tunnel(device="wg1", net=78, ports=(1003, 1004))]
    lasting = [Tunnel(device=f"wg{1 + end.number}", net=78 + end.number, ports=(1003 + 2 * end.number, 1004 + 2 * end.number),
                      keepalive={end.number: 2}) for end in ENDS]
    for tunnel in passive + lasting:
        tunnel.pings(1)
        tunnel.counters_agree()
    for end, tunnel in zip(ENDS, passive):
        # The reply that ends the ping is answered after 10 s, if the pinging end has sent nothing since.
        tunnel.ping(end, count=1)
    # All that was owed is paid by now: a keepalive after 10 s, and a handshake after 15 s. The C driver begins
    # that one in vain if the answer to a ping comes before it has noted the ping as sent.
    time.sleep(17 * ktap.SLOWNESS)
    before = [[tunnel.state(end) for end in ENDS] for tunnel in passive + lasting]
    began = time.monotonic()
    for end, tunnel in zip(ENDS, passive):
        number, _ = end.udp_open(tunnel.inside(end))
        sink, port = other(end).udp_open(tunnel.inside(other(end)))
        end.udp_send(number, [tunnel.inside(other(end)), port], 1, 1, 100)
        equal(other(end).udp_collect(sink, 1, 1, 100)[0], 1, "the datagram")
    time.sleep(12.5)
    after = [[tunnel.state(end) for end in ENDS] for tunnel in passive + lasting]
    took = time.monotonic() - began
    for end, was, now in zip(ENDS, before, after):
        i = end.number - 1
        equal(now[i]["rx"] - was[i]["rx"], 32, f"one keepalive to {name(end)} for its data")
        equal(now[1 - i]["rx"] - was[1 - i]["rx"], 32 + 128, f"the datagram, no keepalive, to {name(other(end))}")
    for end, was, now in zip(ENDS, before[2:], after[2:]):
        i = end.number - 1
        got = now[1 - i]["rx"] - was[1 - i]["rx"]
        true(got % 32 == 0 and took / 2 * 0.6 - 1 <= got // 32 <= took / 2 + 2, f"{got} bytes of keepalives from {name(end)} in {took:.1f} s")
        equal(now[i]["rx"] - was[i]["rx"], 0, f"nothing back to {name(end)}")
    for tunnel in passive + lasting:
        tunnel.counters_agree()


def rekeys(_):
    """Three tunnels for three minutes: each end initiates, and one that only receives."""
    talk = [Tunnel(device=f"wg{end.number}", net=70 + end.number, ports=(2000 + end.number, 2010 + end.number), knows=(end,))
            for end in ENDS]
    hear = [Tunnel(device=f"wg{2 + end.number}", net=72 + end.number, ports=(2020 + end.number, 2030 + end.number), knows=(end,))
            for end in ENDS]
    for end, tunnel in zip(ENDS * 2, talk + hear):
        tunnel.ping(end, count=1)
    first = [tunnel.state(near)["handshake"] for tunnel in talk + hear]
    # In the first two the initiator talks and is answered. In the last two it only receives, but for keepalives.
    pings = [(end, end.start(f"ping -q -i 0.25 -c 700 -W 5 {tunnel.inside(other(end))}")) for end, tunnel in zip(ENDS, talk)]
    sinks = [end.udp_open(tunnel.inside(end)) for end, tunnel in zip(ENDS, hear)]
    sources = [other(end).udp_open(tunnel.inside(other(end))) for end, tunnel in zip(ENDS, hear)]
    jobs = []
    for end, tunnel, (sink, port), (source, _) in zip(ENDS, hear, sinks, sources):
        jobs.append(lambda end=end, tunnel=tunnel, source=source, port=port: other(end).udp_send(
            source, [tunnel.inside(end), port], 5, 700 * 32, 60, pause=0.25))
        jobs.append(lambda end=end, sink=sink: end.udp_collect(sink, 5, 700 * 32, 60, limit=400))

    def watch():
        times = [[f] for f in first]
        until = time.monotonic() + 172
        while time.monotonic() < until:
            for known, tunnel in zip(times, talk + hear):
                now = tunnel.state(near)["handshake"]
                if now != known[-1]:
                    known.append(now)
            time.sleep(1)
        return times

    results = together(watch, *jobs)
    for (end, pid), tunnel in zip(pings, talk):
        out = end.finish(pid, 120)
        ktap.diag(f"{name(end)} pings: {' '.join(out.split())[-140:]}")
        got = int(out.split(" received")[0].split()[-1])
        true(got >= 699, f"{got} of 700 pings over the rekey")
    gaps = [[b - a for a, b in zip(known, known[1:])] for known in results[0]]
    ktap.diag(f"seconds between handshakes: initiator talks {gaps[:2]}, initiator only hears {gaps[2:]}")
    for end, gap in zip(ENDS, gaps[:2]):
        true(len(gap) == 1 and 119 <= gap[0] <= 125, f"{name(end)} renews after 120 s: {gap}")
    for end, gap in zip(ENDS, gaps[2:]):
        true(len(gap) == 1 and 119 <= gap[0] <= 171, f"{name(end)} renews what it only hears: {gap}")
    for end, got in zip(ENDS, results[2::2]):
        equal(got, [700 * 32, 0, 0, 0], f"datagrams to {name(end)}: good, twice, late, wrong")
    for tunnel in talk + hear:
        tunnel.counters_agree()


if NIGHTLY:
    case("K1 K3 K4 H13 real time: rekey after 120 s by each end, and by an end that only hears; nothing lost")(rekeys)

pair.main()
