#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps docs/conformance.md true.

check_doc.py [--write] DOC SOURCE-OF-udp_ident PROGRAM...

Each PROGRAM lists its rules with --list. The table between the two markers of DOC must hold exactly these rules, with the same text
and section and the result "pass"; and the numbers that DOC gives for the identification window must be those of the source.
--write runs the programs and writes the table anew, results included. Exit status 0 if all agrees.
"""
import os
import re
import subprocess
import sys

BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


def rules(programs):
    out = []
    for p in programs:
        text = subprocess.run([p, "--list"], check=True, capture_output=True, text=True, timeout=60).stdout
        name = os.path.basename(p).replace("conformance_", "")
        for line in text.splitlines():
            out.append((name, *line.split("\t")))
    return out


def results(programs):
    bad = set()
    good = set()
    for p in programs:
        text = subprocess.run([p], check=False, capture_output=True, text=True, timeout=600).stdout
        for word, rule in re.findall(r"^(PASS|FAIL) (\S+) ", text, re.M):
            (good if word == "PASS" else bad).add(rule)
    return good - bad


def row(text, section, program, rule, result):
    return f"| {text} | {section} | `{program}` {rule} | {result} |"


def main():
    args = sys.argv[1:]
    write = args[:1] == ["--write"]
    doc, ident, *programs = args[1:] if write else args
    with open(doc, encoding="utf-8") as f:
        text = f.read()
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    listed = rules(programs)
    errors = []
    ids = [r[1] for r in listed]
    errors += [f"{i}: twice" for i in set(ids) if ids.count(i) > 1]
    if write:
        good = results(programs)
        lines = ["| rule | section | test | result |", "|---|---|---|---|"]
        lines += [row(t, s, p, i, "pass" if i in good else "FAIL") for p, i, s, t in listed]
        with open(doc, "w", encoding="utf-8") as f:
            f.write(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail)
        table = "\n".join(lines)
    have = [x for x in table.strip().splitlines()[2:] if x]
    want = [row(t, s, p, i, "pass") for p, i, s, t in listed]
    errors += [f"not in {doc}: {x}" for x in want if x not in have]
    errors += [f"no such rule, or told otherwise: {x}" for x in have if x not in want]
    with open(ident, encoding="utf-8") as f:
        source = f.read()
    for name in ("WINDOW", "WINDOW_MAX", "WINDOW_BACK"):
        value = re.search(rf"^#define {name} +(\d+)u", source, re.M)
        if not value or f"`{name}` {int(value[1]):,}" not in text:
            errors.append(f"{doc} does not say `{name}` as {ident} has it ({value and value[1]})")
    for e in errors:
        print(e)
    print(f"{len(want)} rules")
    return 1 if errors or not want else 0


if __name__ == "__main__":
    sys.exit(main())
