#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_launcher.py FLEXINS: `flexins` as a command: what it passes on, its errors, its private tree."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

FLEXINS = ""


def flexins(*args, **kwargs):
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([FLEXINS, *args], capture_output=True, text=True, timeout=60, **kwargs)


def run(*args, **kwargs):
    return flexins("run", "--", *args, **kwargs)


class Passing(unittest.TestCase):
    """`flexins run` becomes the program."""

    def test_exit_status(self):
        for code in (0, 1, 3, 77, 255):
            self.assertEqual(run("sh", "-c", f"exit {code}").returncode, code)

    def test_killed_by_signal(self):
        self.assertEqual(run("sh", "-c", "kill -TERM $$").returncode, -signal.SIGTERM)

    def test_signal_reaches_program(self):
        with subprocess.Popen([FLEXINS, "run", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; "
                               "while :; do sleep 0.05; done"], stdout=subprocess.PIPE, text=True) as p:
            self.assertEqual(p.stdout.readline(), "ready\n")
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(timeout=30), 9)

    def test_same_process(self):
        with subprocess.Popen([FLEXINS, "run", "--", "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True) as p:
            self.assertEqual(int(p.stdout.readline()), p.pid)

    def test_stdin_and_stdout(self):
        data = "line one\nline two, no newline"
        got = subprocess.run([FLEXINS, "run", "--", "cat"], input=data, capture_output=True, text=True, timeout=60)
        self.assertEqual((got.stdout, got.stderr), (data, ""))

    def test_arguments(self):
        args = ["a b", "", "--iface=x", "$HOME", "*", "ü", "--", "-v", "'\""]
        got = run("printf", "%s\\n", *args)
        self.assertEqual(got.stdout, "".join(a + "\n" for a in args))

    def test_without_dashes(self):
        self.assertEqual(flexins("run", "echo", "-v", "--help").stdout, "-v --help\n")

    def test_command_substitution_ends(self):
        """A process left behind with our output open would hang this."""
        got = subprocess.run(["sh", "-c", 'echo "<$("$0" run -- echo in)>"', FLEXINS], capture_output=True, text=True,
                             timeout=30)
        self.assertEqual(got.stdout, "<in>\n")

    def test_closed_descriptors_stay_closed(self):
        got = run("sh", "-c", "ls /proc/self/fd | wc -l")
        self.assertLessEqual(int(got.stdout), 4)  # 0, 1, 2 and ls's own directory


class Environment(unittest.TestCase):
    def env(self, *options, **kwargs):
        out = flexins("run", *options, "--", "env", "-0", **kwargs)
        self.assertEqual(out.returncode, 0, out.stderr)
        return dict(i.split("=", 1) for i in out.stdout.split("\0") if "=" in i)

    def test_options(self):
        env = self.env("--iface=lo", "--port=14791")
        self.assertEqual((env["FLEXINS_IFACE"], env["FLEXINS_PORT"]), ("lo", "14791"))

    def test_ours_come_first(self):
        env = self.env(env={**os.environ, "LD_LIBRARY_PATH": "/nonexistent"})
        dirs = env["LD_LIBRARY_PATH"].split(":")
        self.assertTrue(os.path.exists(os.path.join(dirs[0], "libibverbs.so.1")))
        self.assertTrue(os.path.exists(os.path.join(dirs[0], "libibverbs.so")), "NCCL dlopens this name first")
        self.assertEqual(dirs[-1], "/nonexistent")

    def test_nested_adds_nothing(self):
        for more in ({}, {"LD_LIBRARY_PATH": "/nonexistent", "LD_PRELOAD": "libm.so.6"}):
            env = {**os.environ, **more}
            once = self.env(env=env)
            out = run(FLEXINS, "run", "--", "env", "-0", env=env)
            twice = dict(i.split("=", 1) for i in out.stdout.split("\0") if "=" in i)
            for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "FLEXINS_SYSFS"):
                self.assertEqual(once[name], twice[name])

    def test_users_preload_stays_first(self):
        """Sanitizers insist on it."""
        env = self.env(env={**os.environ, "LD_PRELOAD": "libm.so.6"})
        self.assertTrue(env["LD_PRELOAD"].startswith("libm.so.6:"))

    def test_no_sysfs(self):
        env = self.env("--no-sysfs")
        self.assertNotIn("FLEXINS_SYSFS", env)
        self.assertNotIn("shim", env["LD_PRELOAD"])

    def test_place_with_spaces(self):
        """A build or installation under such a name still works: LD_PRELOAD cannot quote."""
        out = run("sh", "-c", "echo $LD_LIBRARY_PATH")
        dirs = out.stdout.strip().split(":")
        with tempfile.TemporaryDirectory(prefix="flexins test ") as tmp:
            os.makedirs(os.path.join(tmp, "bin"))
            os.makedirs(os.path.join(tmp, "lib", "flexins"))
            shutil.copy(FLEXINS, os.path.join(tmp, "bin", "flexins"))
            for name in ("libibverbs.so.1", "librdmacm.so.1", "libflexins-shim.so"):
                found = [p for d in dirs if os.path.exists(p := os.path.join(d, name))]
                shutil.copy(found[0], os.path.join(tmp, "lib", "flexins", name))
            got = subprocess.run([os.path.join(tmp, "bin", "flexins"), "run", "--iface=lo", "--", "sh", "-c",
                                  "grep -o '/.*libibverbs.*' /proc/$$/maps | sort -u; ls /sys/class/infiniband"],
                                 capture_output=True, text=True, timeout=60)
        self.assertEqual(got.stderr, "")
        self.assertEqual(got.stdout, os.path.join(tmp, "lib/flexins/libibverbs.so.1") + "\nflexins0\n")


class Tree(unittest.TestCase):
    def root(self, **env):
        out = flexins("run", "--iface=lo", "--", "sh", "-c", "echo $FLEXINS_SYSFS", env={**os.environ, **env})
        self.assertEqual(out.returncode, 0, out.stderr)
        return out.stdout.strip()

    def test_private_and_reused(self):
        with tempfile.TemporaryDirectory() as tmp:
            root = self.root(XDG_RUNTIME_DIR=tmp)
            self.assertTrue(root.startswith(tmp + "/flexins/"))
            for path in (root, os.path.dirname(root)):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
            self.assertEqual(self.root(XDG_RUNTIME_DIR=tmp), root)
            self.assertEqual(len(os.listdir(os.path.dirname(root))), 1)

    def test_unused_ones_go(self):
        with tempfile.TemporaryDirectory() as tmp:
            root = self.root(XDG_RUNTIME_DIR=tmp)
            base = os.path.dirname(root)
            for name, age in (("tree-old", 8 * 86400), ("tree-young", 86400), ("other", 8 * 86400)):
                os.makedirs(os.path.join(base, name, "sub"))
                then = os.stat(root).st_mtime - age
                os.utime(os.path.join(base, name), (then, then))
            os.rename(root, root + ".away")  # so that a new one is made
            self.root(XDG_RUNTIME_DIR=tmp)
            self.assertEqual(sorted(os.listdir(base)),
                             sorted(["other", "tree-young", os.path.basename(root), os.path.basename(root) + ".away"]))

    def test_made_by_many_at_once(self):
        with tempfile.TemporaryDirectory() as tmp:
            env = {**os.environ, "XDG_RUNTIME_DIR": tmp}
            many = [subprocess.Popen([FLEXINS, "run", "--iface=lo", "--", "cat", "/sys/class/infiniband/flexins0/node_type"],
                                     env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    for _ in range(16)]
            for p in many:
                self.assertEqual((*p.communicate(timeout=60), p.returncode), ("1: CA\n", "", 0))
            self.assertEqual(len(os.listdir(os.path.join(tmp, "flexins"))), 1)

    def test_others_directory_is_refused(self):
        with tempfile.TemporaryDirectory() as tmp:
            os.mkdir(os.path.join(tmp, "flexins"))
            os.chmod(os.path.join(tmp, "flexins"), 0o755)
            out = flexins("run", "--iface=lo", "--", "true", env={**os.environ, "XDG_RUNTIME_DIR": tmp})
            self.assertEqual(out.returncode, 1)
            self.assertIn("mode 0700", out.stderr)
            os.rmdir(os.path.join(tmp, "flexins"))
            os.symlink("/tmp", os.path.join(tmp, "flexins"))
            out = flexins("run", "--iface=lo", "--", "true", env={**os.environ, "XDG_RUNTIME_DIR": tmp})
            self.assertEqual(out.returncode, 1)

    def test_content(self):
        out = flexins("run", "--iface=lo", "--", "sh", "-c",
                      "cd /sys/class/infiniband/flexins0 && cat node_type ports/1/link_layer ports/1/pkeys/0 "
                      "ports/1/gids/0 ports/1/gid_attrs/types/0 ports/1/gid_attrs/ndevs/0 && ls device/net && "
                      "cat /sys/class/infiniband_verbs/uverbs0/ibdev device/local_cpus")
        lines = out.stdout.splitlines()
        self.assertEqual(lines[:3], ["1: CA", "Ethernet", "0xffff"])
        self.assertRegex(lines[3], r"^([0-9a-f]{4}:){7}[0-9a-f]{4}$")
        self.assertEqual(lines[4:8], ["RoCE v2", "lo", "lo", "flexins0"])
        self.assertRegex(lines[8], r"^[0-9a-f]{8}(,[0-9a-f]{8})*$")
        self.assertEqual(out.stderr, "")


class Errors(unittest.TestCase):
    def bad(self, code, text, *args):
        out = flexins(*args)
        self.assertEqual(out.returncode, code, out.stderr)
        self.assertRegex(out.stderr, r"(?m)^flexins: ")
        self.assertIn(text, out.stderr)
        self.assertEqual(out.stdout, "")

    def test_usage(self):
        self.assertEqual(flexins().returncode, 2)
        self.bad(2, "'frobnicate'", "frobnicate")
        self.bad(2, "which program", "run")
        self.bad(2, "--bogus", "run", "--bogus", "--", "true")
        self.bad(2, "needs a value", "run", "--iface")
        self.bad(2, "--iface=''", "run", "--iface=", "--", "true")
        self.bad(2, "eth0,eth1", "run", "--iface=a,,b", "--", "true")
        for port in ("", "0", "65536", "4791x", "-1", " 1", "99999999999999999999"):
            self.bad(2, "1 to 65535", "run", "--port=" + port, "--", "true")
        self.bad(2, "'-x'", "run", "-xyz", "true")
        self.bad(2, "'-i'", "run", "-i", "--", "true")
        self.bad(2, "'--if'", "run", "--if")
        self.bad(2, "--nope", "devices", "--nope")
        self.bad(2, "'eth0'", "devices", "eth0")
        self.bad(2, "--nope", "status", "--nope")
        self.bad(2, "'x'", "version", "x")

    def test_environment(self):
        out = run("true", env={**os.environ, "FLEXINS_PORT": "abc"})
        self.assertEqual(out.returncode, 2)
        self.assertIn("FLEXINS_PORT='abc'", out.stderr)
        out = flexins("run", "--iface=nosuchif0", "--", "ls", "/sys/class/infiniband")
        self.assertEqual((out.returncode, out.stdout), (0, ""))
        self.assertIn("no device", out.stderr)

    def test_exec(self):
        self.bad(127, "/nonexistent/program", "run", "--", "/nonexistent/program")
        self.bad(127, "without quotes", "run", "--", "no such program")
        self.bad(126, "'/etc/passwd'", "run", "--", "/etc/passwd")
        self.bad(126, "'/tmp'", "run", "--", "/tmp")

    def test_full_output(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            p = subprocess.run([FLEXINS, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertNotEqual(p.returncode, 0)


class Subcommands(unittest.TestCase):
    def test_help(self):
        for args in (["--help"], ["help"], ["run", "--help"], ["devices", "--help"], ["status", "--help"],
                     ["version", "--help"]):
            out = flexins(*args)
            self.assertEqual((out.returncode, out.stderr), (0, ""), args)
            self.assertTrue(out.stdout.startswith("Usage: flexins"), args)

    def test_version(self):
        self.assertRegex(flexins("version").stdout, r"^flexins \d+\.\d+\.\d+\n$")
        self.assertEqual(flexins("--version").stdout, flexins("version").stdout)

    def test_devices(self):
        out = flexins("devices", "--iface=lo")
        self.assertRegex(out.stdout, r"^flexins0  interface lo  ACTIVE  MTU 4096 \(interface: \d+\)\n  gid  0  ")
        listing = json.loads(flexins("devices", "--iface=lo", "--json").stdout)
        self.assertEqual([d["name"] for d in listing], ["flexins0"])
        self.assertEqual(listing[0]["interface"], "lo")
        self.assertIn("127.0.0.1", listing[0]["gids"])
        self.assertTrue(re.fullmatch("[0-9a-f]{16}", listing[0]["guid"]))

    def test_no_device(self):
        out = flexins("devices", "--iface=nosuchif0")
        self.assertEqual(out.returncode, 1)
        self.assertIn("no device", out.stderr)
        out = flexins("devices", "--iface=nosuchif0", "--json")
        self.assertEqual((out.returncode, json.loads(out.stdout)), (1, []))

    def test_status_without_keeper(self):
        """A port of its own, so that no other test's keeper is seen."""
        out = flexins("status", "--port=39")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertIn("no keeper", out.stdout)
        self.assertEqual(json.loads(flexins("status", "--port=39", "--json").stdout), {"slots": [], "peers": [], "keeper": None})


if __name__ == "__main__":
    os.environ.pop("LD_LIBRARY_PATH", None)  # meson's own settings would hide what the launcher forgets
    FLEXINS = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
