#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The contract and its tests: Documentation/contract.md, made of what the tests say.

    contract.py                     write Documentation/contract.md
    contract.py --check             fail if it is stale, if an item has no test, or
                                    if a test names an item that does not exist
    contract.py --missing           the items without a test, one a line
    contract.py --results FILE... [--out FILE] [--only guest|host] [--nightly]
                                    the table with a column of results, from the
                                    output of a run of all tests; fails if a test
                                    named in the table failed or did not run

Items are in Documentation/contract.toml. A guest case names its items first in
its title ("S5 X2 what it proves"); a host test in a line of its doc comment,
"Contract: H1, K4". Cases of files listed in "nightly" need not have run unless
--nightly says so; a case that was skipped is shown as such.
"""

import argparse
import pathlib
import re
import sys
import tomllib

TREE = pathlib.Path(__file__).resolve().parent.parent
SUITES = TREE / "tools/testing/selftests/wireguard"
ITEMS = TREE / "Documentation/contract.toml"
TABLE = TREE / "Documentation/contract.md"
GROUPS = {"R": "Network device", "X": "Sending", "D": "Data messages", "O": "Outer packets", "E": "Endpoints",
          "V": "Receiving", "H": "Handshake", "C": "Cookies and load", "K": "Keys", "T": "Timers", "S": "Counters",
          "N": "Generic netlink", "P": "Power and snapshots", "L": "Self-tests", "G": "Log"}
HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Made by scripts/contract.py from contract.toml and the tests. Do not edit. -->
# The contract, and what proves it

What users can rely on, item by item, and the tests that fail if it does not hold. "Contract" items in
comments and test names are these. Everything is as in the C driver, unless the line says *here:*. Guest
tests are in `tools/testing/selftests/wireguard`, host tests in `rust`; `netns.sh` is the kernel's own.
`make contract` writes this file, `make check` compares it, and a run of all tests fails if a test
named here did not run; it leaves the table with results as `build/contract.md`.
"""


class Test:
    """One test: the file it is in, its name, the items it names."""

    def __init__(self, kind, file, name, items, pattern=None, nightly=False, suite=None):
        self.kind, self.file, self.name, self.items = kind, file, name, items
        self.pattern, self.nightly, self.suite = pattern, nightly, suite
        self.result = None


def read(path):
    return path.read_text(encoding="utf-8")


def split_name(name):
    """(items, rest) of a case's title."""
    items, words = [], name.split(" ")
    while words and re.fullmatch(r"[A-Z][0-9]{1,2}", words[0]):
        items.append(words.pop(0))
    return items, " ".join(words)


def modules_of(suite):
    """The Python files of a suite: those its text names, and what they import."""
    todo = [SUITES / name for name in re.findall(r"\b(\w+\.py)\b", read(suite))]
    seen = set()
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        todo += [SUITES / (name + ".py") for name in re.findall(r"^\s*(?:import|from)\s+(\w+)", read(path), re.M)]
    return seen


def guest_tests():
    """Cases of the guest suites, as their sources register them."""
    listed = SUITES / "nightly"
    names = re.sub(r"#.*", "", read(listed)).split() if listed.exists() else []
    nightly = {name.removesuffix(".sh") for name in names}
    for name in nightly:
        if not (SUITES / (name + ".sh")).exists():
            raise SystemExit(f"nightly: there is no {name}.sh")
    found, used = [], set()
    for suite in sorted(SUITES.glob("*.sh")):
        if suite.name == "lib.sh":
            continue
        modules = modules_of(suite)
        used |= modules
        for path in [suite, *sorted(modules)]:
            text = re.sub(r"^\s*#.*", "", read(path), flags=re.M)
            how = r'\btest_case\s+(?:\\\n\s*)?"([^"]+)"' if path == suite else r'^@case\(\s*f?"([^"]+)"'
            for name in re.findall(how, text, re.M):
                items, rest = split_name(name)
                # A variable in a title stands for anything.
                variable = r"\\\$\\\{\w+\\\}|\\\$\w+" if path == suite else r"\\\{[^}]*\\\}"
                pattern = re.compile(re.sub(variable, ".+", re.escape(name).replace(r"\ ", " ")))
                found.append(Test("guest", path.name, rest, items, pattern, suite.stem in nightly, suite.name))
    for path in SUITES.glob("*.py"):
        if path not in used and re.search(r"^@case\(", read(path), re.M):
            raise SystemExit(f"{path.name}: cases that no suite runs")
    return found


def host_tests():
    """Tests of the workspace whose doc comment has a line "Contract: ..."."""
    found = []
    for path in sorted((TREE / "rust").rglob("*.rs")):
        lines = read(path).splitlines()
        for number, line in enumerate(lines):
            named = re.match(r"\s*/// Contract: (.*)", line)
            if not named:
                continue
            rest, is_test = lines[number + 1:number + 12], False
            for after in rest:
                is_test = is_test or "#[test]" in after
                function = re.match(r"\s*fn (\w+)", after)
                if function:
                    break
            else:
                function = None
            if not (function and is_test):
                raise SystemExit(f"{path}:{number + 1}: no test follows")
            items = re.findall(r"[A-Z][0-9]{1,2}\b", named[1])
            where = str(path.relative_to(TREE / "rust"))
            found.append(Test("host", where, function[1], items))
    return found


def guest_results(text, tests):
    """Fills in the results of guest cases from the output of run-tests.sh."""
    suite = None
    for line in text.splitlines():
        begin = re.match(r"# ==== (\S+)", line)
        suite = begin[1] if begin else suite
        outcome = re.match(r"(not )?ok \d+ (.*?)(?: # SKIP (.*))?$", line)
        if not outcome:
            continue
        result = "failed" if outcome[1] else "skipped" if outcome[3] is not None else "passed"
        for test in tests:
            if test.suite == suite and test.pattern.fullmatch(outcome[2]):
                # Of several runs of one case the worst counts.
                if test.result != "failed" and (test.result is None or result != "passed"):
                    test.result = result


def host_results(text, tests):
    """The same for the output of cargo test."""
    target = ""
    for line in text.splitlines():
        begin = re.match(r"\s*Running (?:unittests )?(\S+\.rs) ", line)
        target = begin[1] if begin else target
        outcome = re.match(r"test (\S+)(?: - should panic)? \.\.\. (\w+)", line)
        if not outcome:
            continue
        for test in tests:
            mine = test.file.endswith(target) if "/tests/" in test.file else not target.startswith("tests/")
            if mine and outcome[1].split("::")[-1] == test.name:
                test.result = "passed" if outcome[2] == "ok" else "failed"


def cell(text):
    return text.replace("|", "\\|")


def table(items, tests, results):
    """The whole document."""
    by_item = {name: [t for t in tests if name in t.items] for name in items}
    guest = [t for t in tests if t.kind == "guest"]
    host = [t for t in tests if t.kind == "host"]
    lines = [HEAD]
    lines.append(f"{len(items)} items; {len([t for t in guest if t.items])} guest cases and {len(host)} host tests name one or more.\n")
    for letter, title in GROUPS.items():
        lines.append(f"## {title}\n")
        lines.append("| item | what holds | kind | tests |" + (" result |" if results else ""))
        lines.append("|---|---|---|---|" + ("---|" if results else ""))
        for name, item in items.items():
            if name[0] != letter:
                continue
            what = item["is"] + (f". *Here:* {item['differs']}" if "differs" in item else "")
            proofs, outcomes = [], []
            for test in by_item[name]:
                note = " (nightly)" if test.nightly else ""
                proofs.append(f"`{test.file}`: {test.name}{note}")
                outcomes.append(test.result or "not run")
            kinds = sorted({t.kind for t in by_item[name]}) + (["netns.sh"] if item.get("netns") else [])
            row = [name, cell(what), ", ".join(kinds), "<br>".join(map(cell, proofs))]
            lines.append("| " + " | ".join(row + (["<br>".join(outcomes)] if results else [])) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def problems_of(items, tests):
    """What is wrong with the naming, as sentences."""
    known = {name[0] for name in items}
    named = {name for test in tests for name in test.items}
    bad = [f"{test.file}: {test.name}: there is no item {name}"
           for test in tests for name in test.items if name[0] in known and name not in items]
    return bad + [f"no test names {name}: {item['is']}" for name, item in items.items() if name not in named]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--results", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", choices=("guest", "host"))
    parser.add_argument("--nightly", action="store_true")
    options = parser.parse_args()
    items = tomllib.loads(read(ITEMS))
    tests = guest_tests() + host_tests()
    if options.missing:
        named = {name for test in tests for name in test.items}
        print("\n".join(name for name in items if name not in named))
        return 0
    problems = problems_of(items, tests)
    if options.results:
        text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in options.results)
        guest_results(text, [t for t in tests if t.kind == "guest"])
        host_results(text, [t for t in tests if t.kind == "host"])
        for test in tests:
            due = options.only in (None, test.kind) and (options.nightly or not test.nightly)
            if due and test.items and test.result in (None, "failed"):
                problems.append(f"{test.file}: {test.name}: {test.result or 'did not run'}")
        document = table(items, tests, True)
        (options.out or TREE / "build/contract.md").write_text(document, encoding="utf-8")
    elif options.check:
        if not TABLE.exists() or read(TABLE) != table(items, tests, False):
            problems.append("Documentation/contract.md is stale: make contract")
    else:
        TABLE.write_text(table(items, tests, False), encoding="utf-8")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
