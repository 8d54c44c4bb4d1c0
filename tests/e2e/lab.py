# SPDX-License-Identifier: Apache-2.0
"""The laboratory of one end-to-end case: hosts (network namespaces), links between them, and programs running on them."""
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time


# Limits are there to find what hangs; where the processors are busy with something else, everything takes a few times as long.
PATIENCE = 4
# perftest measures the clock of the processor before it reports, and gives up where that is too uneven, as on a busy virtual machine.
UNEVEN = "Correlation coefficient r^2"


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


class Case:
    """One row of a table. alone: not beside other cases. root: needs real root to arrange."""

    def __init__(self, name, fn, alone=False, root=False):
        self.name, self.fn, self.alone, self.root = name, fn, alone, root


_counter = [0]
_counter_lock = threading.Lock()


class Host:
    """A network namespace. addr and addr6 are its addresses on the link, or its own for a host by itself."""

    def __init__(self, name, addr, addr6, dev):
        self.name, self.addr, self.addr6, self.dev = name, addr, addr6, dev


class Program:
    """A running program with its output in a file."""

    def __init__(self, lab, host, cmd, prefix, env, label):
        self.lab, self.host, self.label = lab, host, label
        self.quiet = False  # plumbing of a test, of no interest once it has worked
        self.out = tempfile.TemporaryFile(mode="w+", errors="replace")
        self.p = subprocess.Popen(["ip", "netns", "exec", host.name, *prefix, *cmd], stdin=subprocess.DEVNULL, stdout=self.out,
                                  stderr=subprocess.STDOUT, env=env, cwd="/", start_new_session=True)
        self.pid = self.p.pid  # everything on the way execs, so this is the program itself

    def text(self):
        self.out.flush()
        return os.pread(self.out.fileno(), 1 << 20, 0).decode("utf-8", "replace")

    def running(self):
        return self.p.poll() is None

    def wait(self, seconds):
        """Exit status; a program that does not end in time fails the case."""
        try:
            return self.p.wait(PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.label} was still running after {PATIENCE * seconds:.0f} s") from None

    def wait_text(self, pattern, seconds):
        end = time.monotonic() + PATIENCE * seconds
        while not re.search(pattern, self.text()):
            if not self.running() and not re.search(pattern, self.text()):
                raise Failed(f"{self.label} ended with status {self.p.returncode} before it said {pattern!r}")
            if time.monotonic() > end:
                raise Failed(f"{self.label} did not say {pattern!r} within {PATIENCE * seconds} s")
            time.sleep(0.03)

    def kill(self, sig=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, sig)


class Lab:
    def __init__(self, setup, name):
        self.setup, self.name = setup, name
        with _counter_lock:
            _counter[0] += 1
            self.id = f"{os.getpid()}-{_counter[0]}"
        self.hosts, self.programs, self.notes = [], [], []
        self.wire = None  # for all programs; None: their default
        self.service = setup.service  # programs have their engine in a flexinsd --engine, one for each host
        self.engines = {}

    # --- hosts and links ---

    @staticmethod
    def sh(cmd, ok=False):
        r = subprocess.run(shlex.split(cmd), capture_output=True, text=True, timeout=30)
        if r.returncode and not ok:
            raise Failed(f"setting up: {cmd}: {r.stderr.strip()}")
        return r.stdout

    def _host(self, letter, addr, addr6, dev):
        h = Host(f"fns{self.id}{letter}", addr, addr6, dev)
        self.sh(f"ip netns add {h.name}")
        self.hosts.append(h)
        self.sh(f"ip -n {h.name} link set lo up")
        return h

    def alone(self):
        """A host with nothing but lo."""
        h = self._host("a", "127.0.0.1", "::1", "lo")
        self.sh(f"ip -n {h.name} addr add 2001:db8::1/128 dev lo nodad", ok=True)
        h.addr6 = "2001:db8::1"
        return h

    def joined(self, mtu=1500, ipv6=True):
        """Two hosts and a cable."""
        a = self._host("a", "192.0.2.1", "2001:db8::1", "eth1")
        b = self._host("b", "192.0.2.2", "2001:db8::2", "eth1")
        self.sh(f"ip link add eth1 netns {a.name} mtu {mtu} type veth peer name eth1 netns {b.name} mtu {mtu}")
        for h in (a, b):
            self.sh(f"ip netns exec {h.name} sysctl -qw net.ipv6.conf.eth1.accept_dad=0", ok=True)
            self.sh(f"ip -n {h.name} addr add {h.addr}/24 dev eth1")
            if ipv6:
                self.sh(f"ip -n {h.name} addr add {h.addr6}/64 dev eth1 nodad")
            self.sh(f"ip -n {h.name} link set eth1 up")
        # The kernel reports the carrier a moment later; until then the port is down.
        for h in (a, b):
            self.wait_for(lambda h=h: '"operstate":"UP"' in self.sh(f"ip -n {h.name} -j link show eth1"), 10, "the link does not come up")
        return a, b

    def hosts_of(self, topology):
        """(server's host, client's host) of 'lo' (RoCEv2 over lo), 'shm' (one host, through shared memory) or an MTU."""
        if topology in ("lo", "shm"):
            self.wire = "udp" if topology == "lo" else "shm"
            h = self.alone()
            return h, h
        return self.joined(int(topology))

    # --- programs ---

    def env(self, extra=None):
        e = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8",
             "TMPDIR": "/tmp"}
        # What a developer sets to look closer.
        for k in ("FLEXINS_LOG", "FLEXINS_GSO", "FLEXINS_GRO"):
            if k in os.environ:
                e[k] = os.environ[k]
        if self.wire:
            e["FLEXINS_WIRE"] = self.wire
        e.update(extra or {})
        return e

    def engine(self, host, args="", env=None):
        """The service of this host, started when it is asked for first."""
        p = self.engines.get(host.name)
        if p is None or not p.running():
            daemon = os.path.join(os.path.dirname(self.setup.flexins), "flexinsd")
            p = self.start(host, [daemon, "--engine", *shlex.split(args)], env=env)
            p.wait_text("engines? for UDP port", 20)
            self.engines[host.name] = p
        return p

    def logs(self, *programs):
        """What these have said, and the engines that served them, which end now."""
        engines = list(self.engines.values())
        self.stop_engines()
        return "".join(p.text() for p in (*programs, *engines))

    def stop_engines(self):
        """They leave in good order, whatever their programs have done."""
        for p in self.engines.values():
            self.expect(p.running(), f"{p.label} has ended with status {p.p.poll()}")
            p.kill(signal.SIGTERM)
            rc = p.wait(20)
            self.expect(rc == 0, f"{p.label}: exit status {rc} at SIGTERM")
            p.quiet = True
        self.engines = {}

    def start(self, host, cmd, env=None, root=False, uid=None):
        """Any program; cmd is a string or a list."""
        args = shlex.split(cmd) if isinstance(cmd, str) else list(cmd)
        prefix = [] if root else list(self.setup.unprivileged)
        if uid is not None:
            prefix = [f"--reuid={uid}" if x.startswith("--reuid=") else x for x in prefix]
        runtime = {"XDG_RUNTIME_DIR": self.setup.runtime_dir(0 if root else uid)}
        p = Program(self, host, args, prefix, self.env({**runtime, **(env or {})}), " ".join(args)[:160])
        self.programs.append(p)
        return p

    def flexins(self, host, cmd, **kw):
        """A program under `flexins run`. '{progs}' stands for the helper programs."""
        args = shlex.split(cmd.replace("{progs}", self.setup.progs))
        if self.service:
            extra = kw.pop("env", None) or {}
            self.engine(host, env={k: v for k, v in extra.items() if k.startswith("FLEXINS_") and k != "FLEXINS_PLACEMENT"})
            engines = dict.fromkeys(("FLEXINS_WIRE", "FLEXINS_TX", "FLEXINS_RX", "FLEXINS_PIPE", "FLEXINS_CC", "FLEXINS_CC_RULES", "FLEXINS_FAULT", "FLEXINS_CAPTURE"), "")
            kw["env"] = {**extra, **engines, "FLEXINS_PLACEMENT": "service"}
        p = self.start(host, [self.setup.flexins, "run", "--", *args], **kw)
        p.label = cmd
        return p

    def command(self, host, args, seconds=20, status=0, **kw):
        """A `flexins` subcommand to its end; its output."""
        p = self.start(host, [self.setup.flexins, *shlex.split(args)], **kw)
        rc = p.wait(seconds)
        self.expect(status is None or rc == status, f"flexins {args}: exit status {rc} instead of {status}: {p.text()[-300:]}")
        p.quiet = True
        return p.text()

    def status(self, host):
        return json.loads(self.command(host, "status --json"))

    def counters(self, host):
        """Sum over the programs of the host."""
        total = {}
        for s in self.status(host)["slots"]:
            for k, v in (s.get("statistics") or {}).items():
                total[k] = total.get(k, 0) + v
        return total

    def expect(self, cond, message):
        if not cond:
            raise Failed(message)

    def wait_for(self, what, seconds, message):
        end = time.monotonic() + PATIENCE * seconds
        while not what():
            if time.monotonic() > end:
                raise Failed(message)
            time.sleep(0.05)

    def wait_listening(self, program, port, seconds=20):
        """Until somebody listens on this TCP port of the program's host."""
        pattern = re.compile(rf":{port:04X} [0-9A-F]+:0000 0A ")

        def listening():
            if not program.running():
                raise Failed(f"{program.label} ended with status {program.p.returncode} before its peer came")
            return pattern.search(self.sh(f"ip netns exec {program.host.name} cat /proc/net/tcp /proc/net/tcp6", ok=True))

        self.wait_for(listening, seconds, f"{program.label} does not listen on TCP port {port}")

    def pair(self, server_host, client_host, cmd, port, peer=None, client_extra="", env=None):
        """A server and a client of the tools' usual kind. Returns both, running."""
        s = self.flexins(server_host, f"{cmd} -p {port}", env=env)
        self.wait_listening(s, port)
        c = self.flexins(client_host, f"{cmd} -p {port} {client_extra} {peer or server_host.addr}", env=env)
        return s, c

    def finish_pair(self, s, c, seconds, patterns=()):
        end = time.monotonic() + seconds
        rc = c.wait(seconds)
        self.expect(rc == 0, f"client: exit status {rc}")
        rc = s.wait(max(10, end - time.monotonic()))
        self.expect(rc == 0, f"server: exit status {rc}")
        for pat in patterns:
            self.expect(re.search(pat, c.text(), re.M), f"the client's output does not match {pat!r}")

    def goes_on(self, host, *programs):
        """The transfer that these programs are at goes on. Ends them: they run for as long as a case needs, by no clock."""
        start = self.counters(host).get("tx_packets", 0)
        self.wait_for(lambda: self.counters(host).get("tx_packets", 0) > start + 1000, 20, "no traffic any more")
        for p in programs:
            self.expect(p.running(), f"{p.label} has ended")
        for p in programs:
            p.kill()
            p.p.wait(20)

    def gid_index(self, host, addr):
        """Index of the GID made of this IPv6 address."""
        import ipaddress
        want = ipaddress.ip_address(addr)
        p = self.flexins(host, "ibv_devinfo -v")
        self.expect(p.wait(20) == 0, "ibv_devinfo -v")
        for i, gid in re.findall(r"GID\[\s*(\d+)\]:\s+([0-9a-fA-F:.]+)", p.text()):
            g = ipaddress.ip_address(gid)
            if g == want:
                return int(i)
        raise Failed(f"no GID for {addr}")

    # --- the end ---

    def left_over(self):
        """Processes that still live on our hosts: {pid: command}."""
        left = {}
        for h in self.hosts:
            for pid in self.sh(f"ip netns pids {h.name}", ok=True).split():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        cmd = f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                    with open(f"/proc/{pid}/stat", "rb") as f:
                        state = f.read().rsplit(b")", 1)[1].split()[0]
                except OSError:
                    continue
                if state != b"Z":
                    left[int(pid)] = cmd or "?"
        return left

    def expect_nothing_left(self, seconds=20):
        """The keeper leaves soon after its last client, and nobody else stays behind."""
        end = time.monotonic() + PATIENCE * seconds
        while True:
            left = self.left_over()
            if not left:
                return
            if time.monotonic() > end:
                raise Failed(f"still running {PATIENCE * seconds} s after the end: {left}")
            time.sleep(0.4)

    def transcript(self):
        """What everybody said, for the report of a failure."""
        parts = []
        for p in (p for p in self.programs if not p.quiet):
            state = "still running" if p.running() else f"exit status {p.p.returncode}"
            lines = p.text().rstrip().splitlines()
            if len(lines) > 30:
                lines = lines[:5] + [f"... {len(lines) - 30} lines ..."] + lines[-25:]
            parts.append(f"--- {p.host.name}: {p.label} [{state}]\n" + "\n".join(lines))
        for h in self.hosts:
            if any(p.running() for p in self.programs):
                r = subprocess.run(["ip", "netns", "exec", h.name, *self.setup.unprivileged, self.setup.flexins, "status"],
                                   capture_output=True, text=True, timeout=20, env=self.env())
                parts.append(f"--- {h.name}: flexins status\n{r.stdout[-3000:]}{r.stderr[-500:]}")
        return "\n".join(parts)

    def close(self):
        for pid in self.left_over():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for p in self.programs:
            if p.running():
                p.kill()
            p.p.wait(10)
            p.out.close()
        for h in self.hosts:
            self.sh(f"ip netns del {h.name}", ok=True)
