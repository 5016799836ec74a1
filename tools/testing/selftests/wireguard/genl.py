# SPDX-License-Identifier: GPL-2.0
"""A raw client of the `wireguard` generic netlink family, able to send wrong requests too."""

import errno
import socket
import struct

import netns

NETLINK_GENERIC = 16
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, MULTI, ACK, ECHO, DUMP_INTR, DUMP = 1, 2, 4, 8, 0x10, 0x300
NESTED = 0x8000

GET, SET = 0, 1
# Attributes of the device, of a peer, of an allowed IP.
IFINDEX, IFNAME, PRIVATE_KEY, PUBLIC_KEY, FLAGS, LISTEN_PORT, FWMARK, PEERS = range(1, 9)
(P_PUBLIC_KEY, P_PSK, P_FLAGS, P_ENDPOINT, P_KEEPALIVE, P_LAST_HANDSHAKE, P_RX_BYTES,
 P_TX_BYTES, P_ALLOWEDIPS, P_PROTOCOL) = range(1, 11)
A_FAMILY, A_IPADDR, A_CIDR, A_FLAGS = range(1, 5)
REPLACE_PEERS = 1
REMOVE_ME, REPLACE_ALLOWEDIPS, UPDATE_ONLY = 1, 2, 4
A_REMOVE_ME = 1


def attr(kind, payload=b""):
    """One attribute, padded."""
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + bytes(-size % 4)


def u8(kind, value):
    return attr(kind, struct.pack("=B", value))


def u16(kind, value):
    return attr(kind, struct.pack("=H", value))


def u32(kind, value):
    return attr(kind, struct.pack("=I", value))


def nest(kind, *parts):
    """A nested attribute, with the flag that says so."""
    return attr(kind | NESTED, b"".join(parts))


def array(kind, entries):
    """A nested array: entries of type 0, nested each."""
    return nest(kind, *(nest(0, entry) for entry in entries))


def name(text):
    return attr(IFNAME, text.encode() + b"\0")


def allowed(address, bits, flags=None):
    """The inside of one ALLOWEDIPS entry."""
    fam = netns.family(address)
    out = u16(A_FAMILY, fam) + attr(A_IPADDR, socket.inet_pton(fam, address)) + u8(A_CIDR, bits)
    return out if flags is None else out + u32(A_FLAGS, flags)


def peer(key, *parts, flags=None, ips=None):
    """The inside of one PEERS entry."""
    out = attr(P_PUBLIC_KEY, key)
    if flags is not None:
        out += u32(P_FLAGS, flags)
    out += b"".join(parts)
    if ips is not None:
        out += array(P_ALLOWEDIPS, ips)
    return out


def parse(data):
    """[(type with flag bits, payload)] of a run of attributes."""
    out = []
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4 or size > len(data):
            raise AssertionError("malformed attribute from the kernel")
        out.append((kind, data[4:size]))
        data = data[(size + 3) & ~3:]
    return out


def types(attributes):
    """Their types, in order, without the flag bits."""
    return [kind & 0x3FFF for kind, _ in attributes]


def get(attributes, kind):
    """The payload of the first attribute of that type, or None."""
    for k, payload in attributes:
        if k & 0x3FFF == kind:
            return payload
    return None


def entries(payload):
    """The entries of a nested array, parsed."""
    return [parse(inside) for _, inside in parse(payload or b"")]


class Message:
    """One reply message of a dump: its header fields and its attributes."""

    def __init__(self, flags, size, command, attributes):
        self.flags, self.size, self.command, self.attributes = flags, size, command, attributes

    def peers(self):
        return entries(get(self.attributes, PEERS))


class Client:
    """A generic netlink socket in a network namespace (None: the current one)."""

    def __init__(self, namespace=None, family="wireguard", size=65536):
        # The kernel fills messages of a dump up to the largest buffer it has seen.
        self.size = size
        self.sock = netns.sock(namespace, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.sock.bind((0, 0))
        self.sock.settimeout(30)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sequence = 0
        self.forget()
        self.info = self._family(family)
        self.family = struct.unpack("=H", get(self.info, 1))[0]

    def _family(self, family):
        self._send(GENL_ID_CTRL, REQUEST, CTRL_CMD_GETFAMILY, attr(2, family.encode() + b"\0"), 2, 0)
        for kind, _, body in self._messages():
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, errno.errorcode.get(number))
            return parse(body[4:])
        raise AssertionError("no answer about the family")

    def _send(self, family, flags, command, body, version=1, reserved=0):
        self.sequence += 1
        data = struct.pack("=BBH", command, version, reserved) + body
        self.sock.send(struct.pack("=IHHII", 16 + len(data), family, flags, self.sequence, 0) + data)

    def _messages(self):
        """(type, flags, body) of one datagram that belongs to the last request."""
        data = self.sock.recv(self.size)
        out = []
        while len(data) >= 16:
            length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data)
            if sequence == self.sequence:
                out.append((kind, flags, data[16:length]))
            data = data[(length + 3) & ~3:]
        return out

    def forget(self):
        """What the last answer explained: a text, the attribute to blame by its offset in the
        request, the type of a missing attribute and the offset of the nest that lacks it."""
        self.text, self.offset, self.missing, self.nest = "", None, None, None

    def _error(self, flags, body, header):
        """The positive errno of an NLMSG_ERROR or NLMSG_DONE body; keeps the extended ack."""
        self.forget()
        if flags & 0x200 and len(body) > header:
            ack = parse(body[header:])
            self.text = (get(ack, 1) or b"").rstrip(b"\0").decode()
            self.offset, self.missing, self.nest = (
                value and struct.unpack("=I", value)[0] for value in (get(ack, 2), get(ack, 5), get(ack, 6)))
        return -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0

    def request(self, body, command=SET, flags=REQUEST | ACK, **header):
        """Sends a request, returns the errno of its acknowledgement (0: done)."""
        self._send(self.family, flags, command, body, **header)
        while True:
            for kind, mflags, data in self._messages():
                if kind == NLMSG_ERROR:
                    return self._error(mflags, data, 20)
                if kind == NLMSG_DONE:
                    return self._error(mflags, data, 4)

    def set(self, dev, *parts):
        """SET_DEVICE of the named device."""
        return self.request(name(dev) + b"".join(parts))

    def dump_start(self, body, flags=REQUEST | ACK | DUMP, command=GET, **header):
        self._send(self.family, flags, command, body, **header)

    def dump_next(self):
        """(messages, errno or None while not finished) of the next datagram."""
        out = []
        for kind, flags, data in self._messages():
            if kind == NLMSG_ERROR:
                return out, self._error(flags, data, 20)
            if kind == NLMSG_DONE:
                return out, self._error(flags, data, 4)
            out.append(Message(flags, 16 + len(data), data[0], parse(data[4:])))
        return out, None

    def dump(self, body, **header):
        """All messages of a GET_DEVICE dump, and its final errno."""
        self.dump_start(body, **header)
        out = []
        while True:
            some, done = self.dump_next()
            out += some
            if done is not None:
                return out, done

    def device(self, dev):
        """The whole device: (device attributes, [[peer attributes, [allowed IPs]]])."""
        messages, number = self.dump(name(dev))
        if number:
            raise OSError(number, errno.errorcode.get(number))
        peers = []
        for message in messages:
            for fields in message.peers():
                key = get(fields, P_PUBLIC_KEY)
                if peers and get(peers[-1][0], P_PUBLIC_KEY) == key:
                    peers[-1][1].extend(entries(get(fields, P_ALLOWEDIPS)))
                else:
                    peers.append([fields, entries(get(fields, P_ALLOWEDIPS))])
        return messages[0].attributes, peers

    def config(self, dev):
        """All that a SET can change, as a plain value: (port, fwmark, private key, peers)."""
        attributes, peers = self.device(dev)
        return (struct.unpack("=H", get(attributes, LISTEN_PORT))[0], struct.unpack("=I", get(attributes, FWMARK))[0],
                get(attributes, PRIVATE_KEY),
                [tuple(get(fields, kind) for kind in (P_PUBLIC_KEY, P_PSK, P_ENDPOINT, P_KEEPALIVE)) + ([prefix(e) for e in ips],)
                 for fields, ips in peers])

    def close(self):
        self.sock.close()


def prefix(entry):
    """`address/bits` of a parsed allowed IP."""
    fam = struct.unpack("=H", get(entry, A_FAMILY))[0]
    return f"{socket.inet_ntop(fam, get(entry, A_IPADDR))}/{get(entry, A_CIDR)[0]}"
