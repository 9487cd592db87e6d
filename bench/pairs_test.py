"""python3 bench/pairs_test.py"""

import os
import sys
import unittest

import pairs
import table

ENV = dict(os.environ)


class Compare(unittest.TestCase):
    def test_a_ratio_is_the_subjects_figure_through_the_peers(self):
        self.assertEqual(pairs.compare([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], "s")["ratio"], 2.0)

    def test_the_ratio_is_of_medians_and_pairs_are_kept_apart(self):
        result = pairs.compare([1.0, 2.0, 100.0], [2.0, 2.0, 50.0], "s")
        self.assertEqual(result["ratio"], 1.0)
        self.assertEqual(result["pairs"]["ratios"], [0.5, 1.0, 2.0])
        self.assertEqual((result["pairs"]["least"], result["pairs"]["greatest"]), (0.5, 2.0))

    def test_an_aim_from_above_is_met_at_the_limit_and_not_beyond(self):
        aim = (pairs.AT_MOST, 0.5)
        self.assertTrue(pairs.compare([1.0], [2.0], "s", aim)["is_met"])
        self.assertFalse(pairs.compare([1.01], [2.0], "s", aim)["is_met"])

    def test_an_aim_from_below_is_met_at_the_limit_and_not_under_it(self):
        aim = (pairs.AT_LEAST, 0.6)
        self.assertTrue(pairs.compare([6.0], [10.0], "MB/s", aim)["is_met"])
        self.assertFalse(pairs.compare([5.9], [10.0], "MB/s", aim)["is_met"])

    def test_without_an_aim_nothing_is_met_or_missed(self):
        self.assertNotIn("is_met", pairs.compare([1.0], [2.0], "s"))
        self.assertNotIn("is_met", pairs.written_down([1.0], "s"))

    def test_a_limit_is_held_against_the_median(self):
        self.assertTrue(pairs.limit([1.0, 2.0, 90.0], "ms", 2)["is_met"])
        self.assertFalse(pairs.limit([1.0, 2.1, 90.0], "ms", 2)["is_met"])


class Percentile(unittest.TestCase):
    def test_the_nearest_rank(self):
        values = list(range(1, 101))
        self.assertEqual(pairs.percentile(values, 99), 99)
        self.assertEqual(pairs.percentile(values, 50), 50)
        self.assertEqual(pairs.percentile(values, 100), 100)

    def test_order_does_not_matter(self):
        self.assertEqual(pairs.percentile([9, 1, 5], 50), 5)

    def test_of_few_the_99th_is_the_greatest(self):
        self.assertEqual(pairs.percentile([3, 1, 2], 99), 3)

    def test_of_nothing_is_no_figure(self):
        with self.assertRaisesRegex(pairs.Failed, "nothing was measured"):
            pairs.percentile([], 99)


class Rates(unittest.TestCase):
    def test_millions_in_a_second(self):
        self.assertEqual(pairs.rates(4_000_000, [1.0, 2.0]), [4.0, 2.0])


class Measure(unittest.TestCase):
    def test_runs_alternate(self):
        order = []
        pairs.measure([lambda: order.append("a"), lambda: order.append("b")], 3)
        self.assertEqual("".join(order), "ababab")

    def test_each_keeps_its_own_values(self):
        a, b, c = pairs.measure([lambda: 1, lambda: 2, lambda: 3], 2)
        self.assertEqual((a, b, c), ([1, 1], [2, 2], [3, 3]))


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


class Table(unittest.TestCase):
    def test_a_row_says_whether_the_aim_was_met(self):
        met = {"variant": "v", **pairs.compare([1.0], [4.0], "ms", (pairs.AT_MOST, 0.5))}
        missed = {"variant": "v", **pairs.compare([3.0], [4.0], "ms", (pairs.AT_MOST, 0.5))}
        self.assertIn("at most 0.5, met", table.row("n", met))
        self.assertIn("at most 0.5, MISSED", table.row("n", missed))

    def test_a_figure_without_a_peer_has_no_ratio(self):
        self.assertNotIn(" x", table.row("n", {"variant": "v", **pairs.written_down([1.5], "/s")}))

    def test_amounts_have_three_digits_that_say_something(self):
        self.assertEqual(table.amount({"median": 0.1234, "unit": "ms"}), "0.123 ms")
        self.assertEqual(table.amount({"median": 12.34, "unit": "ms"}), "12.3 ms")
        self.assertEqual(table.amount({"median": 1234.5, "unit": "MB/s"}), "1234 MB/s")


if __name__ == "__main__":
    unittest.main()
