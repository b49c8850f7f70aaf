"""The script `dev` itself."""
import os
import pathlib
import re
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


def pages():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in names.stdout.split()]


def test_commands_that_are_documented_are_there():
    """In every page, and in the usage; and what the usage tells is there."""
    script = (ROOT / "dev").read_text()
    known = {word for label in re.findall(r"^    ([a-z][a-z -|]*)\)", script, re.MULTILINE) for word in label.split(" | ")}
    usage = re.search(r"<<'TEXT'\n(.*?)^TEXT", script, re.DOTALL | re.MULTILINE).group(1)
    told = set(re.findall(r"^  ([a-z]+) ", usage, re.MULTILINE))
    assert told and told <= known, told - known
    for page in pages():
        used = set(re.findall(r"\./dev ([a-z]+)", page.read_text()))
        assert used <= known, f"{page}: {used - known}"


def test_options_of_the_demo_are_told_and_taken():
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True, timeout=30).stdout
    told = set(re.findall(r"--[a-z]+", "".join(re.findall(r"^  demo .*$", usage, re.MULTILINE))))
    taken = set(re.findall(r"--[a-z]+", subprocess.run([ROOT / "dev", "demo", "--help"], capture_output=True, text=True, check=True,
                                                      timeout=30).stdout))
    assert told == {"--keep", "--down", "--help", "--distributed"}
    assert told <= taken, told - taken


def test_packages_are_explained():
    """Each that the tests and the distributed demo install stands in docs/dependencies.md with its reason."""
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    lists = re.findall(r"^(?:DISTRIBUTED|TEST|PEER)_PACKAGES=\((.*?)\)", (ROOT / "dev").read_text(), re.DOTALL | re.MULTILINE)
    packages = {word for words in lists for word in words.split() if "$" not in word}
    assert "postgresql-15" in packages and "mosquitto" in packages
    assert {p for p in packages if not re.search(rf"(?<![\w-]){re.escape(p)}(?![\w-])", explained)} == set()
