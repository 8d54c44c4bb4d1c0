# SPDX-License-Identifier: Apache-2.0
"""Good weather: Debian's own programs, one row a case. `PAIRS` rows are a server and a client of the same command line.

A row is (command, topologies, options). Topologies: 'lo' is two processes of one host without any other interface; a number is
two hosts joined by a cable of that MTU; 'shm' is 'lo' without UDP. The client gets the server's address, IPv4 but
for rows with six=True, which also select the IPv6 GID on both sides.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from lab import Case, Failed, Skipped

ALL = ("lo", "shm", "1500", "4200", "9000")
TWO = ("lo", "shm", "1500")
ONE = ("4200",)

PINGPONG_OK = r"bytes in .* seconds = .*[Mm]bit/sec"
# A table with at least one line of figures.
PERFTEST_OK = r"(?m)^ *\d+ +\d+ +[\d.]+ "

PAIRS = [
    # ibverbs-utils
    ("ibv_rc_pingpong -g 0", ALL),
    ("ibv_rc_pingpong -g 0 -e", TWO),
    ("ibv_rc_pingpong -g 0 -c", TWO),
    ("ibv_rc_pingpong -g 0 -e -c -s 100000 -m 4096 -n 200", ("lo", "shm", "4200")),
    ("ibv_rc_pingpong -g 0 -c -s 4097 -m 256", ("lo", "shm", "1500")),
    ("ibv_rc_pingpong -g {six} -c", ("lo", "shm", "1500"), dict(six=True)),
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
    ("ib_send_bw -a -n 30", TWO, dict(t=120)),
    ("ib_send_bw -c UC -a -n 30", ONE, dict(t=120)),
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
    ("ib_send_lat -a -n 10", ONE, dict(t=120)),
    ("ib_send_lat -e", TWO),
    ("ib_send_lat -I 64 -s 64", ONE),
    ("ib_send_lat -D 3", ONE),
    ("ib_send_lat -x {six}", ("1500",), dict(six=True)),
    # write
    ("ib_write_bw -c RC", ALL),
    ("ib_write_bw -c UC", TWO),
    ("ib_write_bw -a -n 30", TWO, dict(t=120)),
    ("ib_write_bw -c UC -a -n 30", ONE, dict(t=120)),
    ("ib_write_bw -q 8 -n 1000", TWO),
    ("ib_write_bw -b", TWO),
    ("ib_write_bw -b -q 8 -n 1000", ONE),
    ("ib_write_bw -I 64 -s 64", ONE),
    ("ib_write_bw -D 3", ONE),
    ("ib_write_bw -x {six}", ("1500", "9000"), dict(six=True)),
    ("ib_write_bw -s 1048576 -n 500", ONE),
    ("ib_write_lat -c RC", ALL),
    ("ib_write_lat -c UC", ONE),
    ("ib_write_lat -a -n 10", ONE, dict(t=120)),
    ("ib_write_lat -I 64 -s 64", ONE),
    ("ib_write_lat -D 3", ONE),
    ("ib_write_lat -x {six}", ("1500",), dict(six=True)),
    # read
    ("ib_read_bw", ALL),
    ("ib_read_bw -a -n 30", TWO, dict(t=120)),
    ("ib_read_bw -q 8 -n 1000", TWO),
    ("ib_read_bw -b", TWO),
    ("ib_read_bw -e", ONE),
    ("ib_read_bw -D 3", ONE),
    ("ib_read_bw -o 1", ONE),
    ("ib_read_bw -x {six}", ("1500",), dict(six=True)),
    ("ib_read_lat", ALL),
    ("ib_read_lat -a -n 10", ONE, dict(t=120)),
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


UCX_TESTS = (("tag_bw", 65536, 200), ("tag_lat", 8, 500), ("ucp_put_bw", 65536, 200), ("ucp_get", 4096, 200), ("ucp_fadd", 8, 200))
# A line of figures: the iterations done, three times, four rates.
UCX_OK = r"(?m)^ +{n}( +\d+\.\d+){{5}}( +\d+){{2}}\s*$"


def ucx(tls):
    """UCX on its verbs transports, which MPI and others stand on. Short: each of its programs opens some queue pairs of each kind."""

    def run(lab):
        if not shutil.which("ucx_perftest"):
            raise Skipped("ucx_perftest is not installed (package ucx-utils)")
        server, client = lab.joined(4200)
        env = {"UCX_TLS": tls, "UCX_NET_DEVICES": "flexins0:1", "UCX_WARN_UNUSED_ENV_VARS": "n"}
        for i, (test, size, n) in enumerate(UCX_TESTS):
            s, c = lab.pair(server, client, "ucx_perftest", 18515 + i, client_extra=f"-f -t {test} -s {size} -n {n} -w 10", env=env)
            lab.finish_pair(s, c, 60, [UCX_OK.format(n=n)])

    return Case(f"ucx_perftest over {tls}", run)


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
    for args in ("--help", "run --help", "devices --help", "status --help", "fault --help", "capture --help"):
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
    s, c = lab.pair(a, b, "ib_write_bw -D 300", 18515)
    lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 15, "flexins status shows no packets sent")
    st = lab.status(b)
    lab.expect(len(st["slots"]) == 1, f"slots: {len(st['slots'])}")
    slot = st["slots"][0]
    lab.expect(slot["pid"] == c.pid or slot["command"].startswith("ib_write_bw"), f"slot of {slot['pid']} {slot['command']}")
    qps = slot["queue_pairs"]
    lab.expect(len(qps) == 1 and qps[0]["state"].upper() == "RTS" and qps[0]["peer"].endswith(a.addr), f"queue pairs: {qps}")
    lab.expect("qp 0x" in lab.command(b, "status"), "the text form lists no queue pair")
    lab.goes_on(b, s, c)
    lab.wait_for(lambda: not lab.status(b)["slots"], 5, "the slot is still leased")


def buffer_overruns(lab, host):
    """Datagrams that the host's kernel dropped because a receive buffer was full."""
    text = lab.sh(f"ip netns exec {host.name} cat /proc/net/snmp /proc/net/snmp6")
    names, values = [x.split()[1:] for x in text.splitlines() if x.startswith("Udp: ")]
    v6 = re.search(r"^Udp6RcvbufErrors\s+(\d+)", text, re.M)
    return int(dict(zip(names, values))["RcvbufErrors"]) + (int(v6.group(1)) if v6 else 0)


def steady_state_loss(qps):
    """The socket buffer that every system grants is enough for any number of queue pairs: once it runs, nothing is dropped,
    nothing times out."""

    def run(lab):
        a, b = lab.joined(4200)
        # The kernel doubles the buffer. An acknowledgement that is late because its process waits for a processor is no loss: 1 s.
        s, c = lab.pair(a, b, f"ib_write_bw -D 300 -u 18 -q {qps}", 18515, env={"FLEXINS_RCVBUF": "106496"})
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
        for h in (a, b):
            lab.expect("rb212992," in lab.sh(f"ip netns exec {h.name} ss -uanm sport = 4791"), "the buffer is not of 212,992 bytes")
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
        lab.goes_on(b, s, c)

    return run


def hosts_know_each_other(lab):
    """Each learns the other's receive buffer, by both families; nothing is then lost for want of room in a small one, not even
    datagrams, which are never sent again."""
    a, b = lab.joined(1500)
    size = {a: 65536, b: 262144}  # the kernel charges twice what is asked for
    env = {h: {"FLEXINS_RCVBUF": str(size[h] // 2)} for h in size}

    def pair(tool):
        s = lab.flexins(a, f"{tool} -p 18515", env=env[a])
        lab.wait_listening(s, 18515)
        return s, lab.flexins(b, f"{tool} -p 18515 {a.addr}", env=env[b])

    def known(h, addr):
        return next((p for p in lab.status(h)["peers"] if p["address"] == addr), {})

    gid = lab.gid_index(a, a.addr6)
    lab.wait_for(lambda: lab.status(a)["keeper"] is None, 20, "the keeper that this started, with default buffers, stays")
    for six in (False, True):
        s, c = pair(f"ib_write_bw -D 3 -x {gid if six else 0}")
        for h, other in ((a, b), (b, a)):
            addr = other.addr6 if six else other.addr
            lab.wait_for(lambda: known(h, addr).get("kind") == "flexins", 15, f"{addr} is not known as FlexiNS")
            p = known(h, addr)
            lab.expect(p["receive_buffer"] == size[other] and p["extensions"] == ["credit", "sack"] and p["icrc"] == ["standard"], f"known: {p}")
            lab.expect(f"{addr} " in lab.command(h, "status") and f"receive buffer {size[other]} B" in lab.command(h, "status"),
                       "the text form does not say it")
        lab.finish_pair(s, c, 30)
    s, c = pair("ib_send_bw -c UD -D 5")
    lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
    time.sleep(0.5)
    before, lost_before = lab.counters(b)["tx_packets"], buffer_overruns(lab, a)
    time.sleep(2)
    sent, lost = lab.counters(b)["tx_packets"] - before, buffer_overruns(lab, a) - lost_before
    lab.expect(sent > 1000, "no traffic any more")
    lab.expect(lost == 0, f"{lost} datagrams of {sent} found the small buffer full")
    lab.finish_pair(s, c, 30)


def chooses_wire(topology, shm):
    """Left to itself: shared memory within a host, UDP to others, and the statistics say so."""

    def run(lab):
        a, b = (lab.alone(),) * 2 if topology == "lo" else lab.joined(int(topology))
        s, c = lab.pair(a, b, "ib_send_bw -b -D 3", 18515, env={"FLEXINS_LOG": "info"})
        lab.finish_pair(s, c, 30, [PERFTEST_OK])
        for p in (s, c):
            n = {k: int(v) for k, v in re.findall(r" (\w+)=(\d+)", p.text())}
            lab.expect(n["tx_packets"] > 1000, f"{p.label}: {n}")
            for k in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes"):
                part = n.get("shm_" + k, 0)
                # What a program has to say to one that has left already goes over UDP.
                lab.expect(0.99 * n[k] <= part <= n[k] if shm else part == 0, f"{p.label}: {k}: {n}")

    return run


def lends(lab):
    """Between processes of one host the receiver fetches large SENDs itself, and both say so; small ones among them keep their order."""
    host = lab.alone()
    env = {"FLEXINS_LOG": "info"}
    for i, (cmd, ok, lent) in enumerate((("ibv_rc_pingpong -g 0 -c -s 300001 -m 4096 -n 300", PINGPONG_OK, True),
                                         ("ibv_rc_pingpong -g 0 -c -e -s 8193 -m 256 -n 300", PINGPONG_OK, True),
                                         ("ibv_srq_pingpong -g 0 -c -s 20000 -m 1024", PINGPONG_OK, True),
                                         ("ib_send_bw -a -n 60 -r 64", PERFTEST_OK, True),
                                         ("ib_send_lat -a -n 200", PERFTEST_OK, True),
                                         ("ibv_rc_pingpong -g 0 -c -s 4096 -m 4096", PINGPONG_OK, False))):
        s, c = lab.pair(host, host, cmd, 18515 + i, env=env)
        lab.finish_pair(s, c, 60, [ok])
        for p in (s, c):
            n = {k: int(v) for k, v in re.findall(r" (\w+)=(\d+)", p.text())}
            lab.expect("invalid data" not in p.text(), f"{p.label}: invalid data")
            lab.expect("fetches_refused" not in n and (("lent_packets" in n or "fetched_packets" in n) == lent), f"{p.label}: {n}")


def wire_option(lab):
    a, b = lab.joined(1500)
    lab.expect("--wire='tcp': expected auto" in lab.command(a, "run --wire=tcp -- true", status=2), "--wire=tcp")
    lab.expect("FLEXINS_WIRE='x': expected auto" in lab.command(a, "run -- true", status=2, env={"FLEXINS_WIRE": "x"}), "FLEXINS_WIRE=x")
    lab.wire = "shm"  # reaches no other host, and says so
    s, c = lab.pair(a, b, "ibv_rc_pingpong -g 0", 18515)
    lab.expect(c.wait(20) != 0 and "modify QP to RTR" in s.text() + c.text(), "a path to another host through shared memory")
    s.kill()


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


def program(name, wire=None, env=None):
    def run(lab):
        lab.wire = wire
        p = lab.flexins(lab.alone(), f"{{progs}}/{name}", env=env)
        rc = p.wait(90)
        if rc:
            raise Failed(f"{name}: exit status {rc}")
        lab.expect(re.search(r"[1-9]\d* checks, 0 failures", p.text()), f"{name} checked nothing")

    return run


# --- what the mechanisms are compared with ---

# (option, value, whether shared memory does it too)
MODES = (("tx", "dma-assisted", True), ("tx", "copy", True), ("rx", "ring", False), ("pipe", "doorbell", True))
MODE_PAIRS = (("ibv_rc_pingpong -g 0 -c", "1500"), ("ibv_ud_pingpong -g 0 -s 1024 -c", "lo"), ("ibv_srq_pingpong -g 0 -c -e", "1500"),
              ("ib_send_bw -b -q 4 -n 1000", "4200"), ("ib_write_bw -a -n 30", "lo"), ("ib_read_bw -n 500", "4200"),
              ("ib_atomic_bw -q 8", "lo"))


def mode_env(option, value):
    return {f"FLEXINS_{option.upper()}": value}


def in_mode(option, value, cmd, topology):
    def run(lab):
        server, client = lab.hosts_of(topology)
        s, c = lab.pair(server, client, cmd, 18515, env=mode_env(option, value))
        lab.finish_pair(s, c, 120, [PINGPONG_OK if cmd.startswith("ibv_") else PERFTEST_OK])
        for p in (s, c):
            lab.expect("invalid data" not in p.text(), f"{p.label}: invalid data")

    return Case(f"{cmd} over {topology}, {option} {value}", run)


def mode_cases():
    for option, value, shm in MODES:
        for cmd, topology in MODE_PAIRS:
            yield in_mode(option, value, cmd, topology)
        if shm:
            yield in_mode(option, value, "ibv_rc_pingpong -g 0 -c -s 100000 -m 4096 -n 200", "shm")
        for wire in ("udp", "shm") if shm else ("udp",):
            yield Case(f"the data sent is the data received, over {wire}, {option} {value}",
                       program("integrity", wire, env=mode_env(option, value)))
        yield Case(f"the data sent is the data received, under faults, {option} {value}",
                   lambda lab, o=option, v=value: integrity_under_faults(lab, mode_env(o, v)))
    for cc in ("dcqcn", "timely", "swift:target_us=200"):
        yield Case(f"the data sent is the data received, over udp, cc {cc}", program("integrity", "udp", env={"FLEXINS_CC": cc}))


def modes_counted(lab):
    """`flexins status` says how payload travels, and how much of it was copied: none, once, twice."""
    a, b = lab.joined(4200)
    for value, referenced, copied in (("header-only", 1, 0), ("dma-assisted", 0, 1), ("copy", 0, 2)):
        env = {"FLEXINS_TX": value, "FLEXINS_RX": "ring:40", "FLEXINS_PIPE": "doorbell"}
        s, c = lab.pair(a, b, "ib_write_bw -D 300", 18515, env=env)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 2000, 15, "no traffic")
        slot = lab.status(b)["slots"][0]
        lab.expect((slot["tx"], slot["rx"], slot["pipe"]) == (value, "ring", "doorbell"), f"status says {slot}")
        lab.expect(slot["cc"] == "static_window", f"status says {slot}")
        n, sent = slot["statistics"], slot["queue_pairs"][0]["tx_bytes"]
        # What was sent again is counted by that name.
        again = n["tx_copied_again"]
        for name, want in (("tx_payload_referenced", referenced), ("tx_copied_mode", copied)):
            lab.expect((sent - again) * want * 0.9 - 1 <= n[name] <= sent * want * 1.1, f"{value}: {name} {n[name]} of {sent}")
        lab.expect(slot["payload_copied"] == sum(v for k, v in n.items() if k.startswith("tx_copied_")), "the sum of the reasons")
        lab.expect(f"tx {value}, rx ring, pipe doorbell" in lab.command(b, "status"), "the text form does not say it")
        lab.goes_on(b, s, c)
        for p in (s, c):
            p.kill()
        lab.wait_for(lambda: not lab.status(b)["slots"] and not lab.status(a)["slots"], 10, "the slot is still leased")


def mode_options(lab):
    h = lab.alone()
    for args, env, word in (("--tx=rdma", {}, "--tx='rdma': expected header-only"), ("--rx=ring:31", {}, "--rx='ring:31': expected in-cache"),
                            ("--pipe=bell", {}, "--pipe='bell': expected phase"), ("", {"FLEXINS_TX": "x"}, "FLEXINS_TX='x': expected"),
                            ("", {"FLEXINS_RX": "x"}, "FLEXINS_RX='x': expected"), ("", {"FLEXINS_PIPE": "x"}, "FLEXINS_PIPE='x': expected"),
                            ("--cc=vegas", {}, "--cc: no congestion control 'vegas'; there are: static_window, dcqcn"),
                            ("--transport=tcp", {}, "--transport='tcp': expected irn or gbn"),
                            ("", {"FLEXINS_CC": "swift:target_us=0"}, "FLEXINS_CC: swift: 'target_us=0': expected target_us=N with N from 1"),
                            ("--rx=ring --wire=shm", {}, "shared memory has no receive buffers"),
                            ("--wire=shm", {"FLEXINS_RX": "ring"}, "shared memory has no receive buffers")):
        lab.expect(word in lab.command(h, f"run {args} -- true", status=2, env=env), f"{args} {env}")
    lab.command(h, "run --tx=copy --rx=ring:4096 --pipe=doorbell -- true")
    # Left to itself the wire is then udp.
    s, c = lab.pair(h, h, "ib_send_bw -n 500", 18515, env={"FLEXINS_RX": "ring", "FLEXINS_LOG": "info"})
    lab.finish_pair(s, c, 30, [PERFTEST_OK])
    lab.expect(" tx_packets=" in c.text() and " shm_tx_packets=" not in c.text(), "a ring of receive buffers, yet shared memory")


# --- the fault laboratory ---

FAULTS = "loss=1%,dup=1%,reorder=3,corrupt=1%,seed=7"
FAULT_COUNTERS = ("drop_sim_fault", "fault_duplicates", "fault_reorders", "fault_corruptions")


def slot_pids(lab, host):
    return [s["pid"] for s in lab.status(host)["slots"]]


def under_faults(cmd, spec=FAULTS, t=120, want=FAULT_COUNTERS, topology="4200"):
    """Complete and without error on a network that is anything but; the tools agree on the end over TCP."""

    def run(lab):
        a, b = lab.hosts_of(topology)
        s, c = lab.pair(a, b, cmd, 18515, env={"FLEXINS_FAULT": spec, "FLEXINS_LOG": "info"})
        lab.finish_pair(s, c, t, [PERFTEST_OK])
        both = lab.logs(s, c)
        for name in want:
            lab.expect(re.search(rf" {name}=[1-9]", both), f"{name} is 0: no such fault happened")

    return Case(f"{cmd} under faults" + (" over shm" if topology == "shm" else ""), run)


def repaired(transport):
    """With selective repeat what is lost is repeated, and little else; it is agreed on by itself, and can be turned off."""

    def run(lab):
        a, b = lab.hosts_of("4200")
        s, c = lab.pair(a, b, "ib_write_bw -n 3000", 18515,
                        env={"FLEXINS_FAULT": "loss=1%,seed=3", "FLEXINS_LOG": "info", "FLEXINS_TRANSPORT": transport})
        lab.finish_pair(s, c, 120, [PERFTEST_OK])
        both = lab.logs(s, c)
        n = {k: sum(int(v) for v in re.findall(rf" {k}=(\d+)", both))
             for k in ("irn_early", "irn_sacks_sent", "irn_repeats", "drop_sim_fault")}
        if transport == "gbn":
            lab.expect(not n["irn_early"] and not n["irn_sacks_sent"], f"go-back-N: {n}")
        else:
            lab.expect(n["irn_early"] and n["irn_sacks_sent"] and n["irn_repeats"] < 3 * n["drop_sim_fault"] + 100, f"irn: {n}")

    return Case(f"ib_write_bw -n 3000 with 1 % loss, transport {transport}", run)


def pingpong_under_faults(cmd):
    """The last acknowledgement of such a program has nobody left to repeat it, so the faults end before the program does."""

    def run(lab):
        a, b = lab.joined(1500)
        s, c = lab.pair(a, b, cmd, 18515, env={"FLEXINS_FAULT": FAULTS})
        lab.wait_for(lambda: lab.counters(b).get("drop_sim_fault", 0) >= 10, 30, "nothing was lost")
        for h in (a, b):
            for pid in slot_pids(lab, h):
                lab.expect("loss=1%" in lab.command(h, f"fault show --pid={pid}"), "fault show")
                lab.command(h, f"fault clear --pid={pid}")
                lab.expect("no faults" in lab.command(h, f"fault show --pid={pid}"), "faults after fault clear")
        lab.finish_pair(s, c, 60, [PINGPONG_OK])
        for p in (s, c):
            lab.expect("invalid data" not in p.text(), f"{p.label}: invalid data")

    return Case(f"{cmd} under faults", run)


def integrity_under_faults(lab, env=None):
    p = lab.flexins(lab.alone(), "{progs}/integrity",
                    env={"FLEXINS_FAULT": "loss=0.1%,dup=0.5%,reorder=3/0.5%,corrupt=0.1%", **(env or {})})
    lab.expect(p.wait(150) == 0 and re.search(r"[1-9]\d* checks, 0 failures", p.text()), "data differs")


def bad_faults(lab):
    h = lab.alone()
    for args, word in (("run --fault loss=1 -- true", "loss='1': expected a percentage"),
                       ("run --fault speed=1% -- true", "no fault 'speed'"),
                       ("fault set --pid=1 delay=5", "delay='5': expected a time"),
                       ("fault inject --pid=1 --qp=5 nonsense", "expected rnr, access"),
                       ("fault set loss=1%", "which program"), ("fault", "expected set, show"),
                       ("capture start --pid=1", "one file"), ("run --capture= -- true", "expected the name of a file")):
        lab.expect(word in lab.command(h, args, status=2), f"flexins {args} does not say {word!r}")
    lab.expect("no program of pid 1 " in lab.command(h, "fault show --pid=1", status=1), "fault show of nobody")
    p = lab.flexins(h, "ibv_devinfo", env={"FLEXINS_FAULT": "loss=1"})
    lab.expect(p.wait(20) == 2 and "FLEXINS_FAULT: loss='1'" in p.text(), "a wrong FLEXINS_FAULT is not refused")


def injected(what, extra, cmd, status):
    """An error made for one queue pair is what its program sees; status None: it goes on."""

    def run(lab):
        a, b = lab.joined(4200)
        s, c = lab.pair(a, b, cmd, 18515)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
        slot = lab.status(b)["slots"][0]
        qp = f'0x{slot["queue_pairs"][0]["qpn"]:06x}'
        if what == "rnr" and not extra:
            text = lab.command(b, f"fault inject --pid={slot['pid']} --qp={qp} rnr", status=1)
            lab.expect("rnr_retry 7, which is for ever" in text, "an RNR error that can never happen is not refused")
        else:
            lab.command(b, f"fault inject --pid={slot['pid']} --qp={qp} {extra} {what}")
        if status is None:
            lab.goes_on(b, s, c)
            return
        lab.expect(c.wait(40) != 0, "the client saw no error")
        lab.expect(f"status {status}" in c.text(), f"the client does not say status {status}")
        s.kill()

    return Case(f"{cmd}: injected {what} {extra}".strip(), run)


def tshark(lab, path, *args):
    try:
        r = subprocess.run(["tshark", "-r", path, *args], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise Skipped("tshark is not installed") from None
    lab.expect(r.returncode == 0, f"tshark -r {path}: {r.stderr}")
    return r.stdout.splitlines()


def capture_dir(lab):
    d = tempfile.mkdtemp(prefix="flexins-capture-")
    os.chmod(d, 0o777)
    return d


def all_are_rocev2(lab, path, at_least):
    rows = tshark(lab, path, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-T", "fields", "-e", "frame.protocols",
                  "-e", "infiniband.bth.opcode", "-e", "ip.checksum.status", "-e", "udp.checksum.status", "-e", "_ws.malformed",
                  "-e", "_ws.expert.message")
    lab.expect(len(rows) >= at_least, f"{path}: {len(rows)} packets, not {at_least} or more")
    for i, row in enumerate(rows, 1):
        f = row.split("\t")
        lab.expect("udp:infiniband" in f[0] and f[1] and f[2] in ("", "1") and f[3] == "1" and not f[4] and not f[5],
                   f"{path}: packet {i} is {row!r}")
    return len(rows)


def captured(cmd, six=False, topology="4200"):
    """Each packet of both sides, as many as the wire counted, and tshark finds nothing to complain about. What is sent fits the
    capture's buffer, in case its writer is starved."""

    def run(lab):
        if not shutil.which("tshark"):
            raise Skipped("tshark is not installed")
        a, b = lab.hosts_of(topology)
        line = cmd.replace("{six}", str(lab.gid_index(a, a.addr6))) if six else cmd
        d = capture_dir(lab)
        try:
            s, c = lab.pair(a, b, line, 18515, env={"FLEXINS_CAPTURE": f"{d}/%p.pcapng", "FLEXINS_LOG": "info"})
            lab.finish_pair(s, c, 60)
            for p in (s, c):
                n = all_are_rocev2(lab, f"{d}/{p.pid}.pcapng", 100)
                sent, got = (sum(map(int, re.findall(rf" {k}=(\d+)", p.text()))) for k in ("tx_packets", "rx_packets"))
                lab.expect(n == sent + got, f"{n} packets captured, {sent} sent, {got} received")
        finally:
            shutil.rmtree(d)

    return Case(f"{cmd} captured" + (" over shm" if topology == "shm" else ""), run)


def capture_at_run_time(lab):
    if not shutil.which("tshark"):
        raise Skipped("tshark is not installed")
    a, b = lab.joined(4200)
    d = capture_dir(lab)
    try:
        s, c = lab.pair(a, b, "ib_write_bw -D 300", 18515)
        lab.wait_for(lambda: lab.counters(b).get("tx_packets", 0) > 1000, 20, "no traffic")
        spid, cpid = slot_pids(lab, a)[0], slot_pids(lab, b)[0]
        lab.command(b, f"fault set --pid={cpid} dir=tx,corrupt=5%")
        lab.command(a, f"capture start --pid={spid} {d}/x.pcapng")
        lab.expect("under way already" in lab.command(a, f"capture start --pid={spid} {d}/y.pcapng", status=1), "two captures")
        time.sleep(0.5)
        lab.command(a, f"capture stop --pid={spid}")
        lab.command(a, f"capture stop --pid={spid}", status=1)
        lab.command(b, f"fault clear --pid={cpid}")
        lab.goes_on(b, s, c)
        comments = [x for x in tshark(lab, f"{d}/x.pcapng", "-T", "fields", "-e", "frame.comment") if x]
        lab.expect(len(comments) > 3, f"{len(comments)} comments in the capture")
        lab.expect(all(x.startswith("dropped: drop_icrc") for x in comments), f"comments: {set(comments)}")
        if not lab.service:  # whose engine outlives its programs
            lab.command(a, f"capture start --pid={spid} {d}/x.pcapng", status=1)  # it is gone
    finally:
        shutil.rmtree(d)


def capture_names(lab):
    h, d = lab.alone(), capture_dir(lab)
    try:
        for _ in range(2):  # the second run replaces the capture of the first
            lab.command(h, f"run --capture={d}/x.pcapng -- sh -c 'ibv_devinfo -v; ibv_devinfo -v'", seconds=30)
            names = sorted(os.listdir(d))
            lab.expect(len(names) >= 2 and names[0] == "x.pcapng" and re.fullmatch(r"x\.pcapng\.\d+", names[1]), f"files: {names}")
        with open(f"{d}/precious", "w", encoding="ascii") as f:
            f.write("not a capture")
        os.chmod(f"{d}/precious", 0o666)
        text = lab.command(h, f"run --capture={d}/precious -- true", status=1)
        lab.expect("is no capture: not overwritten" in text, "a file that is no capture")
    finally:
        shutil.rmtree(d)


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
    Case("hosts know each other, and their receive buffers", hosts_know_each_other),
    Case("FLEXINS_PORT", other_port),
    Case("the wire chosen on one host", chooses_wire("lo", True)),
    Case("the wire chosen between hosts", chooses_wire("1500", False)),
    Case("large SENDs are fetched, over shm", lends),
    Case("flexins run --wire", wire_option),
    Case("flexins run --tx, --rx, --pipe", mode_options),
    Case("flexins status shows how payload travels", modes_counted),
    *mode_cases(),
    *[Case(f"256 MiB posted on 2048 queue pairs, {rx}", program("manyrecv", "udp", env={"FLEXINS_RX": rx})) for rx in ("in-cache", "ring")],
    Case("IPv6 switched off", no_ipv6),
    *[pair_case(row[0], topo, **(row[2] if len(row) > 2 else {})) for row in PAIRS for topo in row[1]],
    Case("the data sent is the data received", program("integrity", "udp")),
    Case("the data sent is the data received, over shm", program("integrity", "shm")),
    *[Case(f"posted and not polled for, over {w}", program("postquiet", w)) for w in ("udp", "shm")],
    Case("fork: the child's contexts are dead", program("forkchild")),
    *[Case(f"memory of all kinds, and atomics in it, over {w}", program("shared", w)) for w in ("udp", "shm")],
    Case("faults and captures: usage errors", bad_faults),
    *[under_faults(cmd) for cmd in ("ib_write_bw -n 600", "ib_send_bw -n 600", "ib_read_bw -n 600", "ib_atomic_bw -n 3000")],
    *[under_faults(cmd, topology="shm") for cmd in ("ib_send_bw -n 600", "ib_read_bw -n 600")],
    under_faults("ib_write_bw -n 1000 -q 4", "delay=200us,jitter=100us,reorder=8/2%", want=("fault_delays", "fault_reorders")),
    *[pingpong_under_faults(f"{x} -g 0 -c -n 20000") for x in ("ibv_rc_pingpong", "ibv_rc_pingpong -e", "ibv_srq_pingpong")],
    Case("the data sent is the data received, under faults", integrity_under_faults),
    *[Case(f"the data sent is the data received, under faults, over udp, transport {t}",
           lambda lab, t=t: integrity_under_faults(lab, {"FLEXINS_WIRE": "udp", "FLEXINS_TRANSPORT": t})) for t in ("irn", "gbn")],
    *[repaired(t) for t in ("irn", "gbn")],
    injected("access", "", "ib_write_bw -D 300", 10),
    injected("invalid", "", "ib_send_bw -D 300", 9),
    injected("retry", "", "ib_read_bw -D 300", 12),
    injected("rnr", "", "ib_send_bw -D 300", None),
    injected("rnr", "--count=20", "ib_send_bw -D 300", None),
    *[captured(cmd) for cmd in ("ib_send_bw -n 100", "ib_send_bw -n 100 -c UC", "ib_send_bw -n 100 -c UD", "ib_write_bw -n 100",
                                "ib_read_bw -n 100", "ib_atomic_bw -n 100", "ibv_rc_pingpong -g 0 -n 100")],
    *[captured(f"{cmd} -x {{six}}", six=True) for cmd in ("ib_send_bw -n 100", "ib_send_bw -n 100 -c UC", "ib_send_bw -n 100 -c UD")],
    *[captured(f"ib_send_bw -n 100 -c {c}", topology="shm") for c in ("RC", "UD")],
    captured("ib_write_bw -n 100 -x {six}", six=True, topology="shm"),
    Case("flexins capture start and stop, drops have comments", capture_at_run_time),
    Case("flexins run --capture: names of files", capture_names),
    ucx("rc_verbs,ud_verbs"),
    ucx("ud_verbs"),
    Case("four pairs at once on one host", several_pairs(FOUR, "lo"), alone=True),
    Case("four pairs at once on one host over shm", several_pairs(FOUR, "shm"), alone=True),
    Case("two hosts with two processes each", several_pairs(["ib_write_bw -D 3", "ib_send_bw -D 3"], "1500"), alone=True),
    Case("two hosts with four processes each, latency beside bandwidth",
         several_pairs(["ib_write_bw -D 3", "ib_send_lat -D 3", "ib_read_lat -D 3", "ib_send_bw -c UD -D 3"], "9000"), alone=True),
    Case("no steady-state loss, 1 queue pair", steady_state_loss(1), alone=True),
    Case("no steady-state loss, 8 queue pairs", steady_state_loss(8), alone=True),
]
