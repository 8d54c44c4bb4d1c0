# SPDX-License-Identifier: Apache-2.0
"""Congestion controls that are loaded into programs and swapped while these are at it. Nothing is lost, no queue pair errors."""
import os
import re

from lab import Case, Skipped

from cases import PERFTEST_OK, program


def plugin(lab, kind):
    """The worked example, as the documentation has it compiled."""
    path = os.path.join(lab.setup.progs, f"aimd.{kind}")
    if not os.path.exists(path):
        raise Skipped("no clang that makes eBPF")
    return path


def swapped(wire, kind=None, env=None, service=False):
    """1,000 swaps by the program itself, with all data looked at."""

    def run(lab):
        lab.service = service
        more = {**(env or {})}
        name = "ccswap"
        if kind:
            more["FLEXINS_CC"] = plugin(lab, kind) + ":start_kib=16"
            name += " aimd aimd:target_us=20,cut_percent=50"
        program(name, wire, env=more)(lab)

    return run


def only_slot(lab, host):
    slots = lab.status(host)["slots"]
    lab.expect(len(slots) == 1, f"{len(slots)} programs")
    return slots[0]


def swapped_from_outside(service):
    """`flexins set` on a transfer between two hosts: by queue pair, peer and device, built in, shared object, eBPF."""

    def run(lab):
        lab.service = service
        a, b = lab.joined(4200)
        so = plugin(lab, "so")
        s, c = lab.pair(a, b, "ib_write_bw -q 4 -D 300", 18515)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
        slot = only_slot(lab, b)
        qpns = [f'0x{q["qpn"]:06x}' for q in slot["queue_pairs"]]
        lab.expect(len(qpns) == 4, f"queue pairs: {qpns}")

        def has(cc, which=range(4)):
            got = [q.get("cc") for q in only_slot(lab, b)["queue_pairs"]]
            lab.expect(all(got[i] == cc for i in which), f"not {cc}: {got}")

        has("static_window")
        lab.expect("1 queue pair of" in lab.command(b, f"set --qp={qpns[2]} --cc=dcqcn:g_inv=16"), "set --qp")
        has("dcqcn:g_inv=16", [2])
        has("static_window", [0, 1, 3])
        lab.expect("4 queue pairs of" in lab.command(b, f"set --peer={a.addr} --cc=swift:target_us=100"), "set --peer")
        has("swift:target_us=100")
        lab.expect("aimd (shared object)" in lab.command(b, f"cc load {so}"), "cc load")
        lab.expect("4 queue pairs of" in lab.command(b, "set --device=flexins0 --cc=aimd:cut_percent=30"), "set --device")
        has("aimd:cut_percent=30")
        lab.expect(so in lab.command(b, f"cc list --pid={slot['pid']}"), "cc list --pid")
        ccs = ["static_window", "dcqcn", "timely", "swift", "aimd", so + ":target_us=50"]
        if os.path.exists(so[:-2] + "o"):
            ccs.append(so[:-2] + "o:target_us=200")
        for i in range(60):
            who = ("", f"--qp={qpns[i % 4]}", f"--peer={a.addr}", "--device=flexins0")[i % 4 if i % 8 else 0]
            lab.command(b, f"set {who} --cc={ccs[i % len(ccs)]}")
        # What is wrong is said, and nothing changes.
        lab.command(b, "set --cc=swift:target_us=100")
        for args, word in ((f"set --qp={qpns[0]} --cc=vegas", "no congestion control 'vegas'"),
                           (f"set --qp={qpns[0]} --cc=aimd:cut_percent=100", "expected cut_percent=N with N from 1 to 99"),
                           (f"set --qp={qpns[0][:4]}ffff --cc=swift", "has no queue pair"),
                           (f"cc load {lab.setup.progs}/ccswap.so", "no symbol 'fns_cc_plugin'")):
            lab.expect(word in lab.command(b, args, status=1), f"flexins {args} does not say {word!r}")
        has("swift:target_us=100")
        n = lab.counters(b)
        lab.expect(n["cc_refused"] == 0 and n["wc_error"] == 0, f"refused or errors: {n}")
        lab.goes_on(b, s, c)

    return run


def rules(lab):
    """Another congestion control for one peer, from the start."""
    a, b = lab.joined(1500)
    env = {"FLEXINS_CC": "timely", "FLEXINS_CC_RULES": f"peer=[2001:db8::99]:dcqcn;peer={a.addr}:swift:target_us=80;peer=192.0.2.99:dcqcn"}
    s, c = lab.pair(a, b, "ib_write_bw -D 300", 18515, env=env)
    lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
    lab.expect(only_slot(lab, b)["queue_pairs"][0]["cc"] == "swift:target_us=80", "the rule for the peer is not in force")
    lab.expect(only_slot(lab, a)["queue_pairs"][0]["cc"] == "timely", "a rule for another peer is in force")
    lab.goes_on(b, s, c)


def loaded_at_start(kind):
    """`flexins run --cc=FILE`, by a relative name; the program then changes its directory."""

    def run(lab):
        a, b = lab.joined(1500)
        path = plugin(lab, kind)
        s, c = lab.pair(a, b, "ib_send_bw -n 500", 18515, env={"FLEXINS_CC": path})
        lab.finish_pair(s, c, 60, [PERFTEST_OK])
        rel = os.path.relpath(path, lab.setup.progs)
        p = lab.start(a, ["sh", "-c", f"cd {lab.setup.progs} && {lab.setup.flexins} run --cc=./{rel}:target_us=9 "
                          f"--cc-rule=peer=192.0.2.1:./{rel} -- sh -c 'cd / && echo $FLEXINS_CC $FLEXINS_CC_RULES && ibv_devinfo'"])
        lab.expect(p.wait(20) == 0 and f"{lab.setup.progs}/./aimd.{kind}:target_us=9 peer=192.0.2.1:/" in p.text(), p.text())

    return run


def bad_options(lab):
    h = lab.alone()
    for args, word in (("run --cc=./nothing.so -- true", "./nothing.so: No such file"),
                       ("run --cc=/etc/passwd -- true", "/etc/passwd: "),
                       ("run --cc-rule=swift:x=1 -- true", "no parameter 'x'"),
                       ("run --cc-rule=peer=192.0.2.7 -- true", "expected peer=ADDRESS:NAME"),
                       ("run --cc-rule=peer=2001:db8::7:swift -- true", "peer=[ADDRESS]:NAME for IPv6"),
                       ("run --cc-rule=peer=192.0.2.7:vegas -- true", "no congestion control 'vegas'"),
                       ("set --qp=5", "--cc=NAME"), ("set --qp=5 --peer=192.0.2.1 --cc=swift", "one of --qp, --peer and --device"),
                       ("set --peer=here --cc=swift", "expected an address"), ("set --device=eth77 --cc=swift", "expected a device"),
                       ("set --cc=swift more", "takes options only"), ("cc", "expected `list`"), ("cc load", "expected `list`"),
                       ("set --cc=dcqcn:line_mbps=0", "expected line_mbps=N")):
        lab.expect(word in lab.command(h, args, status=2), f"flexins {args} does not say {word!r}")
    lab.expect("no program" in lab.command(h, "set --cc=swift", status=1), "set without programs")
    lab.expect("no program" in lab.command(h, f"cc load {plugin(lab, 'so')}", status=1), "cc load without programs")
    lab.expect("target_us" in lab.command(h, "cc list"), "cc list")
    lab.expect(re.search(r"cut_percent .* 20 \(1 to 99\)", lab.command(h, f"cc list {plugin(lab, 'so')}")), "cc list FILE")
    p = lab.flexins(h, "ibv_devinfo", env={"FLEXINS_CC": "./nothing.so"})
    lab.expect(p.wait(20) == 2 and "FLEXINS_CC: ./nothing.so" in p.text(), "a wrong FLEXINS_CC is not refused")


TABLE = [
    Case("1000 swaps of the congestion control, over udp", swapped("udp")),
    Case("1000 swaps of the congestion control, over shm", swapped("shm")),
    Case("1000 swaps of the congestion control, a shared object among them", swapped("udp", "so")),
    Case("1000 swaps of the congestion control, eBPF among them", swapped("udp", "o")),
    Case("1000 swaps of the congestion control, under faults", swapped("udp", env={"FLEXINS_FAULT": "loss=0.3%,reorder=3,seed=5"})),
    Case("1000 swaps of the congestion control, in the service", swapped("udp", "so", service=True)),
    Case("flexins set on a transfer", swapped_from_outside(False)),
    Case("flexins set on a transfer, in the service", swapped_from_outside(True)),
    Case("congestion control rules", rules),
    Case("a congestion control from a shared object", loaded_at_start("so")),
    Case("a congestion control from eBPF", loaded_at_start("o")),
    Case("congestion controls: usage errors", bad_options),
]
