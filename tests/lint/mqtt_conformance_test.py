"""docs/mqtt-conformance.md tells the truth: each test that it names exists, each statement has one or a reason, and stands there once."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = {"mqtt": "libs/mqtt", "gateway": "services/gateway", "net": "libs/net", "e2e": "tests/e2e"}
VERSIONS = ["MQTT 5.0", "MQTT 3.1.1"]


def tables():
    """(version, id, coverage) of each row."""
    text = (ROOT / "docs" / "mqtt-conformance.md").read_text()
    for version in VERSIONS:
        section = text.split(f"\n## {version}\n", 1)[1].split("\n## ", 1)[0]
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 3 and re.fullmatch(r"[\d.-]+-\d+", cells[0]):
                yield version, cells[0], cells[2]


def names_in(path):
    text = path.read_text()
    if path.suffix == ".py":
        return set(re.findall(r"^def (test_\w+)", text, re.M))
    return set(re.findall(r"^TEST(?:_P|_F)?\(\w+,\s*(\w+)\)", text, re.M))


def test_the_tables_are_read():
    rows = list(tables())
    for version in VERSIONS:
        assert sum(v == version for v, _, _ in rows) > 100, version


def test_each_named_test_exists():
    wrong = []
    for version, statement, coverage in tables():
        for reference in re.findall(r"`([^`]+)`", coverage):
            match = re.fullmatch(r"(\w+)/(\w+\.(?:cpp|py)): (\w+)", reference)
            path = match and ROOT / FOLDERS.get(match[1], "nowhere") / match[2]
            if not match or not path.is_file() or match[3] not in names_in(path):
                wrong.append(f"{version} {statement}: {reference}")
    assert not wrong, "no such test:\n" + "\n".join(wrong)


def test_each_statement_has_a_test_or_a_reason():
    wrong = [f"{version} {statement}" for version, statement, coverage in tables()
             if not re.match(r"`|not applicable: \w|\*\*not done\*\*: \w", coverage)]
    assert not wrong, wrong


def test_each_statement_stands_there_once():
    seen = [(version, statement) for version, statement, _ in tables()]
    assert len(seen) == len(set(seen)), sorted({s for s in seen if seen.count(s) > 1})


def test_what_is_not_done_is_counted_right():
    text = (ROOT / "docs" / "mqtt-conformance.md").read_text()
    told = re.search(r"Not done: (\d+) statements of 5\.0, (\d+) of 3\.1\.1", text)
    counted = [sum(v == version and c.startswith("**not done**") for v, _, c in tables()) for version in VERSIONS]
    assert [int(told[1]), int(told[2])] == counted
