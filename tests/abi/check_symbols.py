#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_symbols.py LIBRARY LIST [--system]

Does LIBRARY export every symbol that rdma-core's library of the same SONAME does, at the same version, of the same kind?
LIST is the checked-in answer for rdma-core 44, so that the test fails without any rdma-core installed; with --system, the
installed library is compared too (exit 77: none is installed). What we export beyond that must belong to a node that is
known to be later, or ours (FLEXINS_1), so that no helper function leaks out.
"""
import os
import re
import subprocess
import sys

LATER_NODES = re.compile(r"^(FLEXINS_1|IBVERBS_1\.1[56]|IBVERBS_PRIVATE_(57|59|64|65)|RDMACM_1\.4)$")
SYSTEM_DIRS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"]


def exported(path):
    """{'name@@node': kind}, kind 'data' or 'code'; the version nodes themselves are left out."""
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", path],
                         check=True, capture_output=True, text=True).stdout
    symbols = {}
    for line in out.splitlines():
        fields = line.split()
        kind, name = fields[-2], fields[-1]
        if kind != "A":
            symbols[name] = "data" if kind in "BbDdRrVvGgSs" else "code"
    return symbols


def compare(ours, theirs, whose):
    errors = []
    for name, kind in sorted(theirs.items()):
        if name not in ours:
            errors.append(f"missing: {name} ({whose} has it)")
        elif kind is not None and ours[name] != kind:
            errors.append(f"{name} is {ours[name]}, in {whose} it is {kind}")
    for name in sorted(ours):
        node = name.split("@")[-1] if "@" in name else ""
        if name not in theirs and not LATER_NODES.match(node):
            errors.append(f"not in {whose}: {name}")
    return errors


def main():
    library, listing = sys.argv[1], sys.argv[2]
    ours = exported(library)
    with open(listing, encoding="ascii") as f:
        wanted = {line.strip(): None for line in f if not line.startswith("#")}
    assert len(wanted) > 60, "the list is too short to be true"
    errors = compare(ours, wanted, os.path.basename(listing))
    if "--system" in sys.argv:
        soname = re.sub(r"(\.so\.\d+).*", r"\1", os.path.basename(library))
        system = [p for d in SYSTEM_DIRS if os.path.exists(p := os.path.join(d, soname))]
        if not system:
            print(f"skip: no {soname} of rdma-core is installed")
            return 77
        theirs = exported(system[0])
        nodes = {name.split("@")[-1] for name in theirs}
        if not nodes <= {n.split("@")[-1] for n in wanted}:
            print(f"skip: {system[0]} is of a release whose nodes differ: {sorted(nodes)}")
            return 77
        errors += compare(ours, theirs, system[0])
    for error in errors:
        print(error)
    print(f"{len(ours)} symbols exported, {len(wanted)} wanted, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
