#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Turn the guests' lines of results into the table and the JSON file.

A line is "@ DRIVER ROW METRIC VALUE RUNS"; drivers are "c", "rust", "veth" (the
same traffic without WireGuard), "go" (wireguard-go, if it was asked for) and
"other" (another module, likewise). The row cores comes from several boots.
"""

import argparse
import json
import statistics
import sys

# (row, metric, what it is, unit, kind, bar)
# kind "more": Rust / C, the bar is the least; "less": Rust / C, the bar is the
# most; "least" and "most": absolute limits for Rust.
TABLE = [
    ("bulk", "mbps", "TCP, one flow", "Mbit/s", "more", 1.6),
    ("bulk", "instr_per_byte", "  instructions", "per byte", "less", None),
    ("rtt", "mean", "ping, idle: mean", "us", "less", 0.6),
    ("rtt", "p99", "  99th percentile", "us", "less", None),
    ("small", "per_s", "64-byte UDP received", "1/s", "more", 1.5),
    ("small", "instr", "  instructions", "each", "less", None),
    ("loaded-rtt", "mean", "ping under bulk: mean", "us", "less", 0.5),
    ("loaded-rtt", "p50", "  median", "us", "less", None),
    ("loaded-rtt", "p99", "  99th percentile", "us", "less", 0.5),
    ("loaded-rtt", "mbps", "  the bulk flow meanwhile", "Mbit/s", "more", None),
    ("bulk-udp", "mbps", "UDP GSO to GRO, 1350 bytes", "Mbit/s", "more", 1.6),
    ("bulk-udp", "instr_per_byte", "  instructions", "per byte", "less", None),
    ("handshakes", "per_s", "answered by a responder", "1/s", "more", 1.0),
    ("handshakes", "first_per_s", "  the first of each peer", "1/s", "more", None),
    ("lookup", "instr", "100,000 prefixes over one", "instr", "less", 0.7),
    ("lookup", "many", "  whole packet to no endpoint", "instr", "less", None),
    ("flood", "share", "goodput kept, 5,000/s", "", "least", 0.8),
    ("flood", "mbps", "  flooded", "Mbit/s", "more", None),
    ("flood", "dropped", "  same packets dropped", "Mbit/s", "more", None),
    ("scale", "add_s", "add 10,000 peers", "s", "less", 0.4),
    ("scale", "replace_s", "  replace_peers with none", "s", "less", 0.2),
    ("scale", "delete_s", "  link deletion", "s", "less", 0.02),
    ("scale", "prefixes_s", "  130,560 prefixes of one peer", "s", "less", None),
    ("scale", "kib_per_peer", "  memory of an idle peer", "KiB", "most", 4),
    ("scale", "threads", "  kernel threads, at most more", "", "most", 8),
    ("cores", "one_2", "one peer, 2 vCPUs", "Mbit/s", "more", 1.5),
    ("cores", "one_4", "  one peer, 4 vCPUs", "Mbit/s", "more", 1.5),
    ("cores", "eight_2", "  eight peers, 2 vCPUs", "Mbit/s", "more", 1.3),
    ("cores", "eight_4", "  eight peers, 4 vCPUs", "Mbit/s", "more", 1.3),
    ("cores", "loaded_mean_2", "  ping under bulk, 2 vCPUs", "us", "less", 0.5),
    ("cores", "loaded_p99_2", "    99th percentile", "us", "less", 0.5),
    ("cores", "pour_one_2", "  one sends, none receives, 2", "Mbit/s", "more", None),
    ("cores", "pour_four_2", "    four send", "Mbit/s", "more", None),
    ("cores", "pour_one_4", "  one sends, none receives, 4", "Mbit/s", "more", None),
    ("cores", "pour_four_4", "    four send", "Mbit/s", "more", None),
    # With CPUS=1 only: what the same instructions come to in real time.
    ("cores", "one_1", "  one peer, 1 vCPU", "Mbit/s", "more", None),
    ("cores", "eight_1", "  eight peers, 1 vCPU", "Mbit/s", "more", None),
]


def read(paths):
    """{row: {metric: {driver: {"value": v, "runs": [..]}}}}, and what CPUs the guests of row cores say they had"""
    found = {}
    cpus = []
    for path in paths:
        with open(path, errors="replace") as f:
            for line in f:
                word = line.split()
                if word[:2] == ["@", "cpu"]:
                    cpus.append(" ".join(word[2:]))
                if len(word) != 6 or word[0] != "@":
                    continue
                _, driver, row, metric, value, runs = word
                try:
                    entry = {"value": float(value), "runs": [float(r) for r in runs.split(",")]}
                except ValueError:
                    continue
                by = found.setdefault(row, {}).setdefault(metric, {})
                if row == "cores" and driver in by:
                    entry["runs"] = by[driver]["runs"] + entry["runs"]
                    entry["value"] = statistics.median(entry["runs"])
                by[driver] = entry
    return found, ", ".join(dict.fromkeys(cpus))


def shown(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def compare(row, by):
    """Rust / C. Of drivers that took turns it is the median of the turns' ratios: the speed of an
    emulated machine changes from minute to minute, for both alike."""
    if not ("rust" in by and "c" in by and by["c"]["value"]):
        return None
    if row != "cores":
        return by["rust"]["value"] / by["c"]["value"]
    return statistics.median([rust / c for rust, c in zip(by["rust"]["runs"], by["c"]["runs"]) if c])


def judge(kind, bar, rust, ratio):
    """Whether the bar is met (None: no bar, no figure)."""
    if bar is None or rust is None or (ratio is None and kind in ("more", "less")):
        return None
    if kind == "more":
        return ratio >= bar
    if kind == "less":
        return ratio <= bar
    return rust >= bar if kind == "least" else rust <= bar


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--release", required=True)
    args.add_argument("--json", required=True)
    args.add_argument("--rows", default="")
    args.add_argument("--cpus", default="2 4", help="the machines of row cores")
    args.add_argument("--partial", action="store_true", help="keep what the JSON file has of other rows")
    args.add_argument("files", nargs="+")
    args = args.parse_args()
    found, cpu = read(args.files)
    rows = args.rows.split()

    width = 30
    print(f"\nLinux {args.release}" + (f"; cores: {cpu}" if cpu else ""))
    more = [d for d in ("go", "other") if any(d in by for metrics in found.values() for by in metrics.values())]
    extra = "".join(f"{d:>9} " for d in more)
    print(f"{'row':11} {'':{width}} {'unit':9} {'veth':>9} {extra}{'C':>9} {'Rust':>9} {'ratio':>7}  bar")
    missed, missing, entries = [], [], []
    for row, metric, text, unit, kind, bar in TABLE:
        if row not in rows or (row == "cores" and metric.rsplit("_", 1)[1] not in args.cpus.split()):
            continue
        by = found.get(row, {}).get(metric, {})
        value = {d: by[d]["value"] if d in by else None for d in ("veth", "c", "rust", *more)}
        extra = "".join(f"{shown(value[d]):>9} " for d in more)
        ratio = compare(row, by)
        met = judge(kind, bar, value["rust"], ratio)
        sign = {"more": ">=", "least": ">=", "less": "<=", "most": "<="}[kind]
        note = "" if bar is None else f"{sign} {bar:g}" + (" " + unit if kind in ("least", "most") else " of C")
        if met is not None:
            note += " ok" if met else " MISSED"
        elif bar is not None:
            missing.append(row)
        if met is False:
            missed.append(f"{row} {metric}")
        label = row if not text.startswith(" ") else ""
        print(
            f"{label:11} {text:{width}} {unit:9} {shown(value['veth']):>9} {extra}{shown(value['c']):>9} "
            f"{shown(value['rust']):>9} {'-' if ratio is None else f'{ratio:.2f}':>7}  {note}"
        )
        entries.append(
            {"row": row, "metric": metric, "what": text.strip(), "unit": unit, "kind": kind, "bar": bar,
             "ratio": ratio, "met": met, "cpu": cpu if row == "cores" else None,
             **{d: by.get(d) for d in ("veth", "go", "c", "rust", "other")}}
        )
    try:
        with open(args.json) as f:
            old = json.load(f)["rows"] if args.partial else []
    except (OSError, ValueError, KeyError):
        old = []
    order = [(row, metric) for row, metric, *_ in TABLE]
    kept = [e for e in old if e["row"] not in rows and (e["row"], e["metric"]) in order]
    with open(args.json, "w") as f:
        both = sorted(kept + entries, key=lambda e: order.index((e["row"], e["metric"])))
        json.dump({"kernel": args.release, "rows": both}, f, indent=1)
        f.write("\n")
    print()
    if missing:
        print("no figures: " + ", ".join(dict.fromkeys(missing)))
    print("bars missed: " + (", ".join(missed) if missed else "none"))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
