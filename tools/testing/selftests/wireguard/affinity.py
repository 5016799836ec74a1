# SPDX-License-Identifier: GPL-2.0
"""Where a test runs."""

import contextlib
import os


@contextlib.contextmanager
def one_cpu():
    """Stays on one CPU, so that packets come in the order in which they were sent: where each CPU
    has a backlog, who moves can overtake himself, with or without a tunnel."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
