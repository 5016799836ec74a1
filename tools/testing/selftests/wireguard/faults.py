# SPDX-License-Identifier: GPL-2.0
"""Allocation failures on demand, by the kernel's fault injection (Documentation/fault-injection).

Only allocations with a function of a chosen range of addresses among their callers fail: those of
our module, or those of a module that is being loaded. So the rest of the machine works on.
"""

import contextlib
import errno
import os

DEBUG = "/sys/kernel/debug/"
# Slab objects; whole pages.
KINDS = ("failslab", "fail_page_alloc")
# No allocation: where a packet's memory may move, it does.
MOVE = "fail_skb_realloc"
# The deepest that the kernel looks for callers.
DEPTH = 32
ANYWHERE = (0, (1 << 64) - 1)


def _write(kind, knob, value):
    with open(f"{DEBUG}{kind}/{knob}", "w", encoding="ascii") as out:
        out.write(str(value))


def _symbols():
    """(address, name, module or "") of every function that the kernel knows, in order."""
    out = []
    with open("/proc/kallsyms", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1] in "tTwW":
                module = fields[3].strip("[]") if len(fields) > 3 else ""
                out.append((int(fields[0], 16), fields[2], module))
    return sorted(out)


def module(name="wireguard"):
    """Where the functions of a loaded module are."""
    found = [address for address, _, of in _symbols() if of == name]
    return found[0], found[-1] + 0x1000


def function(name):
    """Where one function of the kernel is."""
    symbols = _symbols()
    for at, (address, found, of) in enumerate(symbols):
        if found == name and not of:
            return address, next(a for a, _, _ in symbols[at:] if a > address)
    raise LookupError(f"the kernel has no function {name}")


def within(where, sleeping=True):
    """From now on only allocations with a caller in the range `where` may fail.

    `sleeping`: also those that could wait for memory, which most of configuration does. Never those
    of kmemleak for itself: they are as many again, and it has a reserve.
    """
    # Else "fail-nth" counts the places where a packet may move as well.
    if os.path.isdir(DEBUG + MOVE):
        _write(MOVE, "stacktrace-depth", 1)
        _write(MOVE, "require-start", 1)
        _write(MOVE, "require-end", 1)
    try:
        reject = function("__alloc_object")
    except LookupError:
        reject = (0, 0)
    for kind in KINDS:
        off(kind)
        _write(kind, "verbose", 0)
        _write(kind, "task-filter", "N")
        _write(kind, "space", 0)
        _write(kind, "ignore-gfp-wait", "N" if sleeping else "Y")
        _write(kind, "stacktrace-depth", DEPTH)
        _write(kind, "require-start", hex(where[0]))
        _write(kind, "require-end", hex(where[1]))
        _write(kind, "reject-start", hex(reject[0]))
        _write(kind, "reject-end", hex(reject[1]))
    _write("failslab", "cache-filter", "N")
    _write("fail_page_alloc", "min-order", 0)
    _write("fail_page_alloc", "ignore-gfp-highmem", "N")


def off(*kinds):
    for kind in kinds or KINDS:
        _write(kind, "probability", 0)
        _write(kind, "times", -1)
        _write(kind, "interval", 1)


@contextlib.contextmanager
def percent(probability):
    """While the body runs, that part of the allocations fails, in any context."""
    try:
        for kind in KINDS:
            _write(kind, "probability", probability)
        yield
    finally:
        off()


@contextlib.contextmanager
def no_large_pages():
    """While the body runs, there is no memory in pieces of more than one page."""
    try:
        _write("fail_page_alloc", "min-order", 1)
        _write("fail_page_alloc", "probability", 100)
        yield
    finally:
        off()
        _write("fail_page_alloc", "min-order", 0)


@contextlib.contextmanager
def moving():
    """While the body runs, each packet moves in memory wherever the network stack says that it may."""
    try:
        _write(MOVE, "verbose", 0)
        _write(MOVE, "require-start", 0)
        _write(MOVE, "require-end", (1 << 64) - 1)
        _write(MOVE, "probability", 100)
        yield
    finally:
        _write(MOVE, "probability", 0)


class Place:
    """Lets one slab allocation fail, counted from a moment on, whoever makes it.

    The kernel fails those of which the number divides by "interval", and never tells its count: so
    it is followed here. It counts only while a failure is wanted, and not where the interval is 1.
    """

    count = wanted = 0

    @classmethod
    def start(cls, number):
        """The `number`th from now on, and no more."""
        off()
        cls.wanted = cls.count + number
        _write("failslab", "interval", cls.wanted)
        _write("failslab", "times", 1)
        _write("failslab", "probability", 100)

    @classmethod
    def stop(cls, use_up):
        """Whether it has come. If not, `use_up()` makes allocations until it does: then the count is known."""
        came = not cls._pending()
        while cls._pending():
            use_up()
        off()
        if cls.wanted > 1:
            cls.count = cls.wanted
        return came

    @staticmethod
    def _pending():
        with open(DEBUG + "failslab/times", encoding="ascii") as value:
            return int(value.read()) != 0


def nth(number, call):
    """Runs `call` with its `number`th allocation failing: (whether there was one, what it returned).

    Counts those that this thread makes in the kernel within the range.
    """
    fd = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    try:
        os.pwrite(fd, b"%d" % number, 0)
        try:
            got = call()
        finally:
            left = int(os.pread(fd, 16, 0))
            os.pwrite(fd, b"0", 0)
        return left == 0, got
    finally:
        os.close(fd)


# What want of memory is called: the kernel says ENFILE of a socket, ENOBUFS of a route.
TOLD = (0, errno.ENOMEM, errno.ENOBUFS, errno.ENFILE)

# How many allocations a systematic test tries at most: more would be a loop.
MOST = 3000


def each(call, after):
    """Runs `call` with its first allocation failing, then its second, and so on to the last.

    `call` returns an errno. `after(number, got)` follows each and has to leave things as `call`
    wants them. Returns how many allocations there were, and how many of the failures were seen.
    """
    seen = 0
    for number in range(1, MOST):
        injected, got = nth(number, call)
        if got not in TOLD or got and not injected:
            raise AssertionError(f"allocation {number}: {errno.errorcode.get(got, got)}, injected: {injected}")
        after(number, got)
        if not injected:
            return number - 1, seen
        seen += got != 0
    raise AssertionError("there is no end to it")
