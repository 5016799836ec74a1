# SPDX-License-Identifier: GPL-2.0
"""What the C driver answered to long lists of requests, and the configuration that each left.

Outcomes are (errno, configuration) in the order of the requests. Recorded from the C driver of
Linux 7.2 with `PINS=print MODULE=stock`, compared with whatever driver is loaded: one digest for
each 32 outcomes tells where two drivers begin to differ.
"""

import hashlib
import os

from ktap import diag, equal

BLOCK = 32
PINS = {
    "cuts": "fbc98445 3a008740 f4d8a152 795141e6 ca11ce45 98175d40 3d207ed3 16f0c94d 2d2ef751 5da0f767 65506355"
            " e95b435d 980c21f7 827124e7 3de94a92 fa8486bf aa714f95 06b0a5ec d403d9b0 bdefe790 98284997 5200b7ac",
    "fuzz": "6fce962f 267fa6ec b0465fb1 f5160c7e aafedb7d 5beb8750 61980528 dc373c91 4ecd183c 3418c2ca 24b1a16c"
            " ef444aa0 f5392b83 8cfcac82 000dd545 730375bc a82c43d5 92b2f335 03e4a267 518dd6a3 bb06bfea 3b3f1332"
            " 760de949 e0362706 c4a4df9f cc0fb1e2 b26577e6 07df9480 6d5eea42 64a4687f 8a69887a 50af1923",
}


def compare(what, outcomes):
    """Fails the running case unless the outcomes are those of the C driver."""
    digests = [hashlib.sha256(repr(outcomes[at:at + BLOCK]).encode()).hexdigest()[:8] for at in range(0, len(outcomes), BLOCK)]
    if os.environ.get("PINS") == "print":
        diag(f"PIN {what!r}: {' '.join(digests)!r},")
        return
    pinned = PINS.get(what, "").split()
    for block, (got, expected) in enumerate(zip(digests, pinned)):
        if got != expected:
            for number in range(block * BLOCK, min((block + 1) * BLOCK, len(outcomes))):
                diag(f"{number}: {outcomes[number]!r}")
            raise AssertionError(f"outcomes {block * BLOCK} to {block * BLOCK + BLOCK - 1} differ from those of the C driver")
    equal(len(digests), len(pinned), "blocks of outcomes")
