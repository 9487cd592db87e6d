"""python3 bench/delay_line_test.py"""

import os
import socket
import threading
import time
import unittest

import delay_line

DELAY_S = 0.05


class Line(unittest.TestCase):
    """Between a client and a server that the test has in its hands."""

    def setUp(self):
        self.far = socket.create_server(("127.0.0.1", 0))
        listener = socket.create_server(("127.0.0.1", 0))
        where = self.far.getsockname()
        threading.Thread(target=delay_line.serve, args=(listener, where, DELAY_S), daemon=True).start()
        self.client = socket.create_connection(listener.getsockname(), 5)
        self.server, _ = self.far.accept()
        for end in (self.client, self.server):
            end.settimeout(5)
            self.addCleanup(end.close)
        self.addCleanup(self.far.close)

    def test_each_way_takes_the_delay(self):
        start = time.monotonic()
        self.client.sendall(b"x")
        self.assertEqual(self.server.recv(1), b"x")
        there = time.monotonic()
        self.server.sendall(b"y")
        self.assertEqual(self.client.recv(1), b"y")
        self.assertGreaterEqual(there - start, DELAY_S)
        self.assertGreaterEqual(time.monotonic() - there, DELAY_S)

    def test_bytes_do_not_wait_for_each_other(self):
        start = time.monotonic()
        for _ in range(20):
            self.client.sendall(b"x")
            time.sleep(DELAY_S / 10)
        got = b""
        while len(got) < 20:
            got += self.server.recv(20)
        self.assertLess(time.monotonic() - start, 20 * DELAY_S)

    def test_all_bytes_come_in_order_and_so_does_the_end(self):
        sent = os.urandom(3 << 20)

        def send():
            self.client.sendall(sent)
            self.client.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        got = b""
        while part := self.server.recv(1 << 20):
            got += part
        self.assertEqual(got, sent)
        self.server.sendall(b"still")  # the other way is open
        self.assertEqual(self.client.recv(5), b"still")

    def test_who_goes_away_is_seen_to_have_gone(self):
        self.client.close()
        self.assertEqual(self.server.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
