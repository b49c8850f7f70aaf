#!/usr/bin/env python3
"""Searches for inputs that break something: the libFuzzer programs of tests/fuzz, built by ./dev fuzz.

What is found lies in build/fuzz/found/. A found input becomes a regression: mend the fault with a unit test, then put the
file into tests/fuzz/corpus/NAME/ under a name that says what it is; every run of ./dev test passes it.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "fuzz"
INPUT_BYTES_MAX = {"ocsp": 9000, "http_request": 3000, "mqtt": 3000}


def targets():
    return sorted(p.name.removesuffix("_fuzz.cpp") for p in FOLDER.glob("*_fuzz.cpp"))


def command(build, name, seconds, corpus, found):
    line = [str(build / "tests" / "fuzz" / f"fuzz_{name}"), f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-",
            "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-reload=0", f"-max_len={INPUT_BYTES_MAX.get(name, 4096)}"]
    dictionary = FOLDER / "dictionaries" / f"{name}.dict"
    if dictionary.exists():
        line.append(f"-dict={dictionary}")
    # New inputs go to the first folder, which stays from run to run; the committed ones are only read.
    return line + [str(corpus), str(FOLDER / "corpus" / name)]


def fuzz(build, name, minutes):
    """Whether nothing was found."""
    corpus, found, log = build / "corpus" / name, build / "found", build / f"fuzz-{name}.log"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {minutes:g} min", flush=True)
    with open(log, "w") as out:
        process = subprocess.Popen(command(build, name, max(1, round(minutes * 60)), corpus, found), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace")
        for line in process.stdout:
            out.write(line)
            if re.match(r"#\d+\s+pulse", line):
                print(f"  {line.strip()}", flush=True)
        code = process.wait()
    text = log.read_text(errors="replace")
    runs = re.search(r"number_of_executed_units:\s+(\d+)", text)
    print(f"  {runs.group(1) if runs else '?'} runs, {len(list(corpus.iterdir()))} inputs kept in {corpus.relative_to(ROOT)}", flush=True)
    if code == 0:
        return True
    crash = re.search(r"Test unit written to (\S+)", text)
    print("\n".join(text.splitlines()[-60:]))
    print(f"FOUND by {name}: {crash.group(1) if crash else 'see the log'}; whole output in {log.relative_to(ROOT)}", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/fuzz", type=pathlib.Path)
    parser.add_argument("target", choices=[*targets(), "all"])
    parser.add_argument("minutes", nargs="?", type=float, default=5)
    args = parser.parse_args()
    build = (ROOT / args.build).resolve()
    wanted = targets() if args.target == "all" else [args.target]
    results = [fuzz(build, name, args.minutes) for name in wanted]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
