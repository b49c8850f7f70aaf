"""The script `dev` itself."""
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_an_edit_does_not_disturb_a_run(tmp_path):
    """The shell reads a script while it runs it: here a command of the run writes over it, in place."""
    script = tmp_path / "dev"
    shutil.copy(ROOT / "dev", script)
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\nyes 'exit 42' | head -n 20000 >{script}\n")
    git.chmod(0o755)
    path = f"{git.parent}:{os.environ['PATH']}"
    result = subprocess.run([script, "fmt"], env=dict(os.environ, PATH=path), capture_output=True, text=True, timeout=30)
    assert script.read_text().startswith("exit 42"), "it was written over"
    assert result.returncode == 0, result
