# SPDX-License-Identifier: Apache-2.0
"""Offload handlers: the examples of examples/offload as a stranger builds them, served inline and, built-in ones, by the service."""
import os
import re
import shutil
import subprocess

from lab import Case, Failed, Skipped

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PORT = 18600


def build(lab, *names):
    """Programs of examples/offload, and handlers (of the examples or built in) as eBPF; into the folder of the helper programs."""
    for name in names:
        out = os.path.join(lab.setup.progs, name)
        if os.path.exists(out):
            continue
        if name.endswith(".o"):
            if not shutil.which("clang"):
                raise Skipped("no clang, so no eBPF programs")
            source = os.path.join(ROOT, "examples", "offload", name[:-2] + ".c")
            if not os.path.exists(source):
                source = os.path.join(ROOT, "src", "offload", "bpf", name[:-2] + ".c")
            cmd = ["clang", "-O2", "-target", "bpf", "-mcpu=v2", "-ffreestanding", "-I", os.path.join(ROOT, "include"), "-I",
                   os.path.join(ROOT, "src"), "-c", source]
        else:
            cmd = ["cc", "-O2", "-Wall", "-Wextra", "-I", os.path.join(ROOT, "include"), os.path.join(ROOT, "examples", "offload", name + ".c"),
                   "-libverbs"]
        with lab.setup.lock:
            r = subprocess.run([*cmd, "-o", out], capture_output=True, text=True)
        if r.returncode:
            raise Failed(f"cannot compile {name}:\n{r.stderr}")


def bpf_works(text):
    """A build without librte_bpf says so."""
    if "not supported by this build" in text or "eBPF programs need" in text:
        raise Skipped("no librte_bpf")


def walk(topology, handler=None):
    def run(lab):
        if handler and lab.service:
            raise Skipped("the service runs built-in handlers only")
        build(lab, "walk", *([handler] if handler else []))
        a, b = lab.hosts_of(topology)
        load = f"-e {{progs}}/{handler}" if handler else ""
        s = lab.flexins(a, f"{{progs}}/walk -1 -n 20000 {load}")
        try:
            lab.wait_listening(s, PORT)
        except Failed:
            bpf_works(s.text())
            raise
        c = lab.flexins(b, f"{{progs}}/walk -x -q 300 {a.addr}")
        lab.finish_pair(s, c, 60, [r"all as it should be", r"16 hops: .* [\d.]+ times"])
        lab.expect("a message: not a request" in s.text(), "the program does not get its own messages any more")
        lab.expect(re.search(r"(list-walk|walk-ebpf): 3\d\d requests", s.text()), "nothing was counted")

    return Case(f"offload: list walk {'by eBPF' if handler else 'built in'} over {topology}", run)


def own_handler(lab):
    """docs/adding-a-handler.md."""
    if lab.service:
        raise Skipped("the service runs built-in handlers only")
    build(lab, "sum", "sum_handler.o")
    p = lab.flexins(lab.alone(), "{progs}/sum {progs}/sum_handler.o")
    rc = p.wait(30)
    bpf_works(p.text())
    lab.expect(rc == 0 and "one number too many: status 5" in p.text(), f"exit status {rc}")


def refused(lab):
    """What is no handler is refused in words, and nothing happens to the program."""
    if lab.service:
        raise Skipped("the service runs built-in handlers only")
    build(lab, "sum", "list-walk.o")
    h = lab.alone()
    for file, word in (("walk", "not an eBPF object file"), ("list-walk.o", "status")):
        build(lab, file)
        p = lab.flexins(h, f"{{progs}}/sum {{progs}}/{file}")
        rc = p.wait(30)
        bpf_works(p.text())
        lab.expect(rc == 1 and word in p.text(), f"{file}: exit status {rc}")
        p.quiet = True


def from_outside(lab):
    """flexins offload: list, load (also in the place of a handler that is serving) and bind."""
    if lab.service:
        raise Skipped("the service runs built-in handlers only")
    build(lab, "walk", "list-walk.o", "gather.o")
    h = lab.alone()
    s = lab.flexins(h, "{progs}/walk -n 20000")
    lab.wait_listening(s, PORT)
    c = lab.flexins(h, f"{{progs}}/walk -q 100000000 {h.addr}")
    lab.wait_for(lambda: len(lab.status(h)["slots"]) == 2 and all(x["queue_pairs"] for x in lab.status(h)["slots"]), 20, "no connection")
    # Both processes are called walk: the server's is the one that knows of a handler that was bound.
    for slot in lab.status(h)["slots"]:
        text = lab.command(h, f"offload list --pid={slot['pid']}")
        lab.expect("built in: block-read" in text, "offload list")
        if re.search(r"(?m)^list-walk ", text):
            server = slot
    pid = server["pid"]
    qp = f'0x{server["queue_pairs"][0]["qpn"]:06x}'

    def steps():
        return int(re.search(r"(?m)^list-walk .* (\d+)$", lab.command(h, f"offload list --pid={pid}")).group(1))

    def goes_on(what):
        n = steps()
        lab.wait_for(lambda: steps() > n + 100, 20, f"no requests are served after {what}")
        lab.expect(c.running(), "the client has ended")

    goes_on("the start")
    text = lab.command(h, f"offload load --pid={pid} {lab.setup.progs}/list-walk.o", status=None)
    bpf_works(text)
    goes_on("a replacement")
    lab.expect(re.search(r"(?m)^list-walk +2 ", lab.command(h, f"offload list --pid={pid}")), "the load is not counted")
    for i in range(20):
        lab.command(h, f"offload load --pid={pid} {lab.setup.progs}/list-walk.o")
    goes_on("many replacements")
    lab.command(h, f"offload bind --pid={pid} --qp={qp} 9 gather region=1:4096:64:rw param=3 depth=2")
    lab.expect(re.search(r"(?m)^gather +\d+ +2 ", lab.command(h, f"offload list --pid={pid}")), "the binding is not there")
    for args, status, word in ((f"load --pid={pid} /dev/null x", 1, "not an object file"), (f"load --pid={pid} {lab.setup.progs}/walk x", 1, "not an eBPF"),
                               (f"load --pid={pid} {lab.setup.progs}/gather.o UPPER", 1, "lower case"),
                               (f"bind --pid={pid} --qp={qp} 9 nobody", 1, "no handler 'nobody'"), (f"bind --pid={pid} --qp=0x{0x17:x} 9 gather", 1, "no queue pair"),
                               (f"bind --pid={pid} --qp={qp} 9 gather region=x", 1, "makes no sense"), (f"bind --pid={pid} --qp={qp} 9 gather depth=999", 1, "out of range"),
                               (f"bind --pid={pid} 9 gather", 2, "which queue pair"), ("list", 2, "which program"), ("start --pid=1", 2, "expected list, load or bind")):
        text = lab.command(h, f"offload {args}", status=status)
        lab.expect(word in text, f"offload {args} says {text!r}")
    goes_on("nonsense")
    for p in (c, s):
        p.kill()
        p.p.wait(20)


TABLE = [
    *(walk(t) for t in ("lo", "shm", "1500", "9000")),
    *(walk(t, "list-walk.o") for t in ("lo", "shm", "1500")),
    Case("offload: a handler of one's own", own_handler),
    Case("offload: what is no handler", refused),
    Case("offload: flexins offload", from_outside),
]
