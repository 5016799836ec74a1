# SPDX-License-Identifier: GPL-2.0
"""The order of what comes, on one CPU and on several."""

import functools
import os
import socket
import struct
import time

import ktap
import wgpeer
from affinity import one_cpu
from ktap import Skip, case, diag, equal, true
from protocol_hostile import train
from tracefs import tracing
from wgpeer import DATA

SO_RCVBUFFORCE = 33
NUMBER = struct.Struct(">I")


@case("D3 D6 the device's counters and order under a burst")
def _order(w):
    end = w.end()
    s = end.handshake()
    with one_cpu():
        numbers = [end.echo(s) for _ in range(60)]
    counters, answered = [], []
    while len(answered) < 60:
        message = end.receive(DATA, 2)
        true(message is not None, "all replies")
        counter, plain = s.unseal(message)
        counters.append(counter)
        if plain:
            answered.append(struct.unpack_from(">H", plain, 26)[0])
    equal(counters, list(range(len(counters))), "counters")
    equal(answered, numbers, "order")


def _received(inner):
    """The numbers that have come."""
    numbers = []
    inner.setblocking(False)
    try:
        while True:
            numbers.append(NUMBER.unpack(inner.recv(100))[0])
    except BlockingIOError:
        return numbers


def _messages(end, port, count):
    """Numbered datagrams to a port of the device."""
    first = end.session.counter
    end.session.counter += count
    return [
        end.session.seal(wgpeer.udp(end.inside, "10.77.0.1", 1, port, NUMBER.pack(i)), first + i) for i in range(count)
    ]


def _child(cpu, pipe, send):
    """A process that sends from one CPU, as soon as the pipe is closed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(pipe[1])
            os.sched_setaffinity(0, {cpu})
            os.read(pipe[0], 1)
            send()
            status = 0
        finally:
            os._exit(status)
    return child


def _several_cpus():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Skip("one CPU")
    return cpus


def together(cpus, senders):
    """Each of the functions on a CPU of its own, all at the same time."""
    pipe = os.pipe()
    children = [_child(cpu, pipe, send) for cpu, send in zip(cpus, senders)]
    for end in pipe:
        os.close(end)
    for child in children:
        equal(os.waitpid(child, 0)[1], 0, "a sender")


def send(end, messages, times=1):
    end.sock.setblocking(True)
    for message in messages * times:
        end.send(message)


@case("D6 each sender's datagrams stay in order where several CPUs receive")
def _several(w):
    cpus = _several_cpus()
    # No more than may wait for the CPU that receives them.
    count = 900 if ktap.SLOWNESS == 1 else 300
    ends = [(w.end(2 + i), w.inner(950 + i)) for i in range(2)]
    for end, inner in ends:
        inner.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        end.handshake()
        end.alive()
    for _ in range(8):
        together(cpus, [functools.partial(send, end, _messages(end, 950 + i, count)) for i, (end, _) in enumerate(ends)])
        for end, inner in ends:
            end.alive()
            got = _received(inner)
            late = sum(a > b for a, b in zip(got, got[1:]))
            diag(f"{len(got)} of {count}, {late} out of order")
            true(len(got) * 10 > count * 9, "most of them")
            equal(late, 0, "datagrams out of order")


def send_trains(end, messages, pause):
    """The same trains of messages again and again: what is old is dropped like what is not."""
    end.sock.setblocking(True)
    stop = time.monotonic() + 2 * ktap.SLOWNESS
    while time.monotonic() < stop:
        train(end, messages)
        time.sleep(pause)


@case("D6 what one CPU brings is opened there, though another one was first")
def _home(w):
    cpus = _several_cpus()
    end, inner = w.end(2), w.inner(950)
    inner.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    end.handshake()
    end.alive()
    messages = _messages(end, 950, 64)
    with tracing("csd/csd_function_entry") as tracer:
        together(cpus, [functools.partial(send_trains, end, messages, 0.005), functools.partial(send_trains, end, messages, 0)])
        calls = len(tracer.lines("wg_lane_arrive"))
    end.alive()
    got = _received(inner)
    diag(f"a lane went to the other CPU {calls} times")
    equal(got, list(range(64)), "received")
    true(ktap.ours() is False or calls > 0, "a lane goes to the CPU that brings most of what is in it")
