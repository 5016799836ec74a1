#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""many.py NAMESPACE COMMAND ...: configure a great many things quickly, by netlink.

devices PREFIX COUNT   a key, a peer with an endpoint that does not answer and
                       a keepalive for each of PREFIX0, PREFIX1, ...
add DEVICE COUNT FIRST peers with two prefixes each
count DEVICE           prints their number, by a dump
remove DEVICE COUNT FIRST   these, in requests of a hundred
"""

import socket
import struct
import sys

import genl

BATCH = 100


def key(number):
    # Any 32 bytes but a few are the key of somebody.
    return struct.pack(">I", number + 1) + b"many peers".ljust(28, b".")


def fine(number, what):
    if number:
        raise SystemExit(f"{what}: errno {number}")


def devices(client, prefix, count):
    endpoint = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 9) + bytes([127, 0, 0, 1]) + bytes(8)
    for i in range(int(count)):
        fine(client.set(f"{prefix}{i}", genl.attr(genl.PRIVATE_KEY, key(i)), genl.array(genl.PEERS, [genl.peer(
            key(10**6 + i), genl.attr(genl.P_ENDPOINT, endpoint), genl.u16(genl.P_KEEPALIVE, 1), ips=[genl.allowed("0.0.0.0", 0)])])), "device")


def batches(first, count):
    for at in range(int(first), int(first) + int(count), BATCH):
        yield range(at, min(at + BATCH, int(first) + int(count)))


def add(client, device, count, first):
    for batch in batches(first, count):
        fine(client.set(device, genl.array(genl.PEERS, [genl.peer(key(i), ips=[
            genl.allowed(f"172.{16 + (i >> 16 & 15)}.{i >> 8 & 255}.{i & 255}", 32), genl.allowed(f"fd88::{i >> 16:x}:{i & 65535:x}:0", 112)]) for i in batch])), "add")


def count(client, device):
    print(len(client.device(device)[1]))


def remove(client, device, number, first):
    for batch in batches(first, number):
        fine(client.set(device, genl.array(genl.PEERS, [genl.peer(key(i), flags=genl.REMOVE_ME) for i in batch])), "remove")


if __name__ == "__main__":
    {"devices": devices, "add": add, "count": count, "remove": remove}[sys.argv[2]](genl.Client(sys.argv[1]), *sys.argv[3:])
