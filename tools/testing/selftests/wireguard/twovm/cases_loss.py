# SPDX-License-Identifier: GPL-2.0
"""Mixed traffic over a link that loses, repeats, reorders and damages packets."""

import threading
import time

import ktap
import pair
from ktap import case, true
from pair import ENDS, NIGHTLY, Tunnel, name, near, other, together

SECONDS = 600 if NIGHTLY else 60
NETEM = [
    "delay 10ms 5ms loss 3% duplicate 2%",
    "delay 20ms reorder 25% 50% loss 1%",
    "delay 5ms corrupt 2% loss 2%",
    "delay 20ms 15ms distribution normal loss 5% 25% duplicate 3% corrupt 1% reorder 10%",
]


@case(f"X7 V11 K1 {SECONDS} s of TCP, UDP and pings both ways over loss, duplicates, reordering and damage")
def _mixed(_):
    tunnel = Tunnel()
    tunnel.pings()
    end_at = time.monotonic() + SECONDS
    done = {}
    forgotten = {end.number: {"tx": 0, "rx": 0} for end in ENDS}
    lock = threading.Lock()

    def over():
        return time.monotonic() >= end_at

    def count(what, number=1):
        with lock:
            done[what] = done.get(what, 0) + number

    def tcp(start, fam):
        while not over():
            tunnel.tcp(1 << 18, fam, start, limit=180)
            count(f"TCP IPv{fam} from end {start.number}")

    def udp(start, fam, segment):
        while not over():
            good, again, _ = tunnel.udp(start, 256, 1200, fam, segment, percent=20, quiet=2.0)
            # What the link duplicates is sent on once only.
            true(again == 0, f"{again} datagrams came twice")
            count(f"UDP IPv{fam} from end {start.number}", good)

    def pings(start):
        while not over():
            out = start.run(f"ping -q -i 0.2 -c 40 -W 2 {tunnel.inside(other(start))}", check=False)
            true(" received" in out, f"ping: {out}")
            count(f"pings from end {start.number}", int(out.split(" received")[0].split()[-1]))

    def trouble():
        """Each kind in turn; single messages in every other round; and now and then a new session."""
        rounds = 0
        step = SECONDS / 8
        while not over():
            for end in ENDS:
                end.run(f"ethtool -K lnk0 gso {'off' if rounds % 2 else 'on'}", check=False)
                end.run(f"tc qdisc replace dev lnk0 root netem limit 4000 {NETEM[rounds % len(NETEM)]}")
            if rounds % 3 == 2:
                # One end forgets the other, and all sessions with it.
                end = ENDS[rounds // 3 % 2]
                # Its counters go with the peer; what comes between these two lines is not counted.
                was = tunnel.state(end)
                for kind, sum_of in forgotten[end.number].items():
                    forgotten[end.number][kind] = sum_of + was[kind]
                tunnel.set(end, f"peer {tunnel.public[other(end).number]} remove {tunnel.peer(end)}")
            rounds += 1
            time.sleep(step)

    together(trouble, *(lambda e=e, f=f: tcp(e, f) for e, f in zip(ENDS, (4, 6))),
             *(lambda e=e, f=f, s=s: udp(e, f, s) for e, f, s in zip(ENDS, (6, 4), (False, True))),
             *(lambda e=e: pings(e) for e in ENDS))
    for end in ENDS:
        end.run("ethtool -K lnk0 gso on; tc qdisc del dev lnk0 root")
    for what in sorted(done):
        ktap.diag(f"{what}: {done[what]}")
    true(len(done) == 6 and all(done.values()), f"every flow has moved: {done}")
    time.sleep(1)
    tunnel.pings(5)
    tunnel.tcp(1 << 20)
    for end in ENDS:
        sent = forgotten[end.number]["tx"] + tunnel.state(end)["tx"]
        received = forgotten[other(end).number]["rx"] + tunnel.state(other(end))["rx"]
        ktap.diag(f"{name(end)} sent {sent}, {name(other(end))} received {received}")
        true(received <= sent, "no more was received than sent")
        true(received >= sent // 2, "half of it arrived")
        for kind in ("rx_errors", "tx_errors", "rx_dropped", "tx_dropped"):
            ktap.diag(f"{name(end)}: {kind} {tunnel.stat(end, kind)}")

pair.main()
