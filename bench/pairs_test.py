"""python3 bench/pairs_test.py"""

import os
import sys
import unittest

import pairs

ENV = dict(os.environ)


class Compare(unittest.TestCase):
    def test_above_one_is_the_faster_subject(self):
        self.assertEqual(pairs.compare([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])["ratio"], 2.0)

    def test_the_ratio_is_of_medians_and_pairs_are_kept_apart(self):
        result = pairs.compare([1.0, 2.0, 100.0], [2.0, 2.0, 50.0])
        self.assertEqual(result["ratio"], 1.0)
        self.assertEqual(result["pairs"]["ratios"], [2.0, 1.0, 0.5])
        self.assertEqual((result["pairs"]["least"], result["pairs"]["greatest"]), (0.5, 2.0))


class Measure(unittest.TestCase):
    def test_runs_alternate(self):
        order = []
        pairs.measure(lambda: order.append("a"), lambda: order.append("b"), 3)
        self.assertEqual("".join(order), "ababab")


class Timed(unittest.TestCase):
    def test_a_pipeline_carries_all(self):
        count = "import sys; sys.exit(len(sys.stdin.buffer.read()) != 100000)"
        commands = [["head", "-c", "100000", "/dev/zero"], [sys.executable, "-c", count]]
        self.assertGreater(pairs.timed(commands, ENV, 20), 0)

    def test_a_command_that_fails_is_no_figure(self):
        with self.assertRaisesRegex(pairs.Failed, "exit 3: why"):
            pairs.timed([["sh", "-c", "echo why >&2; exit 3"]], ENV, 20)

    def test_a_source_that_fails_is_no_figure(self):
        with self.assertRaisesRegex(pairs.Failed, "exit 1"):
            pairs.timed([["false"], ["cat"]], ENV, 20)

    def test_what_hangs_is_ended(self):
        with self.assertRaisesRegex(pairs.Failed, "not done after"):
            pairs.timed([["sleep", "60"]], ENV, 0.1)


if __name__ == "__main__":
    unittest.main()
