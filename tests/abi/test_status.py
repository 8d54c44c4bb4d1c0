#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_status.py FLEXINS HOLDER DAEMON: `flexins status` with a real keeper, honest statistics and spoilt ones."""
import json
import os
import socket
import subprocess
import sys
import unittest

FLEXINS = HOLDER = DAEMON_DIR = ""


def free_port():
    """A UDP port that nobody holds now; also the keeper's name, so other keepers are not disturbed."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.bind(("::", 0))
        return s.getsockname()[1]


class Status(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.holders = []

    def tearDown(self):
        for p in self.holders:
            p.stdin.close()
            p.wait(timeout=30)
            p.stdout.close()

    def hold(self, *spoil):
        env = {**os.environ, "FLEXINS_LINGER": "0"}
        p = subprocess.Popen([HOLDER, str(self.port), DAEMON_DIR, *spoil], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, env=env)
        self.holders.append(p)
        return int(p.stdout.readline())

    def status(self, *args):
        p = subprocess.run([FLEXINS, "status", f"--port={self.port}", *args], capture_output=True, text=True,
                           timeout=60, check=False)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        return p.stdout

    def test_honest(self):
        prefix = self.hold()
        text = self.status()
        self.assertRegex(text, rf"(?m)^slot {prefix}  held for \d+ s  pid {self.holders[0].pid} \(status_holder\)")
        self.assertIn("qp 0x010005  RC RTS  to 192.0.2.9 qp 0x000077  tx 4096 B  rx 0 B\n", text)
        self.assertRegex(text, rf"(?m)^  tx_packets +{1 << 40}  packets handed to the wire$")
        self.assertNotIn("drop_", text)  # zeros are not shown

        data = json.loads(self.status("--json"))
        self.assertEqual(data["keeper"]["port"], self.port)
        (slot,) = data["slots"]
        self.assertEqual((slot["prefix"], slot["pid"], slot["state"]), (prefix, self.holders[0].pid, "held"))
        self.assertEqual((slot["queue_pairs_alive"], slot["statistics"]["tx_packets"]), (2, 1 << 40))
        self.assertEqual((slot["statistics"]["engine_sleeps"], slot["statistics"]["drop_icrc"]), (7, 0))
        first, last = slot["queue_pairs"]
        self.assertEqual((first["peer"], first["dest_qpn"], first["tx_bytes"]), ("192.0.2.9", 0x77, 4096))
        self.assertEqual((last["qpn"], last["type"], last["state"], last["peer"]), (0x01ffff, "?", "?", ""))

    def test_spoilt(self):
        prefixes = sorted(self.hold(*how) for how in ([], ["magic"], ["version"], ["short"], ["none"]))
        data = json.loads(self.status("--json"))
        self.assertEqual([s["prefix"] for s in data["slots"]], prefixes)
        self.assertEqual(sum(s["statistics"] is None for s in data["slots"]), 4)
        self.assertEqual(self.status().count("no statistics that this version of flexins can read"), 4)


if __name__ == "__main__":
    os.environ.pop("LD_LIBRARY_PATH", None)
    FLEXINS, HOLDER, DAEMON_DIR = (os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1)),
                                   os.path.dirname(os.path.abspath(sys.argv.pop(1))))
    os.environ.pop("FLEXINS_DAEMON", None)
    unittest.main(verbosity=1)
