# SPDX-License-Identifier: Apache-2.0
"""The service placement: programs whose engine is in a `flexinsd --engine`, and what becomes of the others when one of the two goes
wrong. A selection of the good-weather cases runs there too; `run --placement service` runs all of them."""
import os
import re
import signal
import time

from cases import (PAIRS, PERFTEST_OK, capture_at_run_time, in_mode, injected, mode_env, pair_case, pingpong_under_faults, program, several_pairs,
                   under_faults)
from lab import Case


def served(case):
    """The same case with all programs' engines in the service."""
    fn = case.fn

    def run(lab):
        lab.service = True
        fn(lab)

    return Case(f"service: {case.name}", run, case.alone, case.root)


def option(lab):
    """Whoever asks for an engine that is not there is told what to do; what one program cannot choose is refused."""
    h = lab.alone()
    lab.expect("start one" in lab.command(h, "run --placement=service -- true", status=1), "no engine")
    lab.expect("expected inline or service" in lab.command(h, "run --placement=dpu -- true", status=2), "--placement=dpu")
    lab.expect("expected inline or service" in lab.command(h, "run -- true", status=2, env={"FLEXINS_PLACEMENT": "x"}), "environment")
    lab.engine(h)
    p = lab.start(h, [lab.setup.flexins, "run", "--placement=service", "--", "ibv_devinfo"])
    lab.expect(p.wait(20) == 0 and "PORT_ACTIVE" in p.text(), "ibv_devinfo")
    for o in ("--wire=udp", "--tx=copy", "--rx=ring", "--pipe=doorbell", "--cc=swift", "--transport=gbn", "--fault=loss=1%", "--capture=/tmp/x"):
        lab.expect("is not for --placement=service" in lab.command(h, f"run --placement=service {o} -- true", status=2), o)
    daemon = os.path.join(os.path.dirname(lab.setup.flexins), "flexinsd")
    p = lab.start(h, [daemon, "--engine"])
    lab.expect(p.wait(20) == 3 and "runs already" in p.text(), "a second service")
    for bad in ("--cores=x", "--cores=99999", "--engines=0", "--port=0", "more"):
        p = lab.start(h, [daemon, "--engine", *bad.split()])
        lab.expect(p.wait(20) == 2, f"flexinsd --engine {bad}: exit status {p.p.returncode}")


def status(lab):
    """Queue pairs are listed with the program that they belong to."""
    lab.service = True
    h = lab.alone()
    s, c = lab.pair(h, h, "ib_write_bw -D 300", 18515)
    lab.wait_for(lambda: lab.counters(h).get("tx_packets", 0) > 1000, 15, "no packets")
    slots = lab.status(h)["slots"]
    lab.expect(len(slots) == 1 and slots[0]["command"] == "flexinsd", f"slots: {slots}")
    pids = {q.get("pid") for q in slots[0]["queue_pairs"]}
    lab.expect(pids == {s.pid, c.pid}, f"queue pairs of {pids} instead of {s.pid} and {c.pid}")
    lab.expect(f"of pid {c.pid}" in lab.command(h, "status"), "the text form does not say whose a queue pair is")
    lab.goes_on(h, s, c)
    lab.wait_for(lambda: not lab.status(h)["slots"][0]["queue_pairs"], 10, "queue pairs of dead programs stay")


def several_engines(lab):
    """Programs are spread over engines, each with a slot of its own."""
    lab.service = True
    h = lab.alone()
    lab.engine(h, "--engines=2")
    s, c = lab.pair(h, h, "ib_send_bw -D 300", 18515)
    lab.wait_for(lambda: lab.counters(h).get("tx_packets", 0) > 1000, 15, "no packets")
    slots = lab.status(h)["slots"]
    lab.expect([len(x["queue_pairs"]) for x in slots] == [1, 1], f"queue pairs: {[x['queue_pairs'] for x in slots]}")
    lab.goes_on(h, s, c)


def program_killed(sig):
    """One program dies in the middle; its neighbours on the same engine go on, and the engine serves the next."""

    def run(lab):
        lab.service = True
        h = lab.alone()
        s1, c1 = lab.pair(h, h, "ib_write_bw -D 300", 18515)
        s2, c2 = lab.pair(h, h, "ib_send_bw -D 300", 18516)
        lab.wait_for(lambda: lab.counters(h).get("tx_packets", 0) > 1000, 15, "no packets")
        s2.kill(sig)
        s2.p.wait(20)
        lab.expect(c2.wait(60) != 0, "the client of a dead server saw no error")
        lab.wait_for(lambda: len(lab.status(h)["slots"][0]["queue_pairs"]) == 2, 10, "queue pairs of dead programs stay")
        s3, c3 = lab.pair(h, h, "ib_read_bw -n 500", 18517)
        lab.finish_pair(s3, c3, 60, [PERFTEST_OK])
        lab.goes_on(h, s1, c1)

    return run


def engine_dies(sig):
    """Programs hear of it: an event, and errors instead of waiting for ever. Then another engine serves the next ones."""

    def run(lab):
        lab.service = True
        h = lab.alone()
        p = lab.flexins(h, "{progs}/fatal")
        p.wait_text("ready", 20)
        s, c = lab.pair(h, h, "ib_write_bw -D 300", 18515)
        lab.wait_for(lambda: lab.counters(h).get("tx_packets", 0) > 1000, 15, "no packets")
        lab.engines.pop(h.name).kill(sig)
        rc = p.wait(20)
        lab.expect(rc == 0, f"fatal: exit status {rc}")
        lab.expect("the device is dead" in p.text(), "the library does not say that the engine is gone")
        for x in (s, c):
            lab.expect(x.wait(20) not in (0, None), f"{x.label} did not notice")
        time.sleep(0.2)
        s, c = lab.pair(h, h, "ib_write_bw -n 500", 18516)
        lab.finish_pair(s, c, 60, [PERFTEST_OK])

    return run


def keeper_dies(lab):
    """The service starts the next keeper and goes on."""
    lab.service = True
    h = lab.alone()
    s, c = lab.pair(h, h, "ib_write_bw -D 300", 18515)
    lab.wait_for(lambda: lab.counters(h).get("tx_packets", 0) > 1000, 15, "no packets")
    old = lab.status(h)["keeper"]["pid"]
    os.kill(old, signal.SIGKILL)
    lab.wait_for(lambda: (lab.status(h)["keeper"] or {}).get("pid") not in (None, old), 20, "there is no other keeper")
    lab.wait_for(lambda: len(lab.status(h)["slots"]) == 1, 20, "the slot is lost")
    lab.goes_on(h, s, c)


WANTED = [  # of cases.PAIRS: (command, topologies)
    ("ibv_rc_pingpong -g 0 -e -c -s 100000 -m 4096 -n 200", ("lo", "shm")),
    ("ibv_rc_pingpong -g {six} -c", ("1500",)),
    ("ibv_uc_pingpong -g 0 -c", ("shm",)),
    ("ibv_ud_pingpong -g 0 -s 1024 -c", ("lo",)),
    ("ibv_srq_pingpong -g 0 -e", ("shm",)),
    ("ib_send_bw -c RC", ("4200",)),
    ("ib_send_bw -e", ("lo",)),
    ("ib_send_bw -c UD", ("4200",)),
    ("ib_write_bw -q 8 -n 1000", ("shm",)),
    ("ib_write_lat -c RC", ("shm",)),
    ("ib_read_bw", ("4200",)),
    ("ib_atomic_bw -q 8", ("4200",)),
    ("ib_atomic_lat -A FETCH_AND_ADD", ("shm",)),
]
OPTIONS = {row[0]: row[2] if len(row) > 2 else {} for row in PAIRS}

TABLE = [
    Case("service: options", option),
    Case("service: status names programs", status),
    Case("service: two engines", several_engines),
    *[served(pair_case(cmd, topo, **OPTIONS[cmd])) for cmd, topologies in WANTED for topo in topologies],
    *[served(Case(f"the data sent is the data received, over {w}", program("integrity", w))) for w in ("udp", "shm")],
    served(Case("posted and not polled for", program("postquiet", "shm"))),
    served(Case("fork: the child's contexts are dead", program("forkchild"))),
    served(Case("invalid attributes to every verb", program("badattr"))),
    served(Case("forbidden destroy orders", program("destroyorder"))),
    served(Case("memory unmapped or protected after registration", program("unmapped"))),
    served(Case("protection errors, lengths, RNR, flushes", program("errors"))),
    *[served(Case(f"memory of all kinds, and atomics in it, over {w}", program("shared", w))) for w in ("udp", "shm")],
    *[served(in_mode(o, v, "ib_send_bw -n 300", "4200"))
      for o, v in (("tx", "copy"), ("tx", "dma-assisted"), ("rx", "ring"), ("pipe", "doorbell"))],
    served(Case("the data sent is the data received, --pipe=doorbell", program("integrity", "shm", env=mode_env("pipe", "doorbell")))),
    served(under_faults("ib_send_bw -n 300")),
    served(pingpong_under_faults("ibv_rc_pingpong -g 0 -c -n 20000")),
    served(injected("access", "", "ib_write_bw -D 300", 10)),
    served(Case("flexins capture start and stop, drops have comments", capture_at_run_time)),
    Case("service: program killed", program_killed(signal.SIGKILL)),
    Case("service: program ended by SIGTERM", program_killed(signal.SIGTERM)),
    Case("service: engine killed", engine_dies(signal.SIGKILL)),
    Case("service: engine ended by SIGTERM", engine_dies(signal.SIGTERM)),
    Case("service: keeper killed", keeper_dies),
    served(Case("four pairs at once on one host",
                several_pairs(["ib_write_bw -D 2", "ib_send_bw -D 2", "ib_read_bw -D 2", "ib_atomic_bw -D 2"], "shm"), alone=True)),
]
