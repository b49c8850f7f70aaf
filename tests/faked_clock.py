"""A wall clock of its own for one process, set by the test: Debian's libfaketime, on CLOCK_REALTIME alone. The machine's clock, and
the process's monotonic one, by which timers run, are left as they are."""
import os
import pathlib
import time

LIBRARY = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class FakedClock:
    def __init__(self, folder):
        self.file, self.offset = folder / "clock-offset", 0.0
        self.set(0)

    def env(self):
        assert LIBRARY.exists(), "apt-get install faketime (./dev setup --tests does)"
        # The offset is read at each look: no process waits for a cache to expire.
        return {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds):
        """From now on so far from the true time."""
        self.offset = float(seconds)
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self.file)

    def now_ms(self):
        return (time.time() + self.offset) * 1000
