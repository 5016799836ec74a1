#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Read the lines of guest/profile.sh: print the first N symbols, Rust names made
readable, and the sums by kind of work."""

import re
import sys

KINDS = [
    ("cipher", r"chacha|poly1305|^wg_(aead|poly|chacha)|^crypto_xor|crypto_memneq|simd|kernel_fpu"),
    ("zeroing", r"memset|clear_page|clear_highpage|clear_highpages"),
    ("copies", r"copy_user|rep_movs|_copy_(to|from)_iter|^memcpy|skb_copy|copy_page|rep_stos"),
    ("checksums", r"csum"),
    ("memory", r"kmem|kmalloc|kfree|slab|slub|page_frag|alloc_pages|free_frozen|free_unref|rmqueue|skb_release|__alloc_skb|build_skb|skb_free|put_page|page_pool"),
    ("tcp", r"^_*tcp_|^inet_|^sk_|^lock_sock|^release_sock|^sock_"),
    ("ip, udp, netfilter", r"^_*ip_|^_*udp|^nf_|fib_|^ip4|ip_local|ipv4|dst_"),
    ("device layer", r"netif|^_*dev_|^veth|napi|gro_|qdisc|^sch_|skb_segment|process_backlog|net_rx|validate_xmit"),
    ("scheduling", r"sched|wake|queue_work|worker|pick_|switch|enqueue_|dequeue_|update_curr|finish_task|kthread|rcu|hrtimer|tick|timer"),
]


def readable(name):
    """A v0-mangled Rust name as its path, roughly: the identifiers in order."""
    if not name.startswith("_R"):
        return name
    parts, at = [], 2
    while at < len(name):
        m = re.match(r"(\d+)_?", name[at:])
        if m and 0 < int(m.group(1)) <= len(name) - at - m.end():
            start = at + m.end()
            size = int(m.group(1))
            parts.append(name[start : start + size])
            at = start + size
        elif name[at] == "s" and re.match(r"s[0-9A-Za-z]*_", name[at:]):
            at += re.match(r"s[0-9A-Za-z]*_", name[at:]).end()
        else:
            at += 1
    return "::".join(parts) or name


def main():
    top = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    lines, module = [], set()
    for line in sys.stdin:
        if line.startswith("%m "):
            module.add(line[3:].strip())
            continue
        m = re.match(r"% ([0-9.]+) (\S+) (.*)", line)
        if m:
            dso = "[wireguard]" if m.group(3) in module else m.group(2)
            lines.append((float(m.group(1)), dso.replace("[kernel.kallsyms]", "[kernel]"), m.group(3)))
        elif line.startswith("#"):
            print(line, end="")
    if not lines:
        sys.exit("no profile")
    sums = {}
    for share, dso, symbol in lines:
        if dso == "[wireguard]" and not symbol.startswith(("wg_aead", "wg_poly", "wg_chacha")):
            sums["the driver's own code"] = sums.get("the driver's own code", 0) + share
            continue
        kind = next((k for k, pattern in KINDS if re.search(pattern, symbol) and not symbol.startswith("_R")), None)
        if kind is None:
            if dso.startswith("["):
                kind = "other kernel"
            else:
                kind = "programs"
        sums[kind] = sums.get(kind, 0) + share
    for share, dso, symbol in lines[:top]:
        print(f"{share:6.2f} %  {dso:12} {readable(symbol)}")
    print(f"\n{len(lines)} symbols; by kind:")
    for kind, share in sorted(sums.items(), key=lambda x: -x[1]):
        print(f"{share:6.2f} %  {kind}")
    wg = sum(s for s, d, _ in lines if "wireguard" in d)
    print(f"{wg:6.2f} %  (all of the module's symbols)")


if __name__ == "__main__":
    main()
