# SPDX-License-Identifier: GPL-2.0
"""Sockets in network namespaces, for the test programs of this directory."""

import contextlib
import os
import socket

CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def entered(name):
    """Runs the body in the named namespace (None: where we are), in this thread.

    Sockets made inside stay in that namespace afterwards.
    """
    if name is None:
        yield
        return
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        os.setns(there, CLONE_NEWNET)
        yield
    finally:
        os.setns(back, CLONE_NEWNET)
        os.close(there)
        os.close(back)


def sock(name, *args):
    """`socket.socket(*args)` made in the named namespace."""
    with entered(name):
        return socket.socket(*args)


def family(address):
    """The address family of a numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
