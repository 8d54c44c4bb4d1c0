# SPDX-License-Identifier: Apache-2.0
"""How bench/ draws its conclusions, without measuring anything: rounds that count, ratios, verdicts, and what programs' outputs say."""
import importlib.machinery
import importlib.util
import os
import sys
import types
import unittest

sys.dont_write_bytecode = True
BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
sys.path.insert(0, BENCH)
import compare  # noqa: E402

_loader = importlib.machinery.SourceFileLoader("bench_run", os.path.join(BENCH, "run"))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", _loader))
_loader.exec_module(run)

FI = """bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec
64k     1k      =1k      125m        1.18s    111.34     588.60       0.00
"""
UCX = "Final:                200000      0.272     1.427     1.428       42.77      42.78      700692      700693\n"
WRITE_BW = """ #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
 65536      20000            4000.10            3990.20\t\t   0.063843
"""
SEND_LAT = """ #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]
 8       60000          2.90           90.11        3.05     \t       3.10        \t0.41\t\t3.60    \t\t8.00
"""


class Rounds(unittest.TestCase):
    def measure(self, n, places, ways, **how):
        """compare.rounds with the CPUs where places says, before and after each round."""
        at = iter(places)
        real, compare.placement = compare.placement, lambda o: (next(at), 100.0)
        try:
            return compare.rounds(types.SimpleNamespace(n=n), ways, "u", lambda text: None, **how)
        finally:
            compare.placement = real

    def test_rounds_in_which_the_cpus_moved_do_not_count(self):
        a = iter([10, 1000, 30])
        r = self.measure(3, ["near", "near", "far", "far"], {"a": lambda: next(a), "b": lambda: 10})
        self.assertEqual([x["bin"] for x in r["rounds"]], ["near", "moved", "far"])
        self.assertEqual(r["rounds_counted"], 1)
        self.assertIn(r["ratios"]["b"][1], (1, 3))

    def test_all_rounds_count_where_the_distance_does_not_matter(self):
        r = self.measure(3, ["near", "near", "far", "far"], {"a": lambda: 10}, anywhere=True)
        self.assertEqual(r["rounds_counted"], 3)

    def test_ratios_are_taken_within_a_round(self):
        pairs = iter([(1, 2), (10, 5), (4, 4)])
        now = []

        def a():
            return current()[0]

        def b():
            return current()[1]

        def current():
            if not now or now[1] == 2:
                now[:] = [next(pairs), 0]
            now[1] += 1
            return now[0]

        r = self.measure(3, ["near"] * 4, {"a": a, "b": b})
        self.assertEqual(r["figures"]["a"][1], 4)
        self.assertEqual(r["ratios"]["b"], [0.75, 1, 1.5])

    def test_everybody_goes_first_once(self):
        order = []
        self.measure(3, ["near"] * 4, {k: (lambda k=k: order.append(k) or 1) for k in "abc"})
        self.assertEqual("".join(order), "abcbcacab")


class Verdicts(unittest.TestCase):
    def judge(self, lower, figure, ratio):
        c = run.Comparison("t", "u", [run.Way("us", None), run.Way("peer", None, goal=1.3), run.Way("left out", None)], goal=12, lower=lower)
        return run.judged(c, {"figures": {"us": [0, figure, 99], "peer": [1, 2, 3]}, "ratios": {"peer": [0, ratio, 9]}})

    def test_higher_is_better(self):
        for figure, ratio, want in ((12, 1.3, [True, True]), (11.9, 1.29, [False, False])):
            self.assertEqual([r["reached"] for r in self.judge(False, figure, ratio)], want)

    def test_lower_is_better(self):
        for figure, ratio, want in ((12, 1.3, [True, True]), (12.1, 1.31, [False, False])):
            self.assertEqual([r["reached"] for r in self.judge(True, figure, ratio)], want)

    def test_another_operation_of_ours_has_the_same_goal(self):
        c = run.Comparison("t", "u", [run.Way("us", None), run.Way("too", None, ours=True)], goal=12)
        rows = run.judged(c, {"figures": {"us": [0, 13, 99], "too": [0, 11, 99]}, "ratios": {"too": [1, 1, 1]}})
        self.assertEqual([(r["goal"], r["reached"]) for r in rows], [(12, True), (12, False)])

    def test_every_row_of_the_table_has_a_goal_or_a_word(self):
        for name, c in run.COMPARISONS.items():
            names = [w.name for w in c.ways]
            self.assertEqual(len(names), len(set(names)), name)
            self.assertTrue(c.goal is not None or c.note or name == "qp-memory" or any(w.goal for w in c.ways), name)
            self.assertIsNone(c.ways[0].goal, name)


class Outputs(unittest.TestCase):
    def setUp(self):
        self.real = compare.server_client

    def tearDown(self):
        compare.server_client = self.real

    def says(self, out, way):
        compare.server_client = lambda o, server, client, port: out
        return way(types.SimpleNamespace(seconds=1.0, flexins="flexins"))

    def test_figures(self):
        self.assertAlmostEqual(self.says(WRITE_BW, run.bw("udp", "ib_write_bw")), 3990.20 * 1048576 / 1e9)
        self.assertEqual(self.says(WRITE_BW, run.rate("udp", "ib_write_bw")), 0.063843)
        self.assertEqual(self.says(SEND_LAT, run.lat("udp", "ib_send_lat", 60)), 3.05)
        self.assertEqual(self.says(UCX, run.ucx("tcp", "tag_lat", 8, 1, 0, 1)), 0.272)
        self.assertEqual(self.says(UCX, run.ucx("tcp", "tag_bw", 8, 1, 4, 1)), 42.78)
        self.assertEqual(self.says(UCX, run.ucx("tcp", "tag_bw", 8, 1, 6, 1)), 700693)
        self.assertEqual(self.says(FI, run.libfabric("shm", "rdm", 65536, 1, False)), 588.60)
        self.assertEqual(self.says(FI, run.libfabric("shm", "rdm", 65536, 1, True)), 65536 / 588.60 / 1000)

    def test_no_figure_is_said(self):
        for way in (run.bw("udp", "ib_write_bw"), run.ucx("tcp", "tag_lat", 8, 1, 0, 1), run.libfabric("shm", "rdm", 8, 1, False)):
            with self.assertRaisesRegex(SystemExit, "gave no figure"):
                self.says("nothing\n", way)


if __name__ == "__main__":
    unittest.main()
