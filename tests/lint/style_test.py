"""House rules that a machine can read: format, awaits, file length, words that do not belong here."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500


def tracked(*patterns):
    # What is committed and what would be: a new file is judged before it lands.
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / line for line in out.stdout.splitlines() if (ROOT / line).is_file()]


def test_sources_are_formatted():
    files = [str(p) for p in tracked("*.cpp", "*.hpp")]
    result = subprocess.run(["clang-format-16", "--dry-run", "--Werror", *files], capture_output=True, text=True)
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", result.stderr, re.M)))
    assert not wrong, "run ./dev fmt for: " + ", ".join(str(pathlib.Path(w).relative_to(ROOT)) for w in wrong)


def test_files_are_of_one_thing():
    long = {p.relative_to(ROOT): n for p in tracked("*.cpp", "*.hpp", "*.py")
            if (n := len(p.read_text().splitlines())) > FILE_LINES_MAX}
    assert not long, f"over {FILE_LINES_MAX} lines, split by what they do: {long}"


def test_headers_say_what_they_are_for():
    wrong = [str(p.relative_to(ROOT)) for p in tracked("*.hpp") if not p.read_text().lstrip().startswith("//")]
    assert not wrong, f"a header opens with what it is for, what it owns, where it lives, what limits it: {wrong}"


def statements(text):
    """Statements of C++ text, roughly: cut at ; { } outside of literals and comments."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    return re.split(r"[;{}]", text)


def without_condition(statement):
    """The statement behind `if (...)` and the like, and what stood in the parentheses."""
    match = re.match(r"\s*(?:else\s+)?(?:if|while|for|switch)\s*\(", statement)
    if not match:
        return statement, ""
    depth, at = 1, match.end()
    while at < len(statement) and depth:
        depth += {"(": 1, ")": -1}.get(statement[at], 0)
        at += 1
    return statement[at:], statement[match.end():at - 1]


def test_awaits_are_simple():
    """One co_await a statement; none in a condition, a ternary, && or ||: compilers get those wrong."""
    problems = []
    for path in tracked("*.cpp", "*.hpp"):
        for statement in statements(path.read_text()):
            rest, condition = without_condition(statement)
            bad = "co_await" in condition or rest.count("co_await") > 1
            bad = bad or ("co_await" in rest and re.search(r"&&|\|\||\?", rest))
            if bad and not re.match(r"\s*template", statement):
                problems.append(f"{path.relative_to(ROOT)}: {' '.join(statement.split())[:100]}")
    assert not problems, "\n" + "\n".join(problems)


def test_no_braced_co_return():
    wrong = [str(p.relative_to(ROOT)) for p in tracked("*.cpp", "*.hpp") if re.search(r"co_return\s*\{", p.read_text())]
    assert not wrong, f"write co_return Type(...): {wrong}"


def test_no_unfinished_work():
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK|GTEST_SKIP)\b|\bTEST\w*\(\w+, DISABLED_")
    wrong = []
    for path in tracked("*.cpp", "*.hpp", "*.py", "dev"):
        if path == pathlib.Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_swallowed_exception():
    wrong = [str(p.relative_to(ROOT)) for p in tracked("*.cpp", "*.hpp")
             if re.search(r"catch\s*\([^)]*\)\s*\{\s*\}", p.read_text())]
    assert not wrong, f"an empty catch swallows an error: {wrong}"


def test_shell_scripts_are_sound():
    scripts = [str(ROOT / "dev"), str(ROOT / ".ci" / "run")]
    result = subprocess.run(["shellcheck", "-S", "warning", *scripts], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_every_library_has_a_readme():
    missing = [p.name for p in (ROOT / "libs").iterdir() if p.is_dir() and not (p / "README.md").is_file()]
    assert not missing, f"a short README.md each: {missing}"
