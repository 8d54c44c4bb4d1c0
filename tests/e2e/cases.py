# SPDX-License-Identifier: Apache-2.0
"""Good weather: Debian's own programs, one row a case. `PAIRS` rows are a server and a client of the same command line.

A row is (command, topologies, options). Topologies: 'lo' is two processes of one host without any other interface; a number is
two hosts joined by a cable of that MTU. The client gets the server's address, IPv4 but for rows with six=True, which also select
the IPv6 GID on both sides.
"""
import json
import re
import time

from lab import Case, Failed

ALL = ("lo", "1500", "4200", "9000")
TWO = ("lo", "1500")
ONE = ("4200",)

PINGPONG_OK = r"bytes in .* seconds = .*[Mm]bit/sec"
# A table with at least one line of figures.
PERFTEST_OK = r"(?m)^ *\d+ +\d+ +[\d.]+ "

PAIRS = [
    # ibverbs-utils
    ("ibv_rc_pingpong -g 0", ALL),
    ("ibv_rc_pingpong -g 0 -e", TWO),
    ("ibv_rc_pingpong -g 0 -c", TWO),
    ("ibv_rc_pingpong -g 0 -e -c -s 100000 -m 4096 -n 200", ("lo", "4200")),
    ("ibv_rc_pingpong -g 0 -c -s 4097 -m 256", ("lo", "1500")),
    ("ibv_rc_pingpong -g {six} -c", ("lo", "1500"), dict(six=True)),
    ("ibv_uc_pingpong -g 0", TWO),
    ("ibv_uc_pingpong -g 0 -e", TWO),
    ("ibv_uc_pingpong -g 0 -c", TWO),
    ("ibv_ud_pingpong -g 0 -s 1024", TWO),
    ("ibv_ud_pingpong -g 0 -s 1024 -e", TWO),
    ("ibv_ud_pingpong -g 0 -s 1024 -c", TWO),
    ("ibv_ud_pingpong -g {six} -s 1024 -c", ("1500",), dict(six=True)),
    ("ibv_srq_pingpong -g 0", TWO),
    ("ibv_srq_pingpong -g 0 -e", TWO),
    ("ibv_srq_pingpong -g 0 -c", TWO),
    # perftest: send
    ("ib_send_bw -c RC", ALL),
    ("ib_send_bw -c UC", TWO),
    ("ib_send_bw -c UD", ALL),
    ("ib_send_bw -a -n 100", TWO, dict(t=120)),
    ("ib_send_bw -c UC -a -n 100", ONE, dict(t=120)),
    ("ib_send_bw -c UD -a -n 1000", ONE, dict(t=120)),
    ("ib_send_bw -q 8 -n 1000", TWO),
    ("ib_send_bw -c UD -q 8 -n 1000", ONE),
    ("ib_send_bw -b", TWO),
    ("ib_send_bw -b -c UD", ONE),
    ("ib_send_bw -e", TWO),
    ("ib_send_bw -e -c UD", ONE),
    ("ib_send_bw -I 64 -s 64", TWO),
    ("ib_send_bw -D 3", ONE),
    ("ib_send_bw -x {six}", ("1500", "9000"), dict(six=True)),
    ("ib_send_bw -c UD -x {six}", ("1500",), dict(six=True)),
    ("ib_send_bw -r 16 -t 16 -l 4", ONE),
    ("ib_send_lat -c RC", ALL),
    ("ib_send_lat -c UC", ONE),
    ("ib_send_lat -c UD", TWO),
    ("ib_send_lat -a -n 20", ONE, dict(t=120)),
    ("ib_send_lat -e", TWO),
    ("ib_send_lat -I 64 -s 64", ONE),
    ("ib_send_lat -D 3", ONE),
    ("ib_send_lat -x {six}", ("1500",), dict(six=True)),
    # write
    ("ib_write_bw -c RC", ALL),
    ("ib_write_bw -c UC", TWO),
    ("ib_write_bw -a -n 100", TWO, dict(t=120)),
    ("ib_write_bw -c UC -a -n 100", ONE, dict(t=120)),
    ("ib_write_bw -q 8 -n 1000", TWO),
    ("ib_write_bw -b", TWO),
    ("ib_write_bw -b -q 8 -n 1000", ONE),
    ("ib_write_bw -I 64 -s 64", ONE),
    ("ib_write_bw -D 3", ONE),
    ("ib_write_bw -x {six}", ("1500", "9000"), dict(six=True)),
    ("ib_write_bw -s 1048576 -n 500", ONE),
    ("ib_write_lat -c RC", ALL),
    ("ib_write_lat -c UC", ONE),
    ("ib_write_lat -a -n 20", ONE, dict(t=120)),
    ("ib_write_lat -I 64 -s 64", ONE),
    ("ib_write_lat -D 3", ONE),
    ("ib_write_lat -x {six}", ("1500",), dict(six=True)),
    # read
    ("ib_read_bw", ALL),
    ("ib_read_bw -a -n 100", TWO, dict(t=120)),
    ("ib_read_bw -q 8 -n 1000", TWO),
    ("ib_read_bw -b", TWO),
    ("ib_read_bw -e", ONE),
    ("ib_read_bw -D 3", ONE),
    ("ib_read_bw -o 1", ONE),
    ("ib_read_bw -x {six}", ("1500",), dict(six=True)),
    ("ib_read_lat", ALL),
    ("ib_read_lat -a -n 20", ONE, dict(t=120)),
    ("ib_read_lat -e", ONE),
    ("ib_read_lat -D 3", ONE),
    ("ib_read_lat -x {six}", ("1500",), dict(six=True)),
    # atomics
    ("ib_atomic_bw -A FETCH_AND_ADD", ALL),
    ("ib_atomic_bw -A CMP_AND_SWAP", TWO),
    ("ib_atomic_bw -q 8", ONE),
    ("ib_atomic_bw -b", ONE),
    ("ib_atomic_bw -e", ONE),
    ("ib_atomic_bw -D 3", ONE),
    ("ib_atomic_bw -x {six}", ("1500",), dict(six=True)),
    ("ib_atomic_lat -A FETCH_AND_ADD", ALL),
    ("ib_atomic_lat -A CMP_AND_SWAP", ONE),
    ("ib_atomic_lat -e", ONE),
    ("ib_atomic_lat -D 3", ONE),
    ("ib_atomic_lat -x {six}", ("1500",), dict(six=True)),
]


def pair_case(cmd, topology, six=False, t=60):
    def run(lab):
        server, client = lab.hosts_of(topology)
        port = 18515
        line, peer = cmd, server.addr
        if six:
            i, j = (lab.gid_index(h, h.addr6) for h in (server, client))
            lab.expect(i == j, f"GID indices differ: {i} and {j}")
            line, peer = cmd.replace("{six}", str(i)), server.addr
        s, c = lab.pair(server, client, line, port, peer)
        lab.finish_pair(s, c, t, [PINGPONG_OK if line.startswith("ibv_") else PERFTEST_OK])
        if cmd.startswith("ibv_") and " -c" in cmd:
            for p in (s, c):
                lab.expect("invalid data" not in p.text(), f"{p.label}: invalid data")

    return Case(f"{cmd} over {topology}", run)


def several_pairs(pairs, topology):
    """(command, ...) all at once, each a server on one host and a client on the other."""

    def run(lab):
        server, client = lab.hosts_of(topology)
        both = [lab.pair(server if i % 2 == 0 else client, client if i % 2 == 0 else server, cmd, 18515 + i)
                for i, cmd in enumerate(pairs)]
        for s, c in both:
            lab.finish_pair(s, c, 60, [PERFTEST_OK])

    return run


# --- commands that need no peer ---

def devices(lab):
    a, _ = lab.joined(1500)
    p = lab.flexins(a, "ibv_devices")
    lab.expect(p.wait(20) == 0 and re.search(r"^\s*flexins0\s+[0-9a-f]{16}$", p.text(), re.M), "ibv_devices does not list flexins0")


def devinfo(topology, mtu):
    def run(lab):
        h, _ = lab.hosts_of(topology)
        p = lab.flexins(h, "ibv_devinfo -v")
        lab.expect(p.wait(20) == 0, "ibv_devinfo failed")
        text = p.text()
        for pat in (r"hca_id:\s+flexins0", r"transport:\s+InfiniBand \(0\)", r"phys_port_cnt:\s+1", r"state:\s+PORT_ACTIVE \(4\)",
                    rf"active_mtu:\s+{mtu} ", r"link_layer:\s+Ethernet", r"GID\[\s+0\]:\s+::ffff:\S+, RoCE v2"):
            lab.expect(re.search(pat, text), f"ibv_devinfo -v does not say {pat!r}")

    return run


def two_interfaces(lab):
    a, _ = lab.joined(1500)
    env = {"FLEXINS_IFACE": "eth1,lo"}
    p = lab.flexins(a, "ibv_devices", env=env)
    lab.expect(p.wait(20) == 0, "ibv_devices failed")
    lab.expect(re.search(r"flexins0 .*\n\s*flexins1 ", p.text()), "not both devices")
    text = lab.command(a, "devices", env=env)
    lab.expect(re.search(r"flexins0.*eth1", text) and re.search(r"flexins1.*lo", text), "flexins devices says otherwise")


def commands(lab):
    h = lab.alone()
    for args in ("--help", "run --help", "devices --help", "status --help"):
        lab.expect("Usage: flexins" in lab.command(h, args), f"flexins {args}")
    lab.expect("flexins0" in lab.command(h, "devices"), "flexins devices")
    json.loads(lab.command(h, "devices --json"))
    lab.expect(json.loads(lab.command(h, "status --json"))["slots"] == [], "status of nothing")
    lab.command(h, "nonsense", status=2)
    lab.command(h, "run", status=2)


def exit_status(lab):
    h = lab.alone()
    for cmd, want in (("sh -c 'exit 7'", 7), ("true", 0), ("/no/such/program", 127), ("/etc/passwd", 126)):
        rc = lab.flexins(h, cmd).wait(20)
        lab.expect(rc == want, f"{cmd}: exit status {rc} instead of {want}")
    p = lab.flexins(h, "sh -c 'kill -TERM $$; sleep 5'")
    lab.expect(p.wait(20) == -15, "death by signal is passed on")


def command_substitution(lab):
    """The keeper must not hold the output open, or x=$(...) would hang."""
    h = lab.alone()
    p = lab.start(h, ["bash", "-c", f'x=$({lab.setup.flexins} run -- ibv_devinfo) && echo "got ${{#x}}" && jobs -p && wait'])
    lab.expect(p.wait(15) == 0 and re.search(r"got \d{3}", p.text()), "$(flexins run -- ibv_devinfo)")


def status_counts(lab):
    a, b = lab.joined(1500)
    s, c = lab.pair(a, b, "ib_write_bw -D 4", 18515)
    lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 15, "flexins status shows no packets sent")
    st = lab.status(b)
    lab.expect(len(st["slots"]) == 1, f"slots: {len(st['slots'])}")
    slot = st["slots"][0]
    lab.expect(slot["pid"] == c.pid or slot["command"].startswith("ib_write_bw"), f"slot of {slot['pid']} {slot['command']}")
    qps = slot["queue_pairs"]
    lab.expect(len(qps) == 1 and qps[0]["state"].upper() == "RTS" and qps[0]["peer"].endswith(a.addr), f"queue pairs: {qps}")
    lab.expect("qp 0x" in lab.command(b, "status"), "the text form lists no queue pair")
    lab.finish_pair(s, c, 30)
    lab.wait_for(lambda: not lab.status(b)["slots"], 5, "the slot is still leased")


def buffer_overruns(lab, host):
    """Datagrams that the host's kernel dropped because a receive buffer was full."""
    text = lab.sh(f"ip netns exec {host.name} cat /proc/net/snmp /proc/net/snmp6")
    names, values = [x.split()[1:] for x in text.splitlines() if x.startswith("Udp: ")]
    v6 = re.search(r"^Udp6RcvbufErrors\s+(\d+)", text, re.M)
    return int(dict(zip(names, values))["RcvbufErrors"]) + (int(v6.group(1)) if v6 else 0)


def steady_state_loss(qps):
    """The default socket buffer is enough for any number of queue pairs: once it runs, nothing is dropped, nothing times out."""

    def run(lab):
        a, b = lab.joined(4200)
        s, c = lab.pair(a, b, f"ib_write_bw -D 5 -q {qps}", 18515)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
        time.sleep(0.5)
        before, lost_before = lab.counters(b), buffer_overruns(lab, a) + buffer_overruns(lab, b)
        time.sleep(2.5)
        after, lost = lab.counters(b), buffer_overruns(lab, a) + buffer_overruns(lab, b) - lost_before
        n = {k: after[k] - before[k] for k in after}
        lab.expect(n["tx_packets"] > 1000, "no traffic any more")
        lab.expect(lost == 0, f"{lost} datagrams of {n['tx_packets']} found the receiver's buffer full")
        # A probe is no loss: its peer was merely not scheduled for a while, as happens on a busy machine.
        for k in ("rc_seq_naks_received", "rc_timeouts"):
            lab.expect(n[k] == 0, f"{k}: {n[k]} in {n['tx_packets']} packets")
        lab.finish_pair(s, c, 30)

    return run


def other_port(lab):
    a, b = lab.joined(1500)
    s, c = lab.pair(a, b, "ibv_rc_pingpong -g 0 -c", 18515, env={"FLEXINS_PORT": "4792"})
    lab.finish_pair(s, c, 30, [PINGPONG_OK])


def no_ipv6(lab):
    """A host whose kernel has IPv6 switched off."""
    a, b = lab.joined(1500, ipv6=False)
    for h in (a, b):
        lab.sh(f"ip netns exec {h.name} sysctl -qw net.ipv6.conf.all.disable_ipv6=1", ok=True)
    s, c = lab.pair(a, b, "ibv_rc_pingpong -g 0 -c", 18515)
    lab.finish_pair(s, c, 30, [PINGPONG_OK])


def program(name):
    def run(lab):
        p = lab.flexins(lab.alone(), f"{{progs}}/{name}")
        rc = p.wait(90)
        if rc:
            raise Failed(f"{name}: exit status {rc}")
        lab.expect(re.search(r"[1-9]\d* checks, 0 failures", p.text()), f"{name} checked nothing")

    return run


FOUR = ["ib_write_bw -D 3", "ib_send_bw -D 3", "ib_read_bw -D 3", "ib_atomic_bw -D 3"]

TABLE = [
    Case("ibv_devices", devices),
    Case("ibv_devinfo -v over lo", devinfo("lo", 4096)),
    Case("ibv_devinfo -v over 1500", devinfo("1500", 1024)),
    Case("ibv_devinfo -v over 4200", devinfo("4200", 4096)),
    Case("ibv_devinfo -v over 9000", devinfo("9000", 4096)),
    Case("two interfaces, two devices", two_interfaces),
    Case("flexins: help, devices, status, usage errors", commands),
    Case("flexins run passes exit status and signals", exit_status),
    Case("flexins run in a command substitution", command_substitution),
    Case("flexins status shows slots, queue pairs, packets", status_counts),
    Case("FLEXINS_PORT", other_port),
    Case("IPv6 switched off", no_ipv6),
    *[pair_case(row[0], topo, **(row[2] if len(row) > 2 else {})) for row in PAIRS for topo in row[1]],
    Case("the data sent is the data received", program("integrity")),
    Case("fork: the child's contexts are dead", program("forkchild")),
    Case("four pairs at once on one host", several_pairs(FOUR, "lo"), alone=True),
    Case("two hosts with two processes each", several_pairs(["ib_write_bw -D 3", "ib_send_bw -D 3"], "1500"), alone=True),
    Case("two hosts with four processes each, latency beside bandwidth",
         several_pairs(["ib_write_bw -D 3", "ib_send_lat -D 3", "ib_read_lat -D 3", "ib_send_bw -c UD -D 3"], "9000"), alone=True),
    Case("no steady-state loss, 1 queue pair", steady_state_loss(1), alone=True),
    Case("no steady-state loss, 8 queue pairs", steady_state_loss(8), alone=True),
]
