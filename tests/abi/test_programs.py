#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_programs.py FLEXINS: does every installed program of perftest, ibverbs-utils, rdmacm-utils and friends start with
our libraries, every symbol bound at once? Exit 77 when none is installed."""
import os
import shutil
import subprocess
import sys

PROGRAMS = """
ib_atomic_bw ib_atomic_lat ib_read_bw ib_read_lat ib_send_bw ib_send_lat ib_write_bw ib_write_lat raw_ethernet_bw
raw_ethernet_burst_lat raw_ethernet_fs_rate raw_ethernet_lat
ibv_asyncwatch ibv_devices ibv_devinfo ibv_rc_pingpong ibv_srq_pingpong ibv_uc_pingpong ibv_ud_pingpong ibv_xsrq_pingpong
cmtime mckey rcopy rdma_client rdma_server rdma_xclient rdma_xserver riostream rping rstream ucmatose udaddy udpong
qperf fio ucx_info fi_info
""".split()
BROKEN = ("error while loading shared libraries", "symbol lookup error", "cannot be preloaded", "version `",
          "undefined symbol", "not found")


def environment(flexins):
    out = subprocess.run([flexins, "run", "--", "env", "-0"], check=True, capture_output=True, timeout=60).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item)


def main():
    flexins = os.path.abspath(sys.argv[1])
    env = environment(flexins)
    private = env["LD_LIBRARY_PATH"].split(":")
    tried, errors = 0, 0
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is None:
            continue
        tried += 1
        # What ldd -r does: load, bind everything, say what is missing, do not run.
        trace = subprocess.run([path], env={**env, "LD_TRACE_LOADED_OBJECTS": "1", "LD_BIND_NOW": "1", "LD_WARN": "1"},
                               capture_output=True, text=True, timeout=60)
        text = trace.stdout + trace.stderr
        bad = [line for line in text.splitlines() if any(b in line for b in BROKEN)]
        for line in text.splitlines():
            used = line.split("=>")[-1].split()[0] if line.strip() else ""
            if os.path.basename(used) in ("libibverbs.so.1", "librdmacm.so.1") and os.path.dirname(used) not in private:
                bad.append(f"uses {used}")
        # And run it as far as its usage text.
        started = subprocess.run([flexins, "run", "--", path, "--help"], stdin=subprocess.DEVNULL,
                                 env={**os.environ, "LD_BIND_NOW": "1"}, capture_output=True, text=True,
                                 errors="replace", timeout=60)
        if started.returncode < 0 or started.returncode == 127:
            bad.append(f"--help: exit status {started.returncode}: {started.stderr[:200]}")
        bad += [line for line in started.stderr.splitlines() if any(b in line for b in BROKEN[:5])]
        for line in bad:
            print(f"{name}: {line}")
        errors += bool(bad)
    print(f"{tried} programs tried, {errors} broken")
    if tried == 0:
        print("skip: none of perftest, ibverbs-utils, rdmacm-utils, qperf, fio, UCX, libfabric is installed")
        return 77
    return 1 if errors else 0


if __name__ == "__main__":
    os.environ.pop("LD_LIBRARY_PATH", None)  # meson's own settings would hide what the launcher forgets
    sys.exit(main())
