# SPDX-License-Identifier: Apache-2.0
"""Fair comparison on a noisy machine: rounds in which every way runs once, one figure a run, the median of the ratios within a round.

The order turns from round to round. Each round is bracketed by a cache-line ping-pong between the two CPUs in use; rounds during
which the CPUs moved (near to far, as virtual machines do) are set aside, and of near and far the more frequent one counts.
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
# perftest measures the processor's clock before it reports, and gives up where that is too uneven, as on a busy virtual machine.
UNEVEN = "Correlation coefficient"


def parser(doc, **defaults):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-n", type=int, default=10, help="rounds")
    p.add_argument("--seconds", type=float, default=2.0, help="of one run, about")
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.set_defaults(**defaults)
    return p


def ready(o):
    o.build = os.path.abspath(o.build)
    o.flexins = os.path.join(o.build, "flexins")
    if not os.access(o.flexins, os.X_OK):
        sys.exit(f"{o.flexins} does not exist: run make build")
    cpus = sorted(os.sched_getaffinity(0))
    o.client_cpu, o.server_cpu = cpus[0], cpus[1 % len(cpus)]
    return o


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
    """Runs both pinned, returns the client's output. Raises SystemExit, in words, if either fails."""
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


def quartiles(values):
    """Lower quartile, median, upper quartile."""
    q = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
    return [q[0], statistics.median(values), q[2]]


def rounds(o, ways, unit, say, anywhere=False):
    """Runs every way once a round, in an order that turns. ways: {name: function}; the first is the one that is compared.
    Returns the document: each round, and of those that count the quartiles of each way and of the first over each other.
    say(text) is told how it goes. anywhere: it does not matter how far the CPUs are from each other, every round counts."""
    names, done, before = list(ways), [], placement(o)
    for i in range(o.n):
        order = names[i % len(names):] + names[:i % len(names)]
        if i // len(names) % 2:
            order.reverse()
        got, bins = {}, {before[0]}
        for name in order:
            got[name] = ways[name]()
        before = placement(o)
        bins.add(before[0])
        done.append({"figures": got, "bin": bins.pop() if len(bins) == 1 else "moved", "pingpong_ns": before[1]})
        say(f"{i + 1}/{o.n}  " + "  ".join(f"{name} {got[name]:.4g}" for name in names) + f" {unit}, CPUs {done[-1]['bin']}")
    bins = [r["bin"] for r in done if r["bin"] != "moved"] or ["moved"]
    best = max(set(bins), key=bins.count)
    rows = [r["figures"] for r in done if anywhere or r["bin"] == best]
    return {"unit": unit, "bin": "anywhere" if anywhere else best, "rounds_counted": len(rows), "rounds": done,
            "figures": {name: quartiles([r[name] for r in rows]) for name in names},
            "ratios": {name: quartiles([r[names[0]] / r[name] for r in rows]) for name in names[1:]}}


def need(program, package):
    if not shutil.which(program):
        sys.exit(f"{program} is not installed (package {package})")
