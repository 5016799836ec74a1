#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Traffic and configurations made ahead of a measurement.

prepare.py initiations PUBLIC COUNT MESSAGES CONFIG   valid ones, a peer each
prepare.py flood PUBLIC COUNT MESSAGES                only mac1 is right
prepare.py peers COUNT CONFIG                         idle peers, one address each
prepare.py prefixes PEERS PREFIXES STEP CONFIG        /24s from 10.0.0.0, every STEPth
"""

import base64
import hashlib
import hmac
import os
import struct
import sys
import time

NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
LABEL = b"WireGuard v1 zx2c4 Jason@zx2c4.com"


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def kdf2(key, data):
    secret = hmac.new(key, data, hashlib.blake2s).digest()
    first = hmac.new(secret, b"\1", hashlib.blake2s).digest()
    return first, hmac.new(secret, first + b"\2", hashlib.blake2s).digest()


def with_macs(message, public):
    key = blake2s(b"mac1----", public)
    return message + hashlib.blake2s(message, key=key, digest_size=16).digest() + bytes(16)


def initiations(public, count, messages, config):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    responder = X25519PublicKey.from_public_bytes(public)
    first = blake2s(NAME)
    start = blake2s(blake2s(first, LABEL), public)
    with open(messages, "wb") as out, open(config, "w") as conf:
        for i in range(count):
            static, own = X25519PrivateKey.generate(), X25519PrivateKey.generate()
            ephemeral = own.public_key().public_bytes_raw()
            chain, _ = kdf2(first, ephemeral)
            # The first step has one output; it is the same as the first of two.
            h = blake2s(start, ephemeral)
            chain, key = kdf2(chain, own.exchange(responder))
            identity = static.public_key().public_bytes_raw()
            sealed = ChaCha20Poly1305(key).encrypt(bytes(12), identity, h)
            h = blake2s(h, sealed)
            chain, key = kdf2(chain, static.exchange(responder))
            stamp = struct.pack(">QI", 2**62 + 10 + int(time.time()), 0)
            stamp = ChaCha20Poly1305(key).encrypt(bytes(12), stamp, h)
            out.write(with_macs(struct.pack("<II", 1, i + 1) + ephemeral + sealed + stamp, public))
            conf.write(f"[Peer]\nPublicKey = {base64.b64encode(identity).decode()}\n")


def flood(public, count, messages):
    with open(messages, "wb") as out:
        for i in range(count):
            out.write(with_macs(struct.pack("<II", 1, i + 1) + os.urandom(108), public))


def random_key():
    return base64.b64encode(os.urandom(32)).decode()


def peers(count, config):
    with open(config, "w") as conf:
        for i in range(count):
            conf.write(f"[Peer]\nPublicKey = {random_key()}\nAllowedIPs = 10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32\n")


def prefixes(count, total, step, config):
    with open(config, "w") as conf:
        for i in range(count):
            ips = []
            for k in range(i, total, count):
                a = (10 << 24) + k * step * 256
                ips.append(f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.0/24")
            conf.write(f"[Peer]\nPublicKey = {random_key()}\nAllowedIPs = {', '.join(ips)}\n")


def main():
    what, *args = sys.argv[1:]
    if what in ("initiations", "flood"):
        args[0] = base64.b64decode(args[0])
    args = [int(a) if isinstance(a, str) and a.isdigit() else a for a in args]
    {"initiations": initiations, "flood": flood, "peers": peers, "prefixes": prefixes}[what](*args)


if __name__ == "__main__":
    main()
