#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Watches WireGuard's outer packets on an Ethernet device.

    sniff.py watch NS IF FILE      one JSON object a packet into FILE, until killed
    sniff.py check FILE EXPRESSION...  evaluates Python expressions over `p`, the list
                                   of packets, and fails unless all are true

Fields: v (4, 6), src, dst, sport, dport, tos, ttl, df, flow, total (IP length),
len (message length), type, zero (reserved bytes), index, counter, csum (valid).
"""

import json
import socket
import struct
import sys

import netns

ETH_P_ALL = 3
PACKET_OUTGOING = 4


def ones_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def parse(frame):
    kind = struct.unpack_from(">H", frame, 12)[0]
    ip = frame[14:]
    if kind == 0x0800 and ip[9] == 17:
        head = (ip[0] & 15) * 4
        out = {"v": 4, "tos": ip[1], "total": struct.unpack_from(">H", ip, 2)[0], "ttl": ip[8],
               "df": bool(ip[6] & 0x40), "frag": bool(struct.unpack_from(">H", ip, 6)[0] & 0x3FFF), "flow": 0,
               "src": socket.inet_ntop(socket.AF_INET, ip[12:16]), "dst": socket.inet_ntop(socket.AF_INET, ip[16:20])}
        pseudo = ip[12:20]
    elif kind == 0x86DD and ip[6] == 17:
        head = 40
        first = struct.unpack_from(">I", ip)[0]
        out = {"v": 6, "tos": first >> 20 & 255, "total": 40 + struct.unpack_from(">H", ip, 4)[0], "ttl": ip[7],
               "df": False, "frag": False, "flow": first & 0xFFFFF,
               "src": socket.inet_ntop(socket.AF_INET6, ip[8:24]), "dst": socket.inet_ntop(socket.AF_INET6, ip[24:40])}
        pseudo = ip[8:40]
    else:
        return None
    udp = ip[head:out["total"]]
    if len(udp) < 16:
        return None
    out["sport"], out["dport"], size, check = struct.unpack_from(">HHHH", udp)
    message = udp[8:size]
    out.update(len=len(message), type=message[0], zero=message[1:4] == b"\0\0\0",
               index=struct.unpack_from("<I", message, 4)[0], counter=None)
    if message[0] == 4 and len(message) >= 32:
        out["counter"] = struct.unpack_from("<Q", message, 8)[0]
    total = ones_sum(pseudo + struct.pack(">HH", 17, size) + udp[:size])
    out["csum"] = check != 0 and total == 0xFFFF
    return out


def watch(name, dev, path):
    sock = netns.sock(name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    sock.bind((dev, ETH_P_ALL))
    with open(path, "w", encoding="ascii") as out:
        print("ready", flush=True)
        while True:
            frame, address = sock.recvfrom(1 << 16)
            found = parse(frame)
            if found:
                found["out"] = address[2] == PACKET_OUTGOING
                out.write(json.dumps(found) + "\n")
                out.flush()


def check(path, *expressions):
    with open(path, encoding="ascii") as lines:
        p = [json.loads(line) for line in lines]
    scope = {"p": p, "data": [x for x in p if x["type"] == 4], "json": json}
    wrong = [e for e in expressions if not eval(e, scope)]  # pylint: disable=eval-used
    if wrong:
        print("# not so:", *wrong, sep="\n#   ")
        for x in p[:20]:
            print("#", x)
        sys.exit(1)


if __name__ == "__main__":
    {"watch": watch, "check": check}[sys.argv[1]](*sys.argv[2:])
