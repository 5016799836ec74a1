#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks that the documentation lists the counters of the code, with their drop reasons.

Run in the root of the tree. Says what differs and exits with 1 if anything does.
"""

import re
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    stats = re.findall(r'^    (\w+) = c"(\w+)"(?: => (\w+))?,', read("rust/driver/stats.rs"), re.M)
    # DropReason::FullQueue -> WG_DROP_FULL_QUEUE -> FULL_RING
    names = dict(re.findall(r"^    (\w+) = bindings::wg_drop_reason_(WG_DROP_\w+),", read("rust/kapi/skb.rs"), re.M))
    kernel = dict(re.findall(r"(WG_DROP_\w+) = SKB_DROP_REASON_(\w+),", read("include/wg_skb.h")))
    code = {name: kernel[names[reason]] if reason else None for _, name, reason in stats}

    page = read("Documentation/operations.md")
    table = page.split("| `ethtool -S` |", 1)[1].split("\n\n", 1)[0]
    listed = [name for row in table.split("\n")[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    table = page.split("| reason | counters |", 1)[1].split("\n\n", 1)[0]
    reasons = {}
    for row in table.split("\n")[2:]:
        reason, counters = re.findall(r"`(\w+)`", row.split("|")[1])[0], re.findall(r"`(\w+)`", row.split("|")[2])
        reasons.update(dict.fromkeys(counters, reason))

    wrong = [f"not in the table of counters: {name}" for name in code if name not in listed]
    wrong += [f"not in the code: {name}" for name in listed if name not in code]
    wrong += [f"listed twice: {name}" for name in set(listed) if listed.count(name) > 1]
    wrong += [f"drop reason of {name}: {reasons.get(name)} in the table, {reason} in the code"
              for name, reason in code.items() if reasons.get(name) != reason]
    wrong += [f"not in the code: {name} (table of reasons)" for name in reasons if name not in code]
    if not stats or not listed:
        wrong.append("nothing found: has the form of the tables changed?")
    wrong += [f"longer than ethtool shows: {name}" for name in code if len(name) > 31]
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
