# SPDX-License-Identifier: Apache-2.0
"""The guest: a machine that QEMU emulates, whose kernel speaks RoCEv2 by itself, and a shell in it."""
import os
import queue
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import Failed  # noqa: E402

END = "@end"


class Guest:
    """Booted on a tap interface of a Host of the laboratory. Commands run one after the other."""

    MTU = 4500

    def __init__(self, lab, host, files, addr, addr6):
        self.host, self.addr, self.addr6 = host, addr, addr6
        self.console = os.path.join(lab.setup.tmp, f"{host.name}-console.log")
        cmd = ["ip", "netns", "exec", host.name, "qemu-system-x86_64", "-M", "q35", "-cpu", "max",
               "-m", "768", "-smp", "1", "-display", "none", "-monitor", "none", "-no-reboot",
               "-kernel", os.path.join(files, "vmlinuz"), "-initrd", os.path.join(files, "initrd.gz"),
               "-append", f"console=ttyS0 quiet panic=1 addr={addr}/24 addr6={addr6}/64",
               "-serial", f"file:{self.console}", "-device", "virtio-serial-pci",
               "-chardev", "stdio,id=c0,signal=off", "-device", "virtserialport,chardev=c0,name=shell",
               "-netdev", f"tap,id=n0,ifname={host.dev},script=no,downscript=no,vnet_hdr=off",
               "-device", f"virtio-net-pci,netdev=n0,host_mtu={self.MTU},romfile="]
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.p.stdout:
            self.lines.put(line.rstrip("\r\n"))
        self.lines.put(None)

    def _until(self, pattern, seconds):
        """Lines up to the one that matches, and the match."""
        got, end = [], time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"the guest did not answer within {seconds:.0f} s; it said: {got[-5:]}") from None
            if line is None:
                raise Failed(f"the guest is gone: {got[-5:]}; its console: {self.console_text()[-600:]}")
            m = re.search(pattern, line)
            if m:
                if line[:m.start()]:
                    got.append(line[:m.start()])
                return got, m
            got.append(line)

    def wait_ready(self, seconds=300):
        self._until(r"GUEST-READY$", seconds)

    def sh(self, command, seconds=20):
        """Runs a command of the guest's shell. (exit status, output)."""
        self.p.stdin.write(f"{command}\necho {END}$status\n")
        self.p.stdin.flush()
        got, m = self._until(END + r"(\d+)$", seconds)
        return int(m.group(1)), "\n".join(got)

    def start_server(self, command, port, limit, seconds=30):
        """In the background, until it listens on its TCP port."""
        rc, text = self.sh(f"timeout -s KILL {limit} {command} >/tmp/server 2>&1 & "
                           f"until grep -q ':{port:04X} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6; do "
                           "[ -d /proc/$! ] || break; usleep 20000; done; [ -d /proc/$! ]", seconds)
        if rc:
            raise Failed("guest's server ended at once: " + self.sh("cat /tmp/server")[1])

    def wait_server(self, seconds):
        """(exit status, output) of what start_server started."""
        rc, _ = self.sh("wait $!", seconds)
        return rc, self.sh("cat /tmp/server")[1]

    def gid_index(self, addr):
        """Index of the GID made of this address."""
        import ipaddress
        a = ipaddress.ip_address(addr)
        want = a if a.version == 6 else ipaddress.ip_address(f"::ffff:{addr}")
        _, text = self.sh("cd /sys/class/infiniband/rxe0/ports/1/gids; for i in 0 1 2 3 4 5 6 7; do echo $i $(cat $i); done; cd /")
        for i, gid in re.findall(r"^(\d+) ([0-9a-f:]+)$", text, re.M):
            if ipaddress.ip_address(gid) == want:
                return int(i)
        raise Failed(f"the guest has no GID for {addr}: {text}")

    def counters(self):
        """What the guest's RDMA device and UDP count. A datagram that the device refused (a wrong ICRC, no such queue pair) is
        in udp_in alone."""
        _, text = self.sh("cd /sys/class/infiniband/rxe0/ports/1/hw_counters; grep . *; cd /; "
                          "awk '/^Udp: [0-9]/ {print \"udp4\", $2} /^Udp6InDatagrams/ {print \"udp6\", $2}' /proc/net/snmp /proc/net/snmp6; "
                          "echo bad_icrc $(dmesg | grep -c 'bad ICRC')")
        n = {k: int(v) for k, v in re.findall(r"^(\w+)[ :](-?\d+)$", text, re.M)}
        n["udp_in"] = n.pop("udp4") + n.pop("udp6")
        return n

    def console_text(self):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait(10)
        self.p.stdin.close()
