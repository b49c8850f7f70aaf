"""A wall clock of its own for one process, set by the test (wall_clock.c). The machine's clock, and the process's monotonic one, by
which timers run, are left as they are."""
import os
import struct
import time

from harness import ROOT, run


def clock_of_1970(folder):
    """The environment of a process that was started back then."""
    return FakedClock(folder, 86_400 - int(time.time())).env()


class FakedClock:
    def __init__(self, folder, seconds=0):
        self.library, self.file = folder / "wall_clock.so", folder / "clock-offset"
        run("clang-16", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", self.library, ROOT / "tests" / "wall_clock.c")
        self.file.write_bytes(struct.pack("=q", seconds))

    def env(self):
        return {"LD_PRELOAD": str(self.library), "WALL_CLOCK_OFFSET": str(self.file)}

    def set(self, seconds):
        """From now on so far from the true time."""
        fd = os.open(self.file, os.O_WRONLY)
        try:
            os.pwrite(fd, struct.pack("=q", seconds), 0)  # the process has the file's page mapped
        finally:
            os.close(fd)
