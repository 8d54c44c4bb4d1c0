#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests of the keeper with real processes and real packets, each case in a network namespace of its own.

usage: keeper_test.py FLEXINSD KEEPER_CLIENT [case ...]

Runs as any user (in a user namespace) or as root; cases that need several users need root and say so when they are skipped.
Exit status 77: no namespace can be made here.
"""
import array
import ctypes
import errno
import fcntl
import os
import platform
import random
import signal
import socket
import struct
import subprocess
import sys
import time

PORT = 4791
LIMIT_S = 20
OTHER_UID = 65534
QUARANTINE_S = 0.3
HELD, ORPHANED, QUARANTINED, OWN = 1, 2, 3, 4


class Skip(Exception):
    pass


def until(what, fn, limit=LIMIT_S):
    """Waits for fn() to be true; returns its value."""
    end = time.monotonic() + limit
    while True:
        value = fn()
        if value:
            return value
        assert time.monotonic() < end, "never happened: " + what
        time.sleep(0.02)


class Client:
    """One keeper_client process."""

    all = []

    def __init__(self, uid=None, env=None):
        full = dict(os.environ, **(env or {}))
        pre = None
        if uid is not None:
            def pre():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
        self.p = subprocess.Popen([CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=full,
                                  preexec_fn=pre, text=True, bufsize=1)
        Client.all.append(self)

    def send(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def answer(self):
        return self.p.stdout.readline().rstrip("\n")

    def ask(self, line):
        self.send(line)
        return self.answer()

    def lease(self):
        words = self.ask("lease").split()
        assert words and words[0] == "ok", "lease: " + " ".join(words)
        self.prefix, self.keeper = int(words[1]), int(words[2])
        return self

    def received(self):
        n, foreign = map(int, self.ask("recv").split())
        assert foreign == 0, "%d packets of another slot" % foreign
        return n

    def status(self):
        words = self.ask("status").split()
        assert words[-3] == "keeper", " ".join(words)
        slots = {}
        for w in words[:-3]:
            prefix, state, pid, uid, comm, stats = w.split(":")
            slots[int(prefix)] = (int(state), int(pid), int(uid), comm, stats)
        self.unclaimed = int(words[-1])
        return slots

    def state(self, prefix):
        return self.status().get(prefix, (0,))[0]

    def reconnects(self):
        return int(self.ask("info").split()[2])

    def kill(self):
        self.p.kill()
        self.p.wait()


def packet(prefix, size=64):
    return struct.pack("!BBHBBBB", 4, 0, 0xffff, 0, prefix, 0x12, 0x34) + bytes(size - 8)


def sender(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)


def send_all(n=1, prefixes=range(256)):
    """n packets to every prefix, over IPv4 and IPv6 by turns."""
    s4, s6 = sender(), sender(socket.AF_INET6)
    for i in range(n):
        for p in prefixes:
            if (p + i) % 2:
                s4.sendto(packet(p), ("127.0.0.1", PORT))
            else:
                s6.sendto(packet(p), ("::1", PORT))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"


def kill_keeper(pid, sig=signal.SIGKILL):
    os.kill(pid, sig)
    until("keeper %d ends" % pid, lambda: not alive(pid))


def steering_is_exact(clients, n=3):
    """Each client gets its own packets and nobody else's; packets to unleased slots go nowhere."""
    for c in clients:
        c.received()
    send_all(n)
    time.sleep(0.05)
    for c in clients:
        got = c.received()
        assert got == n, "slot %d received %d of %d packets" % (c.prefix, got, n)


# ---- cases -------------------------------------------------------------------------------------------------------------------

def case_lease_release_lease():
    a = Client().lease()
    assert a.prefix == 1
    steering_is_exact([a])
    assert a.ask("release") == "ok"
    a.lease()
    assert a.prefix == 2, "a slot never used comes before one just released"
    steering_is_exact([a])
    b = Client().lease()
    assert (b.prefix, b.keeper) == (3, a.keeper)
    steering_is_exact([a, b])


def case_steering_all_256():
    """Every slot's socket, by one process each for a few and by one process for the rest."""
    cs = [Client().lease() for _ in range(254)]
    assert sorted(c.prefix for c in cs) == list(range(1, 255))
    before = (cs[0].status(), cs[0].unclaimed)[1]
    steering_is_exact(cs, 2)
    s = sender()
    for junk in (b"", b"x", b"12345"):
        s.sendto(junk, ("127.0.0.1", PORT))
    cs[0].status()
    assert cs[0].unclaimed == before + 2 + 3, "slot 0 takes its own packets and those too short to steer"
    answer = Client().ask("lease")
    assert answer.startswith("error -%d all 254 slots of UDP port 4791 are in use (254 by processes" % errno.ENOSPC), answer
    kill_keeper(cs[0].keeper)
    for c in cs:
        until("slot %d reconnects" % c.prefix, lambda: c.reconnects() == 1)
    steering_is_exact(cs, 2)


def case_exhaustion():
    a = Client()
    n, rc, text = a.ask("exhaust").split(" ", 2)
    assert (int(n), int(rc)) == (254, -errno.ENOSPC) and "all 254 slots of UDP port 4791 are in use" in text, (n, rc, text)
    assert a.ask("release-one") == "ok"
    b = Client().lease()
    steering_is_exact([b])


def case_control_data():
    """What the documentation of the leased socket promises about addresses and traffic class."""
    a = Client().lease()
    s4, s6 = sender(), sender(socket.AF_INET6)
    s4.sendto(packet(a.prefix), ("127.0.0.1", PORT))
    time.sleep(0.05)
    d4 = a.ask("recv-detail")
    s6.sendto(packet(a.prefix), ("::1", PORT))
    time.sleep(0.05)
    d6 = a.ask("recv-detail")
    assert "41/50(mapped)" in d4 and " 0/1;" in d4 and " 0/8" not in d4, d4
    assert "41/50(v6)" in d6 and "41/67" in d6, d6


def case_zero_checksum_ipv6():
    a = Client().lease()
    s = sender(socket.AF_INET6)
    s.setsockopt(socket.IPPROTO_UDP, 101, 1)  # UDP_NO_CHECK6_TX
    s.sendto(packet(a.prefix), ("::1", PORT))
    time.sleep(0.05)
    assert a.received() == 1


def case_gro():
    gso = struct.pack("H", 64)
    for env, want in (({}, 1), ({"FLEXINS_GRO": "off"}, 10)):
        a = Client(env=env).lease()
        s = sender()
        s.sendmsg([packet(a.prefix) * 10], [(socket.IPPROTO_UDP, 103, gso)], 0, ("127.0.0.1", PORT))
        time.sleep(0.05)
        got = a.received()
        assert got == want, "%s: %d receives for a train of ten" % (env, got)
        a.ask("release")
        until("the keeper leaves", lambda: not alive(a.keeper))


def case_multicast_reaches_no_lessee():
    a = Client().lease()
    s = sender()
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    member = sender()
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                      socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1"))
    s.sendto(packet(a.prefix), ("239.1.2.3", PORT))
    time.sleep(0.05)
    assert a.received() == 0


def case_keeper_leaves():
    a = Client().lease()
    a.ask("release")
    assert alive(a.keeper)
    until("the keeper leaves", lambda: not alive(a.keeper))
    words = a.ask("lease-no-start")
    assert words.startswith("error -%d no keeper runs" % errno.ECONNREFUSED), words
    a.lease()


def case_stay_and_sigterm():
    assert subprocess.run([DAEMON, "--stay", "--linger=0.1"], timeout=LIMIT_S).returncode == 0
    again = subprocess.run([DAEMON], capture_output=True, text=True, timeout=LIMIT_S)
    assert again.returncode == 3 and "runs already" in again.stderr, again
    a = Client().lease()
    a.ask("release")
    time.sleep(0.5)
    assert alive(a.keeper)
    kill_keeper(a.keeper, signal.SIGTERM)
    # Told to stop while somebody needs it: the next one takes over.
    subprocess.run([DAEMON, "--stay"], check=True, timeout=LIMIT_S)
    a.lease()
    kill_keeper(a.keeper, signal.SIGTERM)
    until("reconnect", lambda: a.reconnects() == 1)
    steering_is_exact([a])


def case_kill_keeper():
    a, b = Client().lease(), Client().lease()
    for n in range(1, 4):
        keeper = int(a.ask("info").split()[1])
        s = sender()
        s.sendto(packet(a.prefix), ("127.0.0.1", PORT))
        kill_keeper(keeper)
        until("reconnect", lambda: a.reconnects() == n and b.reconnects() == n)
        assert a.received() == 1, "what waited in the socket outlives the keeper"
        steering_is_exact([a, b])
    c = Client().lease()
    assert c.prefix == 3 and c.keeper == int(a.ask("info").split()[1]) != keeper
    steering_is_exact([a, b, c])
    slots = c.status()
    assert [slots[i][0] for i in (1, 2, 3)] == [HELD] * 3 and slots[1][1] == a.p.pid


def case_kill_keeper_newcomer_first():
    """A newcomer without the vault starts the next keeper while the old clients sleep: it must wait for them, not scatter the group."""
    a = Client().lease()
    os.kill(a.p.pid, signal.SIGSTOP)
    kill_keeper(a.keeper)
    b = Client()
    b.send("lease")
    time.sleep(0.3)
    os.kill(a.p.pid, signal.SIGCONT)
    words = b.answer().split()
    assert words[0] == "ok", words
    b.prefix, b.keeper = int(words[1]), int(words[2])
    assert b.prefix == 2
    until("reconnect", lambda: a.reconnects() == 1)
    steering_is_exact([a, b])


def case_kill_keeper_client_never_wakes():
    """... and if they sleep for good, the error names them."""
    a = Client().lease()
    os.kill(a.p.pid, signal.SIGSTOP)
    kill_keeper(a.keeper)
    answer = Client().ask("lease")
    assert "UDP port 4791 is taken by pid %d (keeper_client)" % a.p.pid in answer, answer
    os.kill(a.p.pid, signal.SIGCONT)
    until("reconnect", lambda: a.reconnects() == 1)
    steering_is_exact([a])


def case_orphan():
    """A client that died together with its keeper: its slot comes back once nobody is seen to have its socket."""
    a, b = Client().lease(), Client().lease()
    os.kill(a.p.pid, signal.SIGSTOP)
    kill_keeper(b.keeper)
    until("reconnect", lambda: b.reconnects() == 1)
    assert b.state(a.prefix) == ORPHANED
    c = Client().lease()
    assert c.prefix == 3
    time.sleep(QUARANTINE_S * 3)
    assert b.state(a.prefix) == ORPHANED, "stopped, but alive"
    a.kill()
    until("reclaimed", lambda: b.state(a.prefix) == 0)
    steering_is_exact([b, c])


def case_race_to_restart():
    cs = [Client().lease() for _ in range(12)]
    for n in range(1, 6):
        kill_keeper(int(cs[0].ask("info").split()[1]))
        for c in cs:
            until("reconnect", lambda: c.reconnects() >= n)
        keepers = {c.ask("info").split()[1] for c in cs}
        assert len(keepers) == 1, keepers
        steering_is_exact(cs)
    assert all(c.ask("info").split()[3] == "0" for c in cs), "a reconnect failed on the way"


def case_race_to_start():
    for _ in range(3):
        cs = [Client() for _ in range(12)]
        for c in cs:
            c.send("lease")
        words = [c.answer().split() for c in cs]
        assert all(w[0] == "ok" for w in words), words
        assert len({w[2] for w in words}) == 1 and len({w[1] for w in words}) == 12
        for c in cs:
            c.ask("release")
        until("the keeper leaves", lambda: not alive(int(words[0][2])))


def case_start_while_leaving():
    """Clients that come just as the keeper leaves never see it: each is served by this one or by the next."""
    env = {"FLEXINS_LINGER": "0"}
    for _ in range(40):
        a = Client(env=env).lease()
        a.ask("release")
        a.p.stdin.close()
        a.p.wait()


def case_client_killed():
    a, b = Client().lease(), Client().lease()
    a.kill()
    until("noticed", lambda: b.state(a.prefix) != HELD)
    until("free again", lambda: b.state(a.prefix) == 0)
    until("the rest is exact", lambda: True)
    steering_is_exact([b])


def case_client_forked_and_killed():
    a, b = Client().lease(), Client().lease()
    child = int(a.ask("fork 60"))
    a.kill()
    until("noticed by pidfd, with the connection still open", lambda: b.state(a.prefix) == QUARANTINED)
    send_all(1)
    time.sleep(QUARANTINE_S * 3)
    assert b.state(a.prefix) == QUARANTINED, "the child still has the socket"
    os.kill(child, signal.SIGKILL)
    until("free again", lambda: b.state(a.prefix) == 0)
    b.received()
    steering_is_exact([b])


def case_quarantine_is_bounded():
    a, b = Client().lease(), Client().lease()
    child = int(a.ask("fork 60"))
    a.kill()
    until("free in the end", lambda: b.state(a.prefix) == 0)
    assert alive(child)
    os.kill(child, signal.SIGKILL)


def case_status():
    a, b = Client(), Client().lease()
    a.ask("stats hello")
    a.lease()
    slots = b.status()
    uid = os.geteuid()
    assert slots[a.prefix] == (HELD, a.p.pid, uid, "keeper_client", "hello"), slots
    assert slots[b.prefix] == (HELD, b.p.pid, uid, "keeper_client", ""), slots
    assert slots[0][0] == OWN and slots[255][0] == OWN and len(slots) == 4
    kill_keeper(a.keeper)
    until("reconnect", lambda: a.reconnects() == 1 and b.reconnects() == 1)
    assert b.status()[a.prefix][4] == "hello", "the statistics move to the new keeper"


def case_no_children():
    """Starting the keeper leaves the application nothing to reap and raises no SIGCHLD."""
    a = Client(env={"FLEXINS_KEEPER_LOG": ""}).lease()
    assert a.ask("children") == "-1 %d 0" % errno.ECHILD
    with open("/proc/%d/stat" % a.keeper) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    assert int(fields[1]) != a.p.pid and int(fields[3]) == int(os.getsid(a.keeper)) != os.getsid(0)
    assert os.readlink("/proc/%d/cwd" % a.keeper) == "/"
    links = [os.readlink("/proc/%d/fd/%s" % (a.keeper, i)) for i in "012"]
    assert links == ["/dev/null"] * 3, links


def case_command_substitution():
    start = time.monotonic()
    out = subprocess.run(["sh", "-c", "x=$(\"$0\" lease); echo \"got $x\"", CLIENT], stdout=subprocess.PIPE, text=True,
                         env=dict(os.environ, FLEXINS_LINGER="6"), timeout=LIMIT_S).stdout
    assert out.startswith("got ok 1 "), out
    assert time.monotonic() - start < 4, "the keeper kept the pipe open"
    os.kill(int(out.split()[3]), signal.SIGTERM)


def case_port_taken():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", PORT))
    answer = Client().ask("lease")
    want = "UDP port 4791 is taken by pid %d (" % os.getpid()
    assert want in answer and "stop it or set FLEXINS_PORT" in answer, answer
    a = Client(env={"FLEXINS_PORT": "14791"}).lease()
    assert a.prefix == 1
    s.close()
    Client().lease()


def case_port_taken_same_group():
    """A program of ours that even allows sharing the port is not joined."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("::", PORT))
    answer = Client().ask("lease")
    assert "UDP port 4791 is taken by pid %d (" % os.getpid() in answer, answer


def case_bad_environment():
    answer = Client(env={"FLEXINS_PORT": "99999"}).ask("lease")
    assert answer == "error -%d FLEXINS_PORT=99999 is not a UDP port" % errno.EINVAL, answer
    answer = Client(env={"FLEXINS_DAEMON": "/nonexistent/flexinsd"}).ask("lease")
    assert "FLEXINS_DAEMON=/nonexistent/flexinsd cannot be executed" in answer, answer
    answer = Client(env={"FLEXINS_DAEMON": "/bin/false"}).ask("lease")
    assert "ended before it was ready" in answer, answer
    answer = Client(env={"FLEXINS_DAEMON": "", "PATH": "/nonexistent"}).ask("lease")
    assert "nor in PATH" in answer, answer
    assert Client().ask("lease").startswith("ok ")


def keeper_name(uid, port=PORT):
    return "\0flexins-keeper-%d-%d" % (uid, port)


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(keeper_name(os.geteuid()))
    s.settimeout(LIMIT_S)
    return s


def case_garbage():
    a = Client().lease()
    count_fds = lambda: len(os.listdir("/proc/%d/fd" % a.keeper))
    before, sent = count_fds(), 0
    rng = random.Random(4791)
    kinds = (1, 2, 3, 4, 5, 6, 16, 17, 18, 19, 20, 0, 99, 65535)
    files = [os.open("/dev/null", os.O_RDWR), os.memfd_create("x"), sender().detach(), socket.socket(socket.AF_UNIX).detach()]
    for i in range(4000):
        s = connect()
        for _ in range(rng.randrange(1, 4)):
            body = bytearray(rng.randbytes(rng.choice((1, 16, 247, 248, 248, 248, 249, 4096))))
            if rng.random() < 0.7:
                body[0:8] = struct.pack("=IHH", 0x464e534b, rng.choice((2, 2, 2, 1)), rng.choice(kinds))
            if rng.random() < 0.5:
                body[12:16] = struct.pack("=I", rng.choice((0, 1, 2, 254, 255, 256, 2**31, 2**32 - 1)))
            fds = [rng.choice(files) for _ in range(rng.choice((0, 0, 1, 2, 3, 4, 30)))]
            try:
                s.sendmsg([body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
                sent += 1
            except OSError:
                break
        s.close()
    assert alive(a.keeper) and sent > 4000, sent
    until("all descriptors are given back", lambda: count_fds() <= before)
    steering_is_exact([a])
    b = Client()
    until("lease after garbage", lambda: b.ask("lease").startswith("ok"))


def case_silent_clients():
    """Connections that never say or read anything cost the others nothing."""
    a = Client().lease()
    idle = [connect() for _ in range(200)]
    flood = connect()
    flood.settimeout(0.2)
    body = struct.pack("=IHHiI", 0x464e534b, 2, 4, 0, 0)
    try:
        for _ in range(5000):
            flood.send(body + bytes(248 - len(body)))
    except OSError:
        pass
    b = Client().lease()
    steering_is_exact([a, b])
    assert len(idle) == 200


def case_false_vault():
    """A vault that does not hold the group is refused."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    b.sendmsg([struct.pack("=III", 0x464e534b, 0, 64)],
              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [b.fileno()] * 64))])
    b.close()
    p = subprocess.run([DAEMON, "--foreground", "--vault-fd=%d" % a.fileno()], pass_fds=[a.fileno()], capture_output=True,
                       text=True, timeout=LIMIT_S)
    assert p.returncode == 1 and "does not hold the group" in p.stderr, p


def case_false_reattach():
    """Nobody gets a slot by asking for it: the very socket is the proof."""
    a = Client().lease()
    x = sender()
    for prefix in (a.prefix, 9, 0, 255, 256, 2**32 - 1):
        s = connect()
        body = struct.pack("=IHHiI", 0x464e534b, 2, 2, 0, prefix)
        fds = array.array("i", [x.fileno()] * 2)
        s.sendmsg([body + bytes(248 - len(body))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        kind, err = struct.unpack_from("=Hi", s.recv(4096), 6)
        assert kind == 19 and err == -errno.ESTALE, (prefix, kind, err)
    steering_is_exact([a])


def need_users():
    if not REAL_ROOT:
        raise Skip("needs root for a second user")


def case_other_users_keeper():
    need_users()
    a = Client(uid=OTHER_UID).lease()
    answer = Client().ask("lease")
    assert "another user's keeper (uid %d) owns UDP port 4791" % OTHER_UID in answer, answer
    steering_is_exact([a])


def case_roots_keeper():
    need_users()
    a = Client().lease()
    answer = Client(uid=OTHER_UID).ask("lease")
    assert "belongs to uid 0 and does not serve uid %d" % OTHER_UID in answer, answer
    kill_keeper(a.keeper, signal.SIGTERM)
    until("reconnect", lambda: a.reconnects() == 1)
    a.ask("release")
    until("gone", lambda: Client().ask("status").startswith("error"))
    subprocess.run([DAEMON, "--allow-uid=%d" % OTHER_UID, "--stay"], check=True, timeout=LIMIT_S)
    b, c = Client(uid=OTHER_UID).lease(), Client().lease()
    assert b.keeper == c.keeper
    assert c.status()[b.prefix][2] == OTHER_UID
    steering_is_exact([b, c])
    kill_keeper(b.keeper)
    until("reconnect", lambda: b.reconnects() == 1 and c.reconnects() == 1)
    assert Client(uid=OTHER_UID).lease().prefix == 3, "the next keeper serves whom the last one did"
    steering_is_exact([b, c])


def case_squatted_name():
    need_users()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        os.setresuid(OTHER_UID, OTHER_UID, OTHER_UID)
        s.bind(keeper_name(0))
        s.listen()
        time.sleep(60)
        os._exit(0)
    try:
        time.sleep(0.2)
        answer = Client().ask("lease")
        assert "is taken by a program of uid %d (pid %d)" % (OTHER_UID, pid) in answer, answer
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def with_limit(limit, command):
    """One command of a client, as an ordinary user where we can, under a limit of open files."""
    def pre():
        if REAL_ROOT:
            os.setresgid(OTHER_UID, OTHER_UID, OTHER_UID)
            os.setresuid(OTHER_UID, OTHER_UID, OTHER_UID)
    return subprocess.run(["sh", "-c", "ulimit %s; exec \"$0\" %s" % (limit, command), CLIENT], stdout=subprocess.PIPE,
                          text=True, timeout=LIMIT_S, preexec_fn=pre).stdout


def case_few_descriptors():
    """A user with few open files allowed by default still gets a keeper, which raises its own limit as far as it may."""
    out = with_limit("-S -n 64", "lease")
    assert out.startswith("ok 1 "), out
    kill_keeper(int(out.split()[2]))
    for _ in range(30):  # descriptors in flight count per user: other keepers of this user, elsewhere, may hold some just now
        out = with_limit("-n 1024", "exhaust")
        if "in flight" not in out:
            break
        time.sleep(1)
    assert out.startswith("254 -%d " % errno.ENOSPC), out


def case_too_few_descriptors():
    out = with_limit("-n 500", "lease")
    assert "the limit of open files (RLIMIT_NOFILE) is 500 and cannot be raised" in out, out


def case_no_ipv6_addresses():
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as f:
        f.write("1")
    a = Client().lease()
    s4 = sender()
    for p in range(256):
        s4.sendto(packet(p), ("127.0.0.1", PORT))
    time.sleep(0.05)
    assert a.received() == 1


def refuse_ipv6_sockets():
    """A seccomp filter under which the kernel looks as if it had no IPv6; children inherit it."""
    number = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
    if not number:
        raise Skip("no system call number of socket() for this machine")
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, number),  # the call is socket(...
            (0x20, 0, 0, 16), (0x15, 0, 1, socket.AF_INET6),  # ... AF_INET6, ...
            (0x06, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (0x06, 0, 0, 0x7fff0000)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    prog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, prog, 0, 0) != 0:
        raise Skip("no seccomp: " + os.strerror(ctypes.get_errno()))


def case_kernel_without_ipv6():
    refuse_ipv6_sockets()
    a = Client()
    words = a.ask("lease").split()
    assert words[0] == "ok" and words[4] == "ipv6=0", words
    s4 = sender()
    for p in range(256):
        s4.sendto(packet(p), ("127.0.0.1", PORT))
    time.sleep(0.05)
    d = a.ask("recv-detail")
    assert d.startswith("64 ") and " 0/8" in d and " 0/1" in d and d.endswith("1 0"), d
    kill_keeper(int(words[2]))
    until("reconnect", lambda: a.reconnects() == 1)
    for p in range(256):
        s4.sendto(packet(p), ("127.0.0.1", PORT))
    time.sleep(0.05)
    assert a.received() == 1


# ---- running them ------------------------------------------------------------------------------------------------------------

def enter_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    try:
        if libc.unshare(0x40000000 | (0x10000000 if uid else 0)) != 0:  # CLONE_NEWNET, CLONE_NEWUSER
            raise OSError(ctypes.get_errno(), "unshare")
        if uid:
            for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
                with open("/proc/self/" + name, "w") as f:
                    f.write(text)
        with sender() as s:
            fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    except OSError as e:
        raise Skip("no network namespace can be made here: %s" % e)


def in_namespace(fn):
    """Runs fn in a child of its own, which is in a fresh network (and, unprivileged, user) namespace with lo up."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        enter_namespace()
        fn()
        status = 0
    except Skip as e:
        print("   skipped: %s" % e)
        status = 77
    except BaseException as e:  # every failure is reported, whatever its kind
        import traceback
        traceback.print_exc()
    finally:
        for c in Client.all:
            c.p.kill()
        for c in Client.all:
            c.p.wait()
        sys.stdout.flush()
        sys.stderr.flush()
        # Keepers leave with their last client; those told to stay are told otherwise.
        for port in (PORT, 14791):
            for uid in (os.geteuid(), OTHER_UID):
                stop_keeper(uid, port)
        os._exit(status)


def stop_keeper(uid, port):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        s.connect(keeper_name(uid, port))
        pid = struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        os.kill(pid, signal.SIGTERM)
    except OSError:
        pass
    s.close()


def main():
    global DAEMON, CLIENT, REAL_ROOT
    DAEMON, CLIENT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    for name in list(os.environ):
        if name.startswith("FLEXINS_") and name not in ("FLEXINS_KEEPER_LOG", "FLEXINS_LOG"):
            del os.environ[name]
    os.environ.update(FLEXINS_DAEMON=DAEMON, FLEXINS_LINGER="0.3", FLEXINS_QUARANTINE=str(QUARANTINE_S))
    REAL_ROOT = os.getuid() == 0 and open("/proc/self/uid_map").read().split() == ["0", "0", "4294967295"]
    if in_namespace(lambda: None) == 77:
        return 77
    cases = {n[5:]: f for n, f in globals().items() if n.startswith("case_")}
    failed = []
    for name in sys.argv[3:] or cases:
        start = time.monotonic()
        rc = in_namespace(cases[name])
        verdict = {0: "ok", 77: "skip"}.get(rc, "FAILED")
        print("%-6s %s (%.1f s)" % (verdict, name, time.monotonic() - start), flush=True)
        if verdict == "FAILED":
            failed.append(name)
    if failed:
        print("failed: " + " ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
