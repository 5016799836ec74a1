# SPDX-License-Identifier: GPL-2.0
"""KTAP for test programs in Python: register cases, run them, exit accordingly."""

import errno
import functools
import os
import re
import subprocess
import sys
import time
import traceback

_cases = []


class Skip(Exception):
    """Raised inside a case to skip it."""


def case(name):
    """Registers a function as the test case `name`."""

    def add(function):
        _cases.append((name, function))
        return function

    return add


def equal(actual, expected, what="value"):
    """Fails the running case unless both are equal."""
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def true(holds, what):
    """Fails the running case unless `holds`."""
    if not holds:
        raise AssertionError(what)


def name_of(number):
    """The symbolic name of an errno value, `ok` for 0."""
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, str(number)) if number else "ok"


def refused(actual, expected, what):
    """Compares errno values by name."""
    equal(name_of(actual), name_of(expected), what)


# How many times as long as on an ordinary kernel things may take.
SLOWNESS = int(os.environ.get("TEST_SLOWNESS", "1"))


def diag(text):
    """A KTAP diagnostic line."""
    print("#", str(text).replace("\n", "\n# "), flush=True)


def wait_until(seconds, holds, what):
    """Polls until `holds()`; fails the case after `seconds`."""
    end = time.monotonic() + seconds * SLOWNESS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("timed out waiting for " + what)
        time.sleep(0.02)


def run(*command, check=True):
    """Runs a command, returns what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * SLOWNESS, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


@functools.cache
def ours():
    """Whether the loaded driver is the Rust one (see lib.sh)."""
    choice = os.environ.get("TEST_DRIVER")
    if choice in ("ours", "stock"):
        return choice == "ours"
    return "/kernel/drivers/net/wireguard/" not in run("modinfo", "-n", "wireguard", check=False)


def main(around=None):
    """Runs all cases, each inside `around()` if given (a context manager)."""
    wanted = [c for c in _cases if re.search(os.environ.get("ONLY") or ".", c[0])]
    print("TAP version 13", flush=True)
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(wanted, 1):
        began = time.monotonic()
        line = f"ok {number} {name}"
        try:
            if around:
                with around() as given:
                    function(given)
            else:
                function()
        except Skip as reason:
            line += f" # SKIP {reason}"
        except Exception:  # pylint: disable=broad-except
            diag(traceback.format_exc().rstrip())
            line, failed = "not " + line, failed + 1
        print(line, flush=True)
        diag(f"took {int((time.monotonic() - began) * 1000)} ms")
    diag(f"{len(wanted) - failed} of {len(wanted)} passed")
    sys.exit(1 if failed else 0)
