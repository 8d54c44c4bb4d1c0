#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""flexins bench as its users meet it: help, refusals, JSON; and docs/smartnic.md names every parameter as it is.

    test_cli.py FLEXINS DOCS/SMARTNIC.MD
"""
import json
import re
import subprocess
import sys

flexins, doc = sys.argv[1:]


def run(*args, rc=0):
    p = subprocess.run([flexins, "bench", *args], capture_output=True, text=True, check=False, timeout=150)
    assert p.returncode == rc, f"{args}: exit status {p.returncode}, expected {rc}\n{p.stdout[-500:]}{p.stderr[-500:]}"
    return p.stdout if rc == 0 else p.stderr


for args in (["--help"], ["micro", "--help"], ["pipe", "--help"], ["smartnic", "--help"]):
    assert run(*args).startswith("Usage: flexins bench"), args

for args, word in ((["x"], "micro, pipe or smartnic"), ([], "micro, pipe or smartnic"), (["micro", "--size=0"], "1 to 65536"),
                   (["micro", "--seconds=x"], "1 to 60"), (["micro", "extra"], "extra"), (["micro", "--wrong"], "--wrong"),
                   (["pipe", "--burst=257"], "1 to 256"), (["pipe", "--cpus=1"], "0,1"), (["pipe", "x"], "x"), (["smartnic", "--figure=y"], "tx, rx, set or pipe"), (["smartnic", "--param=link_gbps=0"], "10 to 1600"),
                   (["smartnic", "--tx=copy"], "header-only, DMA-assisted, RDMA-assisted"), (["smartnic", "--pipe=x"], "phase, doorbell"),
                   (["smartnic", "--param=nothing=1"], "no parameter 'nothing'"), (["smartnic", "extra"], "extra")):
    err = run(*args, rc=2)
    assert word in err and err.count("\n") == 1, f"{args}: {err}"

out = json.loads(run("smartnic", "--figure=pipe", "--json", "--param=messages=200", "--param=link_ns=2000"))
assert out["emulated"] is True and out["params"]["link_ns"] == 2000
schemes = {p["scheme"] for p in out["points"]}
assert schemes == {"phase", "doorbell"}, schemes
assert all(p["gbps"] > 0 and p["retransmits"] == 0 for p in out["points"])
again = json.loads(run("smartnic", "--figure=pipe", "--json", "--param=messages=200", "--param=link_ns=2000"))
assert again == out, "two runs differ"
some = json.loads(run("smartnic", "--pipe=Phase", "--json", "--param=messages=200", "--param=link_ns=2000"))
assert some["points"] == [p for p in out["points"] if p["scheme"] == "phase"], "--pipe=phase is not those points"
text = run("smartnic", "--figure=pipe", "--param=messages=200")
assert "Emulated SmartNIC" in text and "not of hardware" in text

out = json.loads(run("micro", "--size=64", "--seconds=1", "--json"))
assert out["icrc"] is True and [s["size"] for s in out["sizes"]] == [64]
parts = [out["sizes"][0][k] for k in ("application_ns", "sender_ns", "receiver_ns")]
assert all(p > 0 for p in parts)
assert 0 < out["sizes"][0]["ns_low"] <= out["sizes"][0]["ns_per_packet"] <= out["sizes"][0]["ns_high"]

out = json.loads(run("pipe", "--burst=8", "--seconds=1", "--json"))["bursts"]
assert [b["burst"] for b in out] == [8] and out[0]["doorbell_over_phase"] > 0
for mode, indices in (("phase", 2 / 1024), ("doorbell", 4 / 8)):
    p = out[0][mode]
    assert p["descriptors"] == p["completions"] == 1 and abs(p["indices"] - indices) < 1e-4, p
    assert abs(p["lines_moved"] - 2 - indices) < 1e-3 and 0 < p["ns_low"] <= p["ns"] <= p["ns_high"], p

with open(doc, encoding="utf-8") as f:
    rows = dict(re.findall(r"^\| (\w+) (\| .* \|)$", f.read(), re.M))
for p in json.loads(run("smartnic", "--list-params", "--json")):
    unit = " " + p["unit"] if p["unit"] else ""
    want = f"| {p['default']} | {p['min']}-{p['max']}{unit} | {p['what']} | {p['source']} |"
    assert rows.get(p["name"]) == want, f"docs/smartnic.md: {p['name']}:\nhas  {rows.get(p['name'])}\nneeds {want}"
print("bench: help, refusals, JSON and docs/smartnic.md agree")
