#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Drop reasons, counters and trace points. See trace.sh."""

import base64
import contextlib
import os

import ktap
import trace_drops  # noqa: F401  (registers its cases)
import wgpeer
from ktap import Skip, case, equal, ours, run, true, wait_until
from protocol_world import world
from tracefs import tracing
from wgpeer import DATA, INITIATION


def steps(tracer, name="wg_handshake"):
    """What the events of that name say of our interface, in order."""
    return [event["what"] for event in tracer.events_of(name) if event["dev"] == "wg0"]


def soon(tracer, name, *wanted):
    """All of that is recorded soon, in this order."""

    def found():
        rest = iter(steps(tracer, name))
        return all(step in rest for step in wanted)

    wait_until(30, found, f"{name} {wanted} in {steps(tracer, name)}")


@case("trace points: a handshake as responder, its keys, and where the peer is")
def _responder(w):
    with tracing("wireguard") as tracer:
        end = w.end()
        end.handshake()
        end.alive()
        soon(tracer, "wg_handshake", "initiation_received", "response_sent", "completed")
        soon(tracer, "wg_key", "created", "confirmed")
        soon(tracer, "wg_endpoint", "moved")
        port = str(end.sock.getsockname()[1])
        moved = tracer.events_of("wg_endpoint")[-1]
        equal(moved["endpoint"], "127.0.0.1:" + port, "endpoint")
        true(int(moved["peer"]) > 0, "number of the peer")
        tracer.clear()
        other = w.outside("127.0.0.9")
        end.send(end.session.seal(), other)
        soon(tracer, "wg_endpoint", "moved")
        equal(tracer.events_of("wg_endpoint")[-1]["endpoint"], f"127.0.0.9:{other.getsockname()[1]}", "endpoint")
        tracer.clear()
        run("wg", "set", "wg0", "peer", base64.b64encode(end.peer.public).decode(), "remove")
        soon(tracer, "wg_key", "destroyed")


@case("trace points: a handshake as initiator, a retry, and timers")
def _initiator(w):
    with tracing("wireguard") as tracer:
        end = w.end(endpoint=True, keepalive=500)
        soon(tracer, "wg_endpoint", "configured")
        first = end.receive(INITIATION)
        true(first is not None, "an initiation")
        equal(tracer.events_of("wg_handshake")[0]["what"], "initiation_sent", "first step")
        second = end.receive(INITIATION, 10 * ktap.SLOWNESS)
        true(second is not None, "another one")
        soon(tracer, "wg_timer", "retransmit")
        soon(tracer, "wg_endpoint", "configured", "source_forgotten")
        end.answer(second)
        true(end.receive(DATA) is not None, "the confirmation")
        soon(tracer, "wg_handshake", "initiation_sent", "initiation_sent", "response_received", "completed")
        soon(tracer, "wg_key", "created")
        # Data that is not answered by data: a keepalive after ten seconds.
        w.inner()
        end.send(end.session.seal(wgpeer.udp(end.inside, "10.77.0.1", 9, 9, b"x")))
        soon(tracer, "wg_timer", "keepalive")


@case("trace points: nothing that they know could be a key")
def _formats(_):
    fields = set()
    for event in os.listdir("/sys/kernel/tracing/events/wireguard"):
        with contextlib.suppress(NotADirectoryError):
            with open(f"/sys/kernel/tracing/events/wireguard/{event}/format", encoding="ascii") as file:
                fields |= {line.split(";")[0].split()[-1].split("[")[0] for line in file if line.startswith("\tfield:")}
    fields = {field for field in fields if not field.startswith("common_")}
    equal(fields, {"name", "ifindex", "peer", "cause", "reason", "count", "what", "endpoint", "attempt", "keypair"}, "fields")


@contextlib.contextmanager
def ours_only():
    """The C driver has nothing of this."""
    if not ours():
        raise Skip("the C driver has neither trace points nor counters")
    with world() as made:
        yield made


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    ktap.main(ours_only)
