# SPDX-License-Identifier: GPL-2.0
"""The primitives of WireGuard in plain Python (RFC 7748, RFC 8439, XChaCha draft, RFC 7693).

For tests only: slow, and not constant in time. Where the `cryptography` package is installed, its
curve and AEAD take the place of ours, which makes floods of messages possible.
"""

import hashlib
import hmac
import struct

P = 2**255 - 19


def x25519(scalar, point):
    """Scalar multiplication on Curve25519; both are 32 bytes."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = (int.from_bytes(point, "little") & (2**255 - 1)) % P
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = x2 + z2, x2 - z2
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        da, cb = (x3 - z3) * a % P, (x3 + z3) * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public_key(private):
    """The public key of a private key."""
    return x25519(private, b"\x09" + bytes(31))


def _rounds(state):
    s = list(state)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for turn in (16, 8):
                less = 12 if turn == 16 else 7
                s[a] = s[a] + s[b] & 0xFFFFFFFF
                x = s[d] ^ s[a]
                s[d] = (x << turn | x >> 32 - turn) & 0xFFFFFFFF
                s[c] = s[c] + s[d] & 0xFFFFFFFF
                x = s[b] ^ s[c]
                s[b] = (x << less | x >> 32 - less) & 0xFFFFFFFF
    return s


CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def chacha20(key, counter, nonce, data):
    """ChaCha20 with a 12-byte nonce."""
    head = CONSTANTS + struct.unpack("<8I", key)
    tail = struct.unpack("<3I", nonce)
    out = bytearray()
    for at in range(0, len(data), 64):
        start = head + (counter + at // 64 & 0xFFFFFFFF,) + tail
        block = struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(start, _rounds(start))))
        out += bytes(x ^ y for x, y in zip(data[at:at + 64], block))
    return bytes(out)


def hchacha20(key, nonce):
    """The subkey of XChaCha20 for the first 16 bytes of its nonce."""
    s = _rounds(CONSTANTS + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))
    return struct.pack("<8I", *s[:4], *s[12:])


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def _tag(key, nonce, cipher, aad):
    once = chacha20(key, 0, nonce, bytes(32))
    data = aad + bytes(-len(aad) % 16) + cipher + bytes(-len(cipher) % 16)
    return poly1305(once, data + struct.pack("<QQ", len(aad), len(cipher)))


def _nonce(counter):
    return counter if isinstance(counter, bytes) else bytes(4) + struct.pack("<Q", counter)


def seal(key, counter, plain, aad=b""):
    """ChaCha20-Poly1305; the nonce as a 64-bit counter or 12 bytes."""
    nonce = _nonce(counter)
    cipher = chacha20(key, 1, nonce, plain)
    return cipher + _tag(key, nonce, cipher, aad)


def unseal(key, counter, data, aad=b""):
    """The plaintext, or None if the tag is wrong."""
    nonce = _nonce(counter)
    if len(data) < 16 or not hmac.compare_digest(_tag(key, nonce, data[:-16], aad), data[-16:]):
        return None
    return chacha20(key, 1, nonce, data[:-16])


PLAIN = (x25519, seal, unseal)
try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
except ImportError:
    pass
else:
    def x25519(scalar, point):  # pylint: disable=function-redefined
        """Scalar multiplication on Curve25519; zeros for a point of low order."""
        try:
            return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
        except ValueError:
            return bytes(32)

    def seal(key, counter, plain, aad=b""):  # pylint: disable=function-redefined
        """ChaCha20-Poly1305; the nonce as a 64-bit counter or 12 bytes."""
        return ChaCha20Poly1305(key).encrypt(_nonce(counter), plain, aad)

    def unseal(key, counter, data, aad=b""):  # pylint: disable=function-redefined
        """The plaintext, or None if the tag is wrong."""
        try:
            return ChaCha20Poly1305(key).decrypt(_nonce(counter), bytes(data), aad)
        except InvalidTag:
            return None


def xseal(key, nonce, plain, aad=b""):
    """XChaCha20-Poly1305, 24-byte nonce."""
    return seal(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], plain, aad)


def xunseal(key, nonce, data, aad=b""):
    return unseal(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], data, aad)


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, *parts):
    """Keyed BLAKE2s-128."""
    return hashlib.blake2s(b"".join(parts), key=key, digest_size=16).digest()


def hmac_blake2s(key, data):
    return hmac.new(key, data, hashlib.blake2s).digest()


def kdf(count, key, data):
    """`count` outputs of HKDF."""
    secret = hmac_blake2s(key, data)
    out, last = [], b""
    for i in range(1, count + 1):
        last = hmac_blake2s(secret, last + bytes([i]))
        out.append(last)
    return out


def self_test():
    """Published vectors (RFC 7748 5.2, RFC 8439 2.8.2, XChaCha draft 2.2.1)."""
    for curve, closing, opening in {PLAIN, (x25519, seal, unseal)}:
        _self_test(curve, closing, opening)


def _self_test(curve, closing, opening):
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert curve(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            b"sunscreen would be it.")
    sealed = closing(bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647"), text,
                  bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert opening(bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647"), sealed,
                   bytes.fromhex("50515253c0c1c2c3c4c5c6c7")) == text
    assert curve(bytes(range(32)), bytes(32)) == bytes(32)
    assert hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")).hex() == (
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")


if __name__ == "__main__":
    self_test()
    print("ok")
