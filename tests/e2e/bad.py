# SPDX-License-Identifier: Apache-2.0
"""Bad weather and bad input: what goes wrong around and under programs, and what they must see of it."""
import os
import re
import signal
import sys
import time

from cases import PERFTEST_OK, PINGPONG_OK, program
from lab import Case, Failed

DEVINFO = "ibv_devinfo"


def refused(lab, host, pattern, cmd="ibv_rc_pingpong -g 0", seconds=20, **kw):
    """The program fails soon, and stderr says why in words."""
    p = lab.flexins(host, cmd, **kw)
    rc = p.wait(seconds)
    lab.expect(rc != 0, f"{cmd} succeeded")
    lab.expect(rc > 0, f"{cmd} died of signal {-rc}")
    lab.expect(re.search(pattern, p.text()), f"{cmd} does not say {pattern!r}")


# --- the port, the interface ---

HOLD = """
import socket, sys, time
s = socket.socket(socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 4791))
print("held", flush=True)
time.sleep(60)
"""


def port_taken(family, root):
    def run(lab):
        h = lab.alone()
        p = lab.start(h, [sys.executable if root else "/usr/bin/python3", "-c", HOLD, family], root=root)
        p.wait_text("held", 10)
        refused(lab, h, r"4791")
        p.kill()
        p.p.wait(10)
        lab.expect(lab.flexins(h, DEVINFO).wait(20) == 0, "the port is free again, but the device does not open")

    return run


def other_users_keeper(lab):
    h = lab.alone()
    first = lab.flexins(h, "ibv_rc_pingpong -g 0 -p 18515", uid=65533)
    lab.wait_listening(first, 18515)
    refused(lab, h, r"(?i)uid 65533|another user|user 65533", uid=65534)
    lab.expect(first.running(), "the first user's program died of it")
    c = lab.flexins(h, f"ibv_rc_pingpong -g 0 -p 18515 {h.addr}", uid=65533)
    lab.finish_pair(first, c, 30, [PINGPONG_OK])


def no_interface(lab):
    h = lab.alone()
    lab.sh(f"ip -n {h.name} link set lo down")
    lab.sh(f"ip -n {h.name} addr flush dev lo", ok=True)
    p = lab.flexins(h, DEVINFO)
    rc = p.wait(20)
    lab.expect(rc > 0 or re.search(r"(?i)no .*device", p.text()), f"a device on no interface (exit status {rc})")
    lab.expect(rc >= 0, f"died of signal {-rc}")
    lab.expect(re.search(r"(?i)interface", p.text()), "nobody says that there is no usable interface")


def unknown_interface(lab):
    h = lab.alone()
    p = lab.flexins(h, DEVINFO, env={"FLEXINS_IFACE": "nosuch0"})
    rc = p.wait(20)
    lab.expect(rc >= 0, f"died of signal {-rc}")
    lab.expect("nosuch0" in p.text(), "nobody names the interface that does not exist")


def mtu_too_small(lab):
    a, _ = lab.joined(1500)
    lab.sh(f"ip -n {a.name} -6 addr flush dev eth1", ok=True)
    lab.sh(f"ip -n {a.name} link set eth1 mtu 300")
    lab.sh(f"ip -n {a.name} addr add {a.addr}/24 dev eth1", ok=True)
    p = lab.flexins(a, DEVINFO, env={"FLEXINS_IFACE": "eth1"})
    rc = p.wait(20)
    lab.expect(rc >= 0, f"died of signal {-rc}")
    lab.expect(re.search(r"(?i)mtu", p.text()) and "PORT_ACTIVE" not in p.text(), "an MTU of 300 is not refused by name")


# --- killing things ---

def keeper_pid(lab, host):
    k = lab.status(host)["keeper"]
    lab.expect(k, "no keeper runs")
    return k["pid"]


def keeper_killed(cmd, times):
    """kill -9 of the keepers of both hosts, several times, under load: no connection is lost."""

    def run(lab):
        a, b = lab.joined(4200)
        s, c = lab.pair(a, b, cmd, 18515)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 15, "no traffic")
        for _ in range(times):
            for h in (a, b):
                pid = keeper_pid(lab, h)
                os.kill(pid, signal.SIGKILL)

                def back():
                    k = lab.status(h)["keeper"]
                    return k and k["pid"] != pid

                lab.wait_for(back, 5, "no new keeper")
        # A newcomer gets a slot of its own from the new keeper.
        s2, c2 = lab.pair(a, b, "ibv_rc_pingpong -g 0 -c", 18600)
        lab.finish_pair(s2, c2, 30, [PINGPONG_OK])
        lab.goes_on(b, s, c)

    return run


def keeper_killed_while_opening(lab):
    """Keepers die as fast as programs start: every program works or says in words why not."""
    h = lab.alone()
    # One program that stays, so that the group of sockets survives.
    stay = lab.flexins(h, "ibv_rc_pingpong -g 0 -p 18700")
    lab.wait_listening(stay, 18700)
    worked = 0
    for i in range(6):
        p = lab.flexins(h, DEVINFO)
        time.sleep(0.005 * i)
        try:
            k = lab.status(h)["keeper"]
        except Failed:  # the one before may die in the middle of its answer
            k = None
        if k:
            try:
                os.kill(k["pid"], signal.SIGKILL)
            except ProcessLookupError:
                pass
        rc = p.wait(20)
        lab.expect(rc >= 0, f"died of signal {-rc}")
        worked += rc == 0
    lab.expect(worked >= 3, f"only {worked} of 6 programs opened the device")
    c = lab.flexins(h, f"ibv_rc_pingpong -g 0 -p 18700 {h.addr}")
    lab.finish_pair(stay, c, 30, [PINGPONG_OK])


def loop_pair(lab, topology="4200", server_args="", client_args=""):
    a, b = lab.hosts_of(topology)
    s = lab.flexins(a, f"{{progs}}/rcloop {server_args} 18515")
    lab.wait_listening(s, 18515)
    c = lab.flexins(b, f"{{progs}}/rcloop {client_args} 18515 {a.addr}")
    for p in (s, c):
        p.wait_text("running", 20)
    return a, b, s, c


def slot_returns(lab, host, pid, seconds=10):
    """The slot that the process held is leased no more."""

    def gone():
        return not any(x["pid"] == pid and x["state"] == "held" for x in lab.status(host)["slots"])

    lab.wait_for(gone, seconds, f"the slot of process {pid} is still leased")


def client_killed(topology, forked):
    def run(lab):
        _, b, s, c = loop_pair(lab, topology, client_args="-f" if forked else "")
        c.kill()
        lab.expect(s.wait(20) == 0, "the peer did not see retry exceeded")
        lab.expect("status 12" in s.text(), "the peer did not see retry exceeded")
        slot_returns(lab, b, c.pid)
        # Others get slots and work.
        s2, c2 = lab.pair(b, b, "ibv_rc_pingpong -g 0 -c", 18600, "127.0.0.1" if topology in ("lo", "shm") else b.addr)
        lab.finish_pair(s2, c2, 30, [PINGPONG_OK])
        for pid, cmd in lab.left_over().items():  # the sleeping child of the fork is ours to end
            if "rcloop" in cmd:
                os.kill(pid, signal.SIGKILL)

    return run


def server_exits(lab):
    """A peer that exits without a word, not killed: SIGTERM."""
    _, _, s, c = loop_pair(lab)
    s.kill(signal.SIGTERM)
    lab.expect(c.wait(20) == 0, "the peer did not see retry exceeded")


def peer_vanishes(lab):
    a, _, s, c = loop_pair(lab)
    lab.sh(f"ip -n {a.name} link set eth1 down")
    for p in (s, c):
        lab.expect(p.wait(20) == 0, f"{p.label} did not see retry exceeded")


def cable_pulled_for_a_moment(lab):
    """Short enough for the retries: nothing is lost."""
    a, b = lab.joined(4200)
    s, c = lab.pair(a, b, "ib_send_bw -D 4 -u 18", 18515)
    lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 15, "no traffic")
    lab.sh(f"ip -n {a.name} link set eth1 down")
    time.sleep(0.3)
    lab.sh(f"ip -n {a.name} link set eth1 up")
    lab.finish_pair(s, c, 40, [PERFTEST_OK])


# --- packets nobody asked for ---

SPRAY = r"""
import os, random, socket, struct, sys, time
host, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
rnd = random.Random(seed)
s = socket.socket(family, socket.SOCK_DGRAM)
end = time.monotonic() + seconds
n = 0
while time.monotonic() < end:
    for _ in range(50):
        kind = rnd.randrange(5)
        if kind == 0:      # anything, any length, nothing included
            data = rnd.randbytes(rnd.choice((0, 1, 3, 11, 12, 15, 16, 17, 40, 1000, 1400)))
        elif kind == 1:    # a BTH of a real opcode for a random queue pair of any slot
            data = struct.pack(">BBHII", rnd.randrange(256), rnd.randrange(256) & 0xf0, 0xffff, rnd.getrandbits(24), rnd.getrandbits(24))
            data += rnd.randbytes(rnd.randrange(64))
        elif kind == 2:    # for the first slots and the first queue pairs: those in use
            qpn = rnd.randrange(1, 4) << 16 | rnd.randrange(64)
            data = struct.pack(">BBHII", rnd.choice((0, 4, 6, 10, 12, 16, 17, 19, 100)), 0x40, 0xffff, qpn, rnd.getrandbits(24) | 1 << 31)
            data += rnd.randbytes(rnd.choice((0, 4, 16, 20, 28, 1028)))
        elif kind == 3:    # QP1 and multicast: the keeper's slots
            data = struct.pack(">BBHII", 100, 0x40, 0xffff, rnd.choice((0, 1, 0xffffff)), rnd.getrandbits(24)) + rnd.randbytes(rnd.choice((8, 264, 268)))
        else:              # truncated
            data = struct.pack(">BBHII", 4, 0x40, 0xffff, 0x10000, 0)[:rnd.randrange(12)]
        try:
            s.sendto(data, (host, 4791))
            n += 1
        except OSError:
            pass
print(n, "packets")
"""


def garbage(six):
    """Random, truncated and forged packets from a stranger, while a validated transfer runs."""

    def run(lab):
        a, b = lab.joined(1500)
        target = a.addr6 if six else a.addr
        s, c = lab.pair(a, b, "ibv_rc_pingpong -g 0 -c -n 20000", 18515)
        spray = lab.start(b, ["/usr/bin/python3", "-c", SPRAY, target, "2.5", "4791"])
        lab.wait_for(lambda: not spray.running() or (s.running() and sum(
            v for k, v in lab.counters(a).items() if k.startswith("drop_")) > 10) or not s.running(), 15, "no drop was counted")
        lab.expect(spray.wait(20) == 0, "the sprayer failed")
        lab.finish_pair(s, c, 60, [PINGPONG_OK])
        lab.expect("invalid data" not in s.text() + c.text(), "invalid data")

    return run


def wrong_slot(lab):
    """Packets for slots that nobody leased reach nobody, and those for a leased one are dropped and counted by reason."""
    a, b = lab.joined(1500)
    s = lab.flexins(a, "ibv_rc_pingpong -g 0 -p 18515")
    lab.wait_listening(s, 18515)
    prefix = lab.status(a)["slots"][0]["prefix"]
    send = ("import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for p in range(256):\n"
            "    for i in range(3):\n"
            f"        s.sendto(struct.pack('>BBHII', 4, 64, 65535, p << 16 | 0xfff0, i) + bytes(20), ('{a.addr}', 4791))\n")
    lab.expect(lab.start(b, ["/usr/bin/python3", "-c", send]).wait(20) == 0, "sending")

    def drops():
        return {k: v for k, v in lab.counters(a).items() if k.startswith("drop_") and v}

    # The server sleeps in accept(): its helper thread must receive all the same.
    lab.wait_for(drops, 5, f"slot {prefix}: no drop counted")
    time.sleep(0.3)
    total = sum(drops().values())
    lab.expect(total == 3, f"3 packets were for slot {prefix}, {total} arrived: {drops()}")
    c = lab.flexins(b, f"ibv_rc_pingpong -g 0 -p 18515 {a.addr}")
    lab.finish_pair(s, c, 30, [PINGPONG_OK])


# --- limits ---

def low_memlock(lab):
    """No locked memory at all: FlexiNS pins nothing, so it does not care."""
    h = lab.alone()
    s = lab.start(h, ["prlimit", "--memlock=0:0", lab.setup.flexins, "run", "--", "ib_write_bw", "-s", "1048576", "-n", "100",
                      "-p", "18515"])
    lab.wait_listening(s, 18515)
    c = lab.start(h, ["prlimit", "--memlock=0:0", lab.setup.flexins, "run", "--", "ib_write_bw", "-s", "1048576", "-n", "100",
                      "-p", "18515", h.addr])
    lab.finish_pair(s, c, 30, [PERFTEST_OK])


def few_descriptors(lab):
    """A process with few file descriptors left: an error in words or success, never a hang or a crash."""
    h = lab.alone()
    for n in (4, 8, 16, 32):
        p = lab.start(h, ["prlimit", f"--nofile={n}:{n}", lab.setup.flexins, "run", "--", DEVINFO])
        rc = p.wait(20)
        lab.expect(rc >= 0, f"with {n} descriptors: died of signal {-rc}")


def no_dev_infiniband(lab):
    """What the other cases rest on: there is no RDMA hardware's interface, and none is made."""
    if os.path.exists("/dev/infiniband"):
        from lab import Skipped
        raise Skipped("this machine has /dev/infiniband")
    h = lab.alone()
    lab.expect(lab.flexins(h, DEVINFO).wait(20) == 0, "ibv_devinfo")
    lab.expect(not os.path.exists("/dev/infiniband") and not os.path.exists("/sys/class/infiniband/flexins0"), "made by FlexiNS")


def many_starts(lab):
    """Forty programs come and go, eight at a time; the keeper serves them all and leaves."""
    h = lab.alone()
    for _ in range(5):
        batch = [lab.flexins(h, DEVINFO) for _ in range(8)]
        for p in batch:
            rc = p.wait(30)
            lab.expect(rc == 0, f"ibv_devinfo: exit status {rc}")


def stopped_peer(lab):
    """A process stopped for less than the retries last costs its peer nothing but time."""
    _, _, s, c = loop_pair(lab, client_args="-t 8", server_args="-t 8")
    # 8 tries of at least 4 x 4.2 ms
    os.kill(s.pid, signal.SIGSTOP)
    time.sleep(0.02)
    os.kill(s.pid, signal.SIGCONT)
    for p in (s, c):
        rc = p.wait(20)
        lab.expect(rc in (0, 3), f"{p.label}: exit status {rc}")
    lab.expect("no error" in c.text() or "no error" in s.text(), "a stop of 20 ms broke the connection")


TABLE = [
    Case("port 4791 held over IPv6 by another program", port_taken("6", False)),
    Case("port 4791 held over IPv4 by another program", port_taken("4", False)),
    Case("port 4791 held by root's program", port_taken("6", True), root=True),
    Case("port 4791 held by another user's keeper", other_users_keeper, root=True),
    Case("no usable interface", no_interface),
    Case("unknown interface in FLEXINS_IFACE", unknown_interface),
    Case("MTU too small", mtu_too_small),
    Case("keeper killed three times under WRITE", keeper_killed("ib_write_bw -D 300", 3)),
    Case("keeper killed under SEND both ways", keeper_killed("ib_send_bw -b -D 300", 1)),
    Case("keeper killed while programs open the device", keeper_killed_while_opening),
    Case("client killed, between hosts", client_killed("4200", False)),
    Case("client killed, one host", client_killed("lo", False)),
    Case("client killed, one host, over shm", client_killed("shm", False)),
    Case("client killed after it had forked", client_killed("4200", True)),
    Case("client killed after it had forked, over shm", client_killed("shm", True)),
    Case("server ended by SIGTERM", server_exits),
    Case("peer vanishes", peer_vanishes),
    Case("cable pulled for a moment", cable_pulled_for_a_moment),
    Case("process stopped for a moment", stopped_peer),
    Case("garbage and truncated packets", garbage(False)),
    Case("garbage and truncated packets over IPv6", garbage(True)),
    Case("packets for another slot", wrong_slot),
    Case("invalid attributes to every verb", program("badattr")),
    Case("forbidden destroy orders", program("destroyorder")),
    Case("memory unmapped or protected after registration", program("unmapped")),
    Case("protection errors, lengths, RNR, flushes", program("errors")),
    Case("READ of memory that is written without pause", program("readhot")),
    Case("no locked memory allowed", low_memlock),
    Case("few file descriptors", few_descriptors),
    Case("no /dev/infiniband", no_dev_infiniband),
    Case("forty programs come and go", many_starts),
]
