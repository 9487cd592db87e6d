"""ssh on a terminal of ours."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time


class Terminal:
    def __init__(self, config, rows, columns, *options, characters=None):
        """`characters`: of the terminal, by index: {termios.VINTR: b"\\x07"}."""
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            if characters:
                modes = termios.tcgetattr(0)
                for index, value in characters.items():
                    modes[6][index] = value
                termios.tcsetattr(0, termios.TCSANOW, modes)
            os.execvp("ssh", ["ssh", "-F", config, "-tt", *options, "n"])

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, data):
        os.write(self.fd, data)

    def say(self, line):
        self.type(line.encode() + b"\n")

    def until(self, text, timeout=15):
        """Everything seen, as soon as `text` is in it."""
        end = time.monotonic() + timeout
        while text not in self.seen and time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            self.seen += data.decode(errors="replace")
        return self.seen

    def wait(self):
        self.until("\0never\0", 1)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)
