# SPDX-License-Identifier: Apache-2.0
"""Fair comparison of two ways A and B on a noisy machine: interleaved pairs, one figure a run, the median of the pairwise ratios.

A and B are functions that run once and return a figure. They run A B B A A B ..., each bracketed by a cache-line ping-pong between
the two CPUs in use; pairs during which the CPUs moved (near to far, as virtual machines do) are set aside, and near and far are
reported apart. The same script run with A on both sides gives the noise floor (--self).
"""
import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def options(doc, unit, **defaults):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-n", type=int, default=10, help="pairs")
    p.add_argument("--seconds", type=float, default=2.0, help="of one run, about")
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--json", help="write the figures here too (default: BUILD/bench/NAME.json)")
    p.add_argument("--self", dest="same", action="store_true", help="A against A: the noise floor")
    p.set_defaults(**defaults)
    o = p.parse_args()
    o.unit = unit
    o.flexins = os.path.join(os.path.abspath(o.build), "flexins")
    if not os.access(o.flexins, os.X_OK):
        sys.exit(f"{o.flexins} does not exist: run make build")
    cpus = sorted(os.sched_getaffinity(0))
    o.client_cpu, o.server_cpu = cpus[0], cpus[1 % len(cpus)]
    return o


def udp_pingpong(o, rounds):
    """Half the round trip of plain UDP sockets, both sides polling, us. udp_raw pins its two processes to CPUs 0 and 1 itself."""
    prog = os.path.join(os.path.abspath(o.build), "bench", "udp_raw")
    r = subprocess.run([*prio(), prog, "pingpong", "8", str(rounds)], capture_output=True, text=True, timeout=120)
    if r.returncode:
        sys.exit(f"udp_raw: {r.stderr or r.stdout}")
    return json.loads(r.stdout)["oneway_us"]["median"]


def compiled(name):
    """bench/NAME.c as a program."""
    out = os.path.join(tempfile.gettempdir(), f"flexins-bench-{os.getuid()}-{name}")
    src = os.path.join(HERE, name + ".c")
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(src):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-pthread", "-I", os.path.join(ROOT, "src"), "-o", out, src], check=True)
    return out


def first(cmd):
    """The command at top priority where that is allowed (an autogroup of its own keeps other sessions' work away)."""
    return ["setsid", "-w", "sh", "-c", 'echo -20 >/proc/self/autogroup; exec "$@"', "sh", *prio(), *cmd]


def pinned(cpu, cmd):
    """The same on one CPU."""
    return first(["taskset", "-c", str(cpu), *cmd])


def prio():
    return ["nice", "-n", "-20"] if os.geteuid() == 0 else []


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def wait_listening(port, proc, seconds=10):
    want = re.compile(rf":{port:04X} [0-9A-F]+:0000 0A ")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if proc.poll() is not None:
            break
        for f in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(f, encoding="ascii") as fh:
                if want.search(fh.read()):
                    return
        time.sleep(0.02)
    proc.kill()
    sys.exit(f"the server did not come up: {proc.communicate()[0][-1000:]}")


def server_client(o, server, client, port):
    """Runs both pinned, returns the client's output. Ends the benchmark in words if either fails."""
    env = {**os.environ, "FLEXINS_IFACE": "lo"}
    s = subprocess.Popen(pinned(o.server_cpu, server), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    try:
        if port:
            wait_listening(port, s)
        c = subprocess.run(pinned(o.client_cpu, client), capture_output=True, text=True, timeout=60 + 4 * o.seconds, env=env)
        if c.returncode:
            sys.exit(f"{' '.join(client)}: exit status {c.returncode}\n{c.stdout[-1500:]}{c.stderr[-1500:]}")
        out = s.communicate(timeout=20)[0]
        if s.returncode:
            sys.exit(f"{' '.join(server)}: exit status {s.returncode}\n{out[-1500:]}")
        return c.stdout
    finally:
        if s.poll() is None:
            s.kill()
            s.wait()


def machine(o):
    def one(cmd):
        try:
            return subprocess.run(cmd, capture_output=True, text=True, cwd=ROOT).stdout.strip()
        except OSError:
            return ""

    cpu = ""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        m = re.search(r"model name\s*:\s*(.*)", f.read())
        cpu = m.group(1) if m else platform.machine()
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "client_cpu": o.client_cpu,
        "server_cpu": o.server_cpu,
        "commit": one(["git", "rev-parse", "--short", "HEAD"]) or "unknown",
        "changed": bool(one(["git", "status", "--porcelain", "--untracked-files=no"])),
        "rmem_default": open("/proc/sys/net/core/rmem_default", encoding="ascii").read().strip(),
        "load": os.getloadavg()[0],
    }


def placement(o):
    """How far the two CPUs are from each other: near, between or far, and ns of a cache line's round trip."""
    ns = float(subprocess.check_output([compiled("pingpong"), str(o.client_cpu), str(o.server_cpu)]))
    return ("near" if ns < 170 else "far" if ns > 300 else "between"), ns


def compare(o, name, a, b, name_a, name_b, lower_is_better=False):
    """Runs the pairs and prints the result. Returns the document that is written as JSON."""
    def where():
        return placement(o)

    if o.same:
        b, name_b = a, name_a + " (again)"
    m = machine(o)
    print(f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}; client on CPU {m['client_cpu']}, server on CPU {m['server_cpu']}; "
          f"commit {m['commit']}{' and changes' if m['changed'] else ''}; load {m['load']:.2f}")
    print(f"A: {name_a}\nB: {name_b}\n{o.n} pairs, interleaved; figures in {o.unit}, {'lower' if lower_is_better else 'higher'} is better",
          flush=True)
    pairs, place = [], where()
    for i in range(o.n):
        got, bins = {}, [place[0]]
        for side in ("ab", "ba")[i % 2]:
            got[side] = (a if side == "a" else b)()
            place = where()
            bins.append(place[0])
        bin_ = bins[0] if len(set(bins)) == 1 else "moved"
        pairs.append({"a": got["a"], "b": got["b"], "bin": bin_, "pingpong_ns": place[1]})
        print(f"  {i + 1:3}  A {got['a']:10.4g}  B {got['b']:10.4g}  A/B {got['a'] / got['b']:.3f}  {bin_}", flush=True)
    result = {"name": name, "a": name_a, "b": name_b, "unit": o.unit, "machine": m, "pairs": pairs, "bins": {}}
    for bin_ in ("near", "between", "far", "moved"):
        rows = [p for p in pairs if p["bin"] == bin_]
        if not rows:
            continue
        ratios = sorted(p["a"] / p["b"] for p in rows)
        q = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        r = {"pairs": len(rows), "a": statistics.median(p["a"] for p in rows), "b": statistics.median(p["b"] for p in rows),
             "ratio": statistics.median(ratios), "ratio_quartiles": [q[0], q[2]], "ratio_range": [ratios[0], ratios[-1]]}
        result["bins"][bin_] = r
        print(f"CPUs {bin_}: {r['pairs']} pairs, medians A {r['a']:.4g}, B {r['b']:.4g} {o.unit}; A/B {r['ratio']:.3f} "
              f"[{q[0]:.3f} {q[2]:.3f}]{'  (not counted: the CPUs moved)' if bin_ == 'moved' else ''}")
    path = o.json or os.path.join(os.path.abspath(o.build), "bench", name + ".json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    print(f"written to {os.path.relpath(path)}")
    return result


def verdict(result, good, words):
    """Exit status by the bin with the most pairs."""
    bins = {k: v for k, v in result["bins"].items() if k != "moved"} or result["bins"]
    best = max(bins.values(), key=lambda r: r["pairs"])
    ok = good(best["ratio"])
    print(f"{'reached' if ok else 'NOT reached'}: {words} (A/B {best['ratio']:.2f})")
    sys.exit(0 if ok else 1)


def need(program, package):
    if not shutil.which(program):
        sys.exit(f"{program} is not installed (package {package})")
