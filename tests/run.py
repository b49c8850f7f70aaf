#!/usr/bin/env python3
"""Runs every test there is and says at the end how many: GoogleTest programs, then pytest suites, two at a time.

A skipped or disabled test counts as a failure: what is in the suite runs.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM_SECONDS_MAX = 600
SUITE_SECONDS_MAX = 1800


class Outcome:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.seconds, self.output = name, 0, 0, 0.0, ""
        self.skipped = 0


def run(command, log, seconds_max, env=None):
    """The exit code; the output goes to `log`. A run over its time is killed with everything it started."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=env, start_new_session=True)
        try:
            return process.wait(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            out.write(f"\nkilled after {seconds_max} s\n")
            return -9


def run_program(program, results):
    outcome = Outcome(program.name)
    report, log = results / f"{program.name}.json", results / f"{program.name}.log"
    report.unlink(missing_ok=True)
    start = time.monotonic()
    if not program.exists():
        outcome.failed, outcome.output = 1, "it was not built"
        return outcome
    code = run([str(program), f"--gtest_output=json:{report}", "--gtest_brief=1"], log, PROGRAM_SECONDS_MAX)
    outcome.seconds = time.monotonic() - start
    if report.exists():
        data = json.loads(report.read_text())
        for suite in data["testsuites"]:
            for test in suite["testsuite"]:
                if test["status"] != "RUN" or test["result"] == "SKIPPED":
                    outcome.skipped += 1
                elif test.get("failures"):
                    outcome.failed += 1
                else:
                    outcome.passed += 1
    if code != 0 and outcome.failed == 0:
        outcome.failed += 1  # it crashed, hung or has no tests
    if outcome.failed:
        outcome.output = log.read_text(errors="replace")[-8000:]
    return outcome


def run_suite(suite, words, build, results):
    outcome = Outcome(f"tests/{suite}")
    report, log = results / f"{suite}.xml", results / f"{suite}.log"
    report.unlink(missing_ok=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-x" if "-x" in words else "--maxfail=1000", f"--junitxml={report}",
               "-p", "no:cacheprovider", f"tests/{suite}"]
    if words:
        command += ["-k", " or ".join(words)]
    env = dict(os.environ, FLEETWARD_BUILD=str(build), PYTHONDONTWRITEBYTECODE="1")
    code = run(command, log, SUITE_SECONDS_MAX, env)
    outcome.seconds = time.monotonic() - start
    if report.exists():
        root = ElementTree.parse(report).getroot()
        for case in root.iter("testcase"):
            if case.find("skipped") is not None:
                outcome.skipped += 1
            elif case.find("failure") is not None or case.find("error") is not None:
                outcome.failed += 1
            else:
                outcome.passed += 1
    nothing_selected = code == 5 and words
    if code != 0 and not nothing_selected and outcome.failed == 0:
        outcome.failed += 1
    if outcome.failed:
        outcome.output = log.read_text(errors="replace")[-12000:]
    return outcome


def tell(outcome, outcomes):
    outcomes.append(outcome)
    word = "ok  " if not outcome.failed and not outcome.skipped else "FAIL"
    extra = f", {outcome.skipped} skipped" if outcome.skipped else ""
    print(f"{word} {outcome.name:32} {outcome.passed:5} passed, {outcome.failed} failed{extra}  {outcome.seconds:6.1f} s", flush=True)
    if outcome.output:
        print(outcome.output, flush=True)


def run_all(work, items, outcomes):
    """Two at a time; each is told when it ends."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for future in concurrent.futures.as_completed([pool.submit(work, item) for item in items]):
            tell(future.result(), outcomes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/dev", type=pathlib.Path)
    parser.add_argument("--only-programs", action="store_true", help="GoogleTest programs only")
    parser.add_argument("--only-python", metavar="SUITE", help="one pytest suite only: lint, e2e, ...")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    build = (ROOT / args.build).resolve()
    results = build / "test-results"
    results.mkdir(parents=True, exist_ok=True)
    outcomes = []

    if not args.only_python:
        programs = [pathlib.Path(line) for line in (build / "test-programs.txt").read_text().split()]
        programs = [p for p in programs if not args.words or any(w in p.name for w in args.words)]
        run_all(lambda p: run_program(p, results), programs, outcomes)
    if not args.only_programs:
        # The longest first: the others run beside it, one after another.
        suites = [args.only_python] if args.only_python else ["fault", "e2e", "conformance", "lint"]
        words = [] if args.only_python else args.words
        run_all(lambda s: run_suite(s, words, build, results), suites, outcomes)

    passed = sum(o.passed for o in outcomes)
    failed = sum(o.failed + o.skipped for o in outcomes)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
