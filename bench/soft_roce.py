# SPDX-License-Identifier: Apache-2.0
"""The machine in which the Linux kernel's Soft-RoCE and FlexiNS are compared: the guest of tests/interop, emulated by QEMU, with FlexiNS
laid over its files. It needs no network: everything stays inside it."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import compare

sys.path.insert(0, os.path.join(compare.ROOT, "tests", "interop"))
import guest  # noqa: E402

ADDR = "198.51.100.2"
LIMIT = 90
LINE = re.compile(r"^ *\d+ +\d+ +[\d.]+ +([\d.]+)", re.M)


class Impossible(Exception):
    """It cannot be run here; says why."""


class Machine(guest.Guest):
    """Two emulated CPUs; Soft-RoCE on an interface that leads nowhere, FlexiNS on the loopback interface."""

    def __init__(self, o):  # pylint: disable=super-init-not-called
        files = os.path.join(o.build, "interop")
        r = subprocess.run([os.path.join(compare.ROOT, "tests", "interop", "build-guest"), files], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        if r.returncode:
            raise Impossible((r.stdout.strip() or "the guest could not be made").splitlines()[-1])
        self.tmp, self.addr, self.port = tempfile.mkdtemp(prefix="flexins-bench-"), ADDR, 20000
        self.console = os.path.join(self.tmp, "console.log")
        initrd = os.path.join(self.tmp, "initrd")
        try:
            with open(initrd, "wb") as out:  # the kernel unpacks one archive after the other
                with open(os.path.join(files, "initrd.gz"), "rb") as f:
                    shutil.copyfileobj(f, out)
                out.write(overlay(o, os.path.join(self.tmp, "root")))
        except BaseException:
            shutil.rmtree(self.tmp, ignore_errors=True)
            raise
        cmd = ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-m", "1024", "-smp", "2", "-display", "none", "-monitor", "none",
               "-no-reboot", "-kernel", os.path.join(files, "vmlinuz"), "-initrd", initrd,
               "-append", f"console=ttyS0 quiet panic=1 addr={ADDR}/24 addr6=2001:db8::2/64",
               "-serial", f"file:{self.console}", "-device", "virtio-serial-pci",
               "-chardev", "stdio,id=c0,signal=off", "-device", "virtserialport,chardev=c0,name=shell",
               "-netdev", "user,id=n0,restrict=on", "-device", f"virtio-net-pci,netdev=n0,host_mtu={self.MTU},romfile="]
        self.p = subprocess.Popen(compare.first(cmd)[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", start_new_session=True)
        self.start_reading()

    def start_reading(self):
        import queue
        import threading
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def boot(self):
        try:
            self.wait_ready(120)
            self.rxe_gid = self.gid_index(ADDR)
        except guest.Failed as e:
            raise SystemExit(str(e)) from None

    def write_bw(self, wire, iterations):
        """GB/s of ib_write_bw -s 65536 between two processes of the guest. wire: rxe (the kernel), or a wire of FlexiNS."""
        for attempt in range(3):
            try:
                return self._write_bw(wire, iterations)
            except SystemExit as e:
                if attempt == 2 or compare.UNEVEN not in str(e):
                    raise
        raise AssertionError

    def _write_bw(self, wire, iterations):
        self.port += 1
        cmd = f"ib_write_bw -s 65536 -n {iterations} -p {self.port} -u 18"
        if wire == "rxe":
            cmd += f" -d rxe0 -x {self.rxe_gid} -m 4096"
        else:
            cmd = f"/usr/local/bin/flexins run --wire={wire} -- {cmd}"
            cmd = f"env FLEXINS_IFACE=lo FLEXINS_PORT=4792 {cmd}"  # the kernel has 4791
        try:
            self.start_server(cmd, self.port, LIMIT, LIMIT)
            rc, text = self.sh(f"timeout -s KILL {LIMIT} {cmd} 127.0.0.1 2>&1", LIMIT + 10)
            said = self.wait_server(LIMIT + 10)[1]
        except guest.Failed as e:
            raise SystemExit(str(e)) from None
        rows = LINE.findall(text)
        if rc or not rows:
            raise SystemExit(f"in the guest, {cmd}: exit status {rc}\n{text[-1500:]}\n--- the server\n{said[-1500:]}")
        return float(rows[-1]) * 1048576 / 1e9

    def close(self):
        super().close()
        shutil.rmtree(self.tmp, ignore_errors=True)


def overlay(o, root):
    """An archive of FlexiNS as it is installed, and of the libraries that it needs."""
    os.makedirs(root)
    subprocess.run(["meson", "install", "-C", o.build, "--no-rebuild", "--quiet", "--destdir", root], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)
    found = subprocess.run(["find", root, "-type", "f", "(", "-name", "*.so*", "-o", "-path", "*/bin/*", ")"], capture_output=True, text=True,
                           check=True).stdout.split()
    prefix = {os.path.dirname(p) for p in found if os.path.basename(p) == "flexins"}
    if prefix != {root + "/usr/local/bin"}:
        raise Impossible("FlexiNS is configured for another prefix than /usr/local")
    for path in found:
        subprocess.run(["strip", "-g", path], check=False)
        for lib in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout):
            os.makedirs(os.path.dirname(root + lib), exist_ok=True)
            shutil.copy(lib, root + lib)
    os.makedirs(root + "/bin", exist_ok=True)
    os.symlink("busybox", root + "/bin/env")
    for path in ("include", "share"):
        shutil.rmtree(f"{root}/usr/local/{path}", ignore_errors=True)
    return subprocess.run("find . | cpio -o -H newc --quiet | gzip -1", shell=True, cwd=root, stdout=subprocess.PIPE, check=True).stdout
