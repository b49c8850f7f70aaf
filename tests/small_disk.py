"""A file system of a fixed size, that a test can fill."""
import pytest

from harness import run


class SmallDisk:
    """A file system of its own, of a fixed size, that can be filled to its last byte."""

    def __init__(self, folder, size):
        self.folder, self.filler = folder, folder / "filler"
        folder.mkdir(parents=True)
        try:
            run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder)
        except AssertionError as error:
            pytest.fail("this test mounts a small file system: run it as root, in a container that may mount (for instance "
                        f"`--cap-add SYS_ADMIN`)\n{error}")

    def fill(self):
        with open(self.filler, "ab", buffering=0) as file:
            for chunk in (1 << 20, 4096):
                try:
                    while file.write(b"\0" * chunk):
                        pass
                except OSError as error:
                    assert error.errno == 28, error  # ENOSPC

    def free(self):
        self.filler.unlink()

    def unmount(self):
        run("umount", "-l", self.folder)
