#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Draw what `make bench` measured: one SVG, a pair of bars for each figure.

Each figure is drawn on a scale of its own, the longer bar full. Green says that
the bar of the benchmark is met, red that it is not.
"""

import argparse
import json
from xml.sax.saxutils import escape

LEFT, WIDTH, RIGHT = 250, 380, 150
BAR, GAP, TOP = 13, 16, 46
C_COLOUR, GOOD, BAD, PLAIN = "#9aa5b1", "#2f9e44", "#d9480f", "#1c7ed6"


def shown(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def text(x, y, words, size=12, anchor="start", colour="#212529"):
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
    )


def bar(y, share, colour, label):
    width = max(1.0, WIDTH * share)
    return [
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
        text(LEFT + width + 6, y + BAR - 2, label, 11),
    ]


def draw(kernel, entries):
    height = TOP + len(entries) * (2 * BAR + GAP) + 10
    width = LEFT + WIDTH + RIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(10, 20, f"make bench, Linux {kernel}", 14),
        text(10, 37, "upper bar: the C driver; lower bar: this one (green: at or beyond the bar of the benchmark)", 11),
    ]
    y = TOP
    for entry in entries:
        c, rust = entry["c"]["value"], entry["rust"]["value"]
        top = max(c, rust) or 1
        better = "more is better" if entry["kind"] in ("more", "least") else "less is better"
        colour = {True: GOOD, False: BAD, None: PLAIN}[entry["met"]]
        out.append(text(LEFT - 10, y + BAR - 1, f"{entry['row']}: {entry['what']}", 12, "end"))
        out.append(text(LEFT - 10, y + 2 * BAR, f"{entry['unit']}, {better}".lstrip(", "), 10, "end", "#495057"))
        out += bar(y, c / top, C_COLOUR, shown(c))
        ratio = f"{shown(rust)}  ({rust / c:.2f})" if c else shown(rust)
        out += bar(y + BAR + 1, rust / top, colour, ratio)
        y += 2 * BAR + GAP
    return "\n".join([*out, "</svg>", ""])


def main():
    args = argparse.ArgumentParser()
    args.add_argument("json")
    args.add_argument("svg")
    args = args.parse_args()
    with open(args.json) as f:
        bench = json.load(f)
    # The rows that have a bar, both figures known, in the order of the table.
    entries = [e for e in bench["rows"] if e["bar"] is not None and e.get("c") and e.get("rust")]
    with open(args.svg, "w") as f:
        f.write(draw(bench["kernel"], entries))


if __name__ == "__main__":
    main()
