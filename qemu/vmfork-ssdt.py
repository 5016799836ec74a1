#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes an ACPI table by which a guest can play that it was copied.

    vmfork-ssdt.py FILE

QEMU changes the generation ID of its vmgenid device only when it loads a saved
machine. This table (qemu -acpitable file=FILE -device vmgenid,...) adds a device
WGTS0001 whose status method changes the ID in the guest's memory and notifies
the driver of it, just as QEMU does. Reading
/sys/bus/acpi/devices/WGTS0001:00/status calls it.
"""

import struct
import sys

# Of the ACPI specification, chapter "ACPI Machine Language".
SCOPE, NAME, METHOD, RETURN = b"\x10", b"\x08", b"\x14", b"\xa4"
DEVICE, REGION, FIELD = b"\x5b\x82", b"\x5b\x80", b"\x5b\x81"
ADD, INCREMENT, NOTIFY = b"\x72", b"\x75", b"\x86"
SYSTEM_MEMORY, DWORD_ACCESS, SERIALIZED, NO_TARGET = b"\0", b"\3", b"\x08", b"\0"
# Where QEMU's own table keeps the address, and where the ID is from there.
ADDRESS, ID_OFFSET, GENERATION_DEVICE = b"\\VGIA", 40, b"\\\x2e_SB_VGEN"


def byte(value):
    return b"\x0a" + bytes([value])


def package(opcode, body):
    """An opcode whose length precedes its body."""
    total = len(body) + 1
    if total < 64:
        return opcode + bytes([total]) + body
    total += 1
    return opcode + bytes([0x40 | total & 15, total >> 4]) + body


def table():
    status = package(METHOD, b"_STA" + SERIALIZED
                     + REGION + b"GUID" + SYSTEM_MEMORY + ADD + ADDRESS + byte(ID_OFFSET) + NO_TARGET + byte(16)
                     + package(FIELD, b"GUID" + DWORD_ACCESS + b"PART" + bytes([32]))
                     + INCREMENT + b"PART"
                     + NOTIFY + GENERATION_DEVICE + byte(0x80)
                     + RETURN + byte(15))
    body = package(SCOPE, b"\\_SB_" + package(DEVICE, b"WGVF" + NAME + b"_HID\x0dWGTS0001\0" + status))
    head = b"SSDT" + struct.pack("<IBB6s8sI4sI", 36 + len(body), 2, 0, b"WGTEST", b"VMFORK  ", 1, b"WGTS", 1)
    whole = bytearray(head + body)
    whole[9] = -sum(whole) & 255
    return bytes(whole)


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as out:
        out.write(table())
