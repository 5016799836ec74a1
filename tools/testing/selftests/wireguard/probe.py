#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Small probes that a shell cannot make: exact errno values and ICMP answers.

    probe.py udp NS DESTINATION [COUNT]    sends datagrams, prints the outcome of the
                                           last one and the ICMP error that follows
    probe.py raw NS IF PROTOCOL HEX        sends a packet by AF_PACKET, prints the outcome
    probe.py dgram NS IF HEX               the same, the kernel derives the protocol
    probe.py outq NS DESTINATION COUNT SIZE[xSEGMENTS] COMMAND...
                                           sends datagrams, or so many at once; prints how many bytes of the
                                           socket are in flight, before and after COMMAND
    probe.py blocked NS DESTINATION        sends until a small send buffer is full (at most
                                           500 datagrams), prints how many went
    probe.py flow NS DESTINATION SIZE COUNT MARK PRIORITY
                                           sends datagrams of one flow, marked
    probe.py burst NS DESTINATION SECONDS  sends datagrams of 100 bytes as fast as it can,
                                           64 at once; prints how many
    probe.py arrivals NS ADDRESS PORT FILE when datagrams came, by the kernel's clock, once
                                           FILE exists
    probe.py timed NS NS2 DESTINATION SIZE COUNT DELAY [GAP]
                                           sends that many datagrams at once (UDP_SEGMENT) from
                                           NS, to leave in DELAY ms (SO_TXTIME), or each for
                                           itself, to leave GAP ms after the one before; prints
                                           after how many ms the first and the last came to NS2
    probe.py stamped NS DESTINATION SIZE SEGMENTS COUNT
                                           sends so many times so many datagrams at once
                                           (UDP_SEGMENT) and wants to be told when each time
                                           they have left; prints how often it was
    probe.py bound NS ADDRESS PORT         binds a UDP socket and holds it until killed
    probe.py pinned NS NS2 DESTINATION COUNT
                                           sends so many times two datagrams of one byte to a
                                           socket in NS2 that keeps them, and then 32 of 1,000
                                           bytes to one that does not; prints how many KiB of
                                           memory come back when the first is closed, and how
                                           many it has paid for
    probe.py denied bind|receive COMMAND... runs COMMAND in a cgroup with a BPF program that allows
                                           no socket to be bound (IPv4), or none to receive
                                           anything; status 4 if the kernel has no such programs
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

import netns

IP_RECVERR, IPV6_RECVERR = 11, 25
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS, UDP_SEGMENT = 32, 33, 35, 103
SO_TXTIME = SCM_TXTIME = 61
SO_TIMESTAMPING = 37
TX_SOFTWARE, SOFTWARE, OPT_ID, OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11


def outcome(call):
    """`ok`, or the name of the error that `call` raised."""
    try:
        call()
        return "ok"
    except OSError as err:
        return errno.errorcode.get(err.errno, str(err.errno))


def icmp_error(sock, seconds):
    """`icmp TYPE CODE` from the error queue of a UDP socket, or `none`."""
    poll = select.poll()
    poll.register(sock, 0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        poll.poll(100)
        try:
            _, control, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            continue
        for _, kind, data in control:
            if kind in (IP_RECVERR, IPV6_RECVERR):
                _, origin, icmp_type, code = struct.unpack_from("=IBBB", data)
                if origin in (2, 3):
                    return f"icmp {icmp_type} {code}"
    return "none"


def udp(name, dst, count="1"):
    fam = netns.family(dst)
    sock = netns.sock(name, fam, socket.SOCK_DGRAM)
    if fam == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    sock.setblocking(False)
    result = "ok"
    for _ in range(int(count)):
        result = outcome(lambda: sock.sendto(b"x" * 32, (dst, 9)))
    print(result, icmp_error(sock, 2.0 if result != "ok" else 0.2))


def raw(name, dev, protocol, packet):
    sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    data = bytes.fromhex(packet)
    print(outcome(lambda: sock.sendto(data, (dev, int(protocol, 0)))))


def dgram(name, dev, packet):
    sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_RAW, 0)
    data = bytes.fromhex(packet)
    print(outcome(lambda: sock.sendto(data, (dev, 0))))


def in_flight(sock):
    """Bytes of packets that this socket owns."""
    return struct.unpack("=i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def outq(name, dst, count, size, *command):
    sock = netns.sock(name, netns.family(dst), socket.SOCK_DGRAM)
    size, _, segments = size.partition("x")
    if segments:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, int(size))
    for _ in range(int(count)):
        sock.sendto(bytes(int(size) * int(segments or 1)), (dst, 9))
    # What is not held is gone after a while.
    time.sleep(1.0)
    held = in_flight(sock)
    subprocess.run(command, check=True)
    end = time.monotonic() + 10
    while in_flight(sock) and time.monotonic() < end:
        time.sleep(0.05)
    print(held, in_flight(sock))


def blocked(name, dst):
    sock = netns.sock(name, netns.family(dst), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    sock.setblocking(False)
    sent = 0
    try:
        while sent < 500:
            sock.sendto(bytes(1000), (dst, 9))
            sent += 1
            time.sleep(0.002)
    except BlockingIOError:
        pass
    print(sent)


def flow(name, dst, size, count, mark, priority):
    sock = netns.sock(name, netns.family(dst), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, int(priority))
    sock.connect((dst, 9))
    for _ in range(int(count)):
        sock.send(bytes(int(size)))


def burst(name, dst, seconds):
    sock = netns.sock(name, netns.family(dst), socket.SOCK_DGRAM)
    # Beyond the limit for users: the queue is to be full, not the socket.
    sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 28)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
    sock.connect((dst, 9))
    sent, data = 0, bytes(6400)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for _ in range(20):
            sock.send(data)
            sent += 64
    print(sent)


def arrivals(name, address, port, stop):
    sock = netns.sock(name, netns.family(address), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((address, int(port)))
    print("bound", flush=True)
    while not os.path.exists(stop):
        time.sleep(0.1)
    sock.setblocking(False)
    while True:
        try:
            _, control, _, _ = sock.recvmsg(2048, 512)
        except BlockingIOError:
            break
        seconds, nanos = struct.unpack("=qq", control[0][2])
        print(f"{seconds}.{nanos:09d}")
    print("done", flush=True)


def timed(name, other, destination, size, count, delay, gap=None):
    size, count, delay = int(size), int(count), int(delay)
    receiver = netns.sock(other, netns.family(destination), socket.SOCK_DGRAM)
    receiver.bind((destination, 5000))
    receiver.settimeout(10)
    sender = netns.sock(name, netns.family(destination), socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("=iI", time.CLOCK_MONOTONIC, 0))
    began = time.monotonic_ns()

    def send(size, delay, *control):
        due = (socket.SOL_SOCKET, SCM_TXTIME, struct.pack("=Q", began + delay * 1_000_000))
        sender.sendmsg([bytes(size)], [due, *control], 0, (destination, 5000))

    if gap:
        for number in range(count):
            send(size, delay + number * int(gap))
    elif count > 1:
        send(size * count, delay, (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size)))
    else:
        send(size, delay)
    after = []
    for _ in range(count):
        receiver.recv(65536)
        after.append((time.monotonic_ns() - began) // 1_000_000)
    print(after[0], after[-1])


def stamped(name, destination, size, segments, count):
    size, segments, count = int(size), int(segments), int(count)
    sock = netns.sock(name, netns.family(destination), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)
    sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
    # What it is told waits there.
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    if segments > 1:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    told = 0
    for _ in range(count):
        sock.sendto(bytes(size * segments), (destination, 5000))
    end = time.monotonic() + 5
    while told < count and time.monotonic() < end:
        try:
            sock.recvmsg(0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            told += 1
        except BlockingIOError:
            time.sleep(0.01)
    print(told)


def bound(name, address, port):
    sock = netns.sock(name, netns.family(address), socket.SOCK_DGRAM)
    sock.bind((address, int(port)))
    print("bound", flush=True)
    time.sleep(600)


def memory_free():
    """KiB, with what CPUs keep at hand, when all is calm."""
    time.sleep(1)
    with open("/proc/zoneinfo", encoding="ascii") as table:
        fields = [line.split() for line in table]
    return sum(int(f[1]) for f in fields if f and f[0] in ("nr_free_pages", "count:")) * (os.sysconf("SC_PAGESIZE") >> 10)


def pinned(name, other, destination, count):
    family = netns.family(destination)
    kept, lost = (netns.sock(other, family, socket.SOCK_DGRAM) for _ in range(2))
    kept.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    lost.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    kept.bind((destination, 5000))
    lost.bind((destination, 5001))
    small, large = (netns.sock(name, family, socket.SOCK_DGRAM) for _ in range(2))
    # What is sent at once also comes at once, and is copied.
    small.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1)
    large.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
    # All of one CPU: what is recycled is its own.
    os.sched_setaffinity(0, {0})

    def some(number):
        for _ in range(number):
            small.sendto(b"xx", (destination, 5000))
            large.sendto(bytes(32000), (destination, 5001))

    some(int(count))
    before = memory_free()
    # SO_MEMINFO: the first is what was received and not read yet.
    paid = struct.unpack("9I", kept.getsockopt(socket.SOL_SOCKET, 55, 36))[0]
    kept.close()
    print(memory_free() - before, paid >> 10)


# For each kind: BPF_PROG_TYPE_CGROUP_..., BPF_CGROUP_INET..._...
DENY = {"bind": (18, 8), "receive": (8, 0)}
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF = {"x86_64": 321, "aarch64": 280}


def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    got = libc.syscall(BPF[os.uname().machine], command, buffer, len(attributes))
    if got < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return got


def denied(kind, *command):
    program, place = DENY[kind]
    # r0 = 0; exit
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", root], check=True)
        group = f"{root}/denied-{os.getpid()}"
        try:
            os.mkdir(group)
            try:
                fd = bpf(BPF_PROG_LOAD, struct.pack(
                    "=IIQQIIQII16sII", program, 2, ctypes.addressof(code), ctypes.addressof(licence),
                    0, 0, 0, 0, 0, b"denied", 0, place))
                bpf(BPF_PROG_ATTACH, struct.pack("=IIII", os.open(group, os.O_RDONLY), fd, place, 0))
            except OSError as error:
                print(error)
                return 4
            child = os.fork()
            if child == 0:
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as procs:
                    procs.write("0")
                os.execvp(command[0], command)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            os.rmdir(group)
            subprocess.run(["umount", "-l", root], check=True)


if __name__ == "__main__":
    sys.exit({"udp": udp, "raw": raw, "dgram": dgram, "bound": bound, "outq": outq, "blocked": blocked, "flow": flow,
     "burst": burst, "arrivals": arrivals, "timed": timed, "stamped": stamped,
     "denied": denied, "pinned": pinned}[sys.argv[1]](*sys.argv[2:]))
