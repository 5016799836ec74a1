# SPDX-License-Identifier: GPL-2.0
"""Choices that one number decides, the same with every version of Python."""

import os
import random

from ktap import SLOWNESS


class Dice:
    """A source of choices; `seed` is any integer."""

    def __init__(self, seed):
        # Of this class only random() and getrandbits() are promised never to change.
        self._source = random.Random(seed)

    def below(self, limit):
        return int(self._source.random() * limit)

    def chance(self, probability):
        return self._source.random() < probability

    def pick(self, sequence):
        return sequence[self.below(len(sequence))]

    def weighted(self, choices):
        """One of [(weight, value)]."""
        at = self.below(sum(weight for weight, _ in choices))
        for weight, value in choices:
            at -= weight
            if at < 0:
                return value
        raise AssertionError("weights")

    def bytes(self, count):
        return self._source.getrandbits(8 * count).to_bytes(count, "little") if count else b""

    def number(self, bits):
        """Small ones, powers of two and their neighbours, and any."""
        how = self.below(4)
        if how == 0:
            value = self.below(8)
        elif how == 1:
            value = (1 << self.below(bits + 1)) - 1 + self.below(3) - 1
        else:
            value = self._source.getrandbits(bits)
        return value & (1 << bits) - 1


def seed():
    """SEED of the environment, or a new one."""
    given = os.environ.get("SEED")
    return int(given) if given else int.from_bytes(os.urandom(4), "little")


def seconds(default):
    """FUZZ_SECONDS of the environment, or the default, longer on slow kernels."""
    return float(os.environ.get("FUZZ_SECONDS") or default * SLOWNESS)
