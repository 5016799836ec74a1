# SPDX-License-Identifier: GPL-2.0
"""Searches all memory of the machine for secrets that a device has had.

Who knows a secret has it in memory. So a process of its own plays the other end and tells
secrets under a mask; when it has ended, all memory that is free is used once, which clears it. A
secret that never was the device's tells when something of that process is left. The search goes
by four bytes of a secret and compares the others under the mask.
"""

import array
import contextlib
import mmap
import os
import struct
import time

import ktap
import wgpeer
from ktap import Skip, case, diag, equal, run, true
from protocol_world import World
from wgcrypto import kdf, self_test

KCORE, FLAGS = "/proc/kcore", "/proc/kpageflags"
PT_LOAD = 1
# Pages that are free, and those that are none.
UNUSED = 1 << 10 | 1 << 20
PAGE = mmap.PAGESIZE
MADV_POPULATE_WRITE = 23
# Of 32 bytes: not the first and the last, which clamping changes.
FIRST, PREFIX, LAST = 1, 5, 31
CHUNK = 1 << 16
MARGIN = 96 << 20
# More than a CPU's lists of free pages hold (high_max in /proc/zoneinfo).
LISTS = 48 << 20
CPUS = os.sched_getaffinity(0)


class Secret:
    """Something of 32 bytes, masked."""

    def __init__(self, name, mask, masked):
        self.name, self.mask, self.masked = name, mask, masked
        self.prefix = self.plain(FIRST, PREFIX)

    def plain(self, first, last):
        return bytes(a ^ b for a, b in zip(self.mask[first:last], self.masked[first:last]))

    def at(self, memory, place):
        """Whether it lies where its prefix was found."""
        return all(
            memory[place + i - FIRST] == self.mask[i] ^ self.masked[i]
            for i in range(PREFIX, LAST)
        )


def ram():
    """(offset in KCORE, number of the first page, length) of all memory."""
    with open(KCORE, "rb") as core:
        head = core.read(64)
        offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        core.seek(offset)
        for _ in range(count):
            kind, _, place, _, physical, length = struct.unpack_from("<IIQQQQ", core.read(size))
            if kind == PT_LOAD and physical != (1 << 64) - 1:
                yield place, physical // PAGE, length


def search(secrets):
    """{name: how many times it is in memory}."""
    found = {secret.name: 0 for secret in secrets}
    flags = array.array("Q")
    # The kernel gives whole numbers only.
    with open(FLAGS, "rb", buffering=0) as pages:
        while part := pages.read(1 << 20):
            flags.frombytes(part)
    buffer, nothing = bytearray(CHUNK + LAST), bytes(CHUNK + LAST)
    view = memoryview(buffer)
    core = os.open(KCORE, os.O_RDONLY)
    try:
        for start, page, length in ram():
            for offset in range(0, length, CHUNK):
                first = page + offset // PAGE
                if all(bits & UNUSED for bits in flags[first : first + CHUNK // PAGE]):
                    continue
                # Also what begins in this piece and ends in the next.
                size = os.preadv(core, [view[: min(CHUNK + LAST, length - offset)]], start + offset)
                if size < LAST or view[:size] == nothing[:size]:
                    continue
                for secret in secrets:
                    place = buffer.find(secret.prefix, 0, size)
                    while place >= 0:
                        if place < CHUNK and place + LAST - FIRST <= size and secret.at(buffer, place):
                            found[secret.name] += 1
                        place = buffer.find(secret.prefix, place + 1, size)
    finally:
        os.close(core)
        view.release()
        buffer[:] = bytes(len(buffer))
    return found


@contextlib.contextmanager
def taken(size, cpu):
    """Memory, taken page by page: so also those that wait for reuse in a list of that CPU."""
    os.sched_setaffinity(0, {cpu})
    with contextlib.closing(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory.madvise(MADV_POPULATE_WRITE)
        yield


def use_free_memory():
    """Whatever was in it is gone."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    first, *others = sorted(CPUS)
    with contextlib.ExitStack() as all_taken:
        for cpu in others:
            all_taken.enter_context(taken(LISTS, cpu))
        all_taken.enter_context(taken(max(free - MARGIN - LISTS * len(others), MARGIN) & -PAGE, first))


def told(play):
    """What `play()`, in a process of its own, says is secret: {name: bytes}."""
    mask = os.urandom(32)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            secrets = play()
            secrets["never the device's"] = kdf(2, os.urandom(32), b"")[0]
            with os.fdopen(writing, "wb") as pipe:
                for name, secret in secrets.items():
                    masked = bytes(a ^ b for a, b in zip(secret, mask))
                    pipe.write(masked + name.encode().ljust(32))
            status = 0
        except Exception as error:  # pylint: disable=broad-except
            diag(repr(error))
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        records = pipe.read()
    equal(os.waitpid(child, 0)[1], 0, "the other end")
    return [
        Secret(records[at + 32 : at + 64].decode().strip(), mask, records[at : at + 32])
        for at in range(0, len(records), 64)
    ]


def expect(secrets, there):
    """All secrets of the device are in memory, or none is."""
    for _ in range(4):
        began = time.monotonic()
        use_free_memory()
        searching = time.monotonic()
        found = search(secrets)
        diag(f"{found}; {searching - began:.1f} s, {time.monotonic() - searching:.1f} s")
        if not found["never the device's"]:
            break
        time.sleep(0.5)
    else:
        raise AssertionError("memory of the other end that cannot be cleared")
    for name, count in found.items():
        if name != "never the device's":
            true(bool(count) == there, f"{name} is in memory {count} times")


@contextlib.contextmanager
def link():
    for path in (KCORE, FLAGS):
        if not os.access(path, os.R_OK):
            raise Skip(f"no {path}")
    run("ip", "link", "add", "wg0", "type", "wireguard")
    try:
        yield
    finally:
        run("ip", "link", "del", "wg0", check=False)
        os.sched_setaffinity(0, CPUS)


@case("R14 K6 session keys are in memory while the interface is up, and not after")
def _sessions(_):
    def play():
        w = World()
        theirs = w.end(2)
        theirs.handshake()
        theirs.alive()
        mine = w.end(3, endpoint=True, keepalive=900)
        mine.answer()
        true(mine.receive(wgpeer.DATA) is not None, "a keepalive")
        mine.alive()
        return {
            "key to send, responder": theirs.session.receive_key,
            "key to receive, responder": theirs.session.send_key,
            "key to send, initiator": mine.session.receive_key,
            "key to receive, initiator": mine.session.send_key,
        }

    secrets = told(play)
    expect(secrets, True)
    run("ip", "link", "set", "wg0", "down")
    expect(secrets, False)


@case("K6 P1 the state of a handshake in flight is not in memory after it was forgotten")
def _in_flight(_):
    def play():
        w = World()
        end = w.end(2, endpoint=True, keepalive=900)
        initiation = end.receive(wgpeer.INITIATION)
        # Before the next one takes its place.
        run("ip", "link", "set", "wg0", "down")
        return {"chaining key": end.peer.read(initiation)[1][0]}

    expect(told(play), False)


@case("N11 N22 private and preshared keys are in memory while the link exists, and not after")
def _configured(_):
    def play():
        w = World()
        psk = os.urandom(32)
        end = w.end(2, psk=psk)
        end.handshake()
        end.alive()
        return {"private key": w.private, "preshared key": psk, "static secret": end.peer.static}

    secrets = told(play)
    expect(secrets, True)
    run("ip", "link", "del", "wg0")
    expect(secrets, False)


if __name__ == "__main__":
    self_test()
    run("ip", "link", "set", "lo", "up")
    ktap.main(link)
