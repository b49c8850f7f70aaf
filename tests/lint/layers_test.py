"""libs/layers.txt is the architecture: every #include is read against it."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBS = ROOT / "libs"
SERVICES = ROOT / "services"

# Third-party headers and the only libraries in whose files they may appear (the owner's job: nobody else sees them).
OWNERS = {
    r"boost/beast": {"http"},
    r"boost/asio": {"async", "net"},
    r"spdlog/": {"log"},
    r"sqlite3\.h": {"sqlite"},
    r"librdkafka/": {"bus"},
    r"pqxx/|libpq-fe\.h": {"store"},
    r"openssl/": {"crypto", "net", "pki"},
    r"nlohmann/": {"json"},
    r"simdjson\.h": {"report"},
    r"yaml-cpp/": {"config"},
}
PURE_FORBIDDEN = {"<thread>", "<mutex>", "<fstream>", "<filesystem>", "<sys/socket.h>", "<condition_variable>", "<random>"}


def read_table():
    layers, pure = {}, set()
    for number, line in enumerate((LIBS / "layers.txt").read_text().splitlines(), 1):
        body, _, comment = line.partition("#")
        if not body.strip():
            continue
        name, colon, deps = body.partition(":")
        assert colon, f"libs/layers.txt:{number}: a line is NAME: DEPENDENCY..."
        layers[name.strip()] = deps.split()
        if comment.strip() == "pure":
            pure.add(name.strip())
    return layers, pure


LAYERS, PURE = read_table()


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line)
        if match:
            yield number, match.group(1)


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".cpp", ".hpp"))


def test_the_table_runs_downwards():
    above = []
    for name, deps in LAYERS.items():
        wrong = [d for d in deps if d not in above]
        assert not wrong, f"libs/layers.txt: {name} may not use {wrong}: a line names only libraries from lines above it"
        above.append(name)


def test_pure_libraries_use_only_pure_ones():
    for name in PURE:
        wrong = [d for d in LAYERS[name] if d not in PURE and d != "crypto"]
        assert not wrong, f"{name} is pure and may not use {wrong}: take bytes, time and keys as arguments instead"


def test_every_folder_has_a_line():
    folders = {p.name for p in LIBS.iterdir() if p.is_dir()}
    assert folders == set(LAYERS), "each folder of libs/ has one line in libs/layers.txt, and the other way round"


@pytest.mark.parametrize("library", sorted(LAYERS))
def test_includes_of_library(library):
    problems = []
    for path in sources(LIBS / library):
        is_test = path.name.endswith("_test.cpp")
        for number, header in includes(path):
            where = f"{path.relative_to(ROOT)}:{number}"
            target = header.strip('"<>')
            if header.startswith('"'):
                other = target.split("/")[0]
                if other == "services":
                    problems.append(f"{where}: a library may not include a service: move what both need into a library")
                elif other not in LAYERS:
                    problems.append(f"{where}: write {header} as \"library/file.hpp\"")
                elif other != library and other not in LAYERS[library] and not is_test:
                    problems.append(f"{where}: {library} may not use {other}: take what it needs as an argument, or add the "
                                    "arrow to libs/layers.txt if it points down and the design wants it")
            else:
                for pattern, owners in OWNERS.items():
                    if re.match(pattern, target) and library not in owners and not is_test:
                        problems.append(f"{where}: {header} belongs to {sorted(owners)}: use their header instead")
                if library in PURE and header in PURE_FORBIDDEN and library != "core" and not is_test:
                    problems.append(f"{where}: {library} is pure: no {header}")
    assert not problems, "\n" + "\n".join(problems)


def test_services_never_include_one_another():
    problems = []
    for role in sorted(p for p in SERVICES.iterdir() if p.is_dir()):
        for path in sources(role):
            for number, header in includes(path):
                match = re.match(r'"services/([a-z]+)/', header)
                if match and match.group(1) != role.name and role.name != "fleetward":
                    problems.append(f"{path.relative_to(ROOT)}:{number}: roles never include one another: what passes between "
                                    "them is a topic or a row; move shared code into libs/")
    assert not problems, "\n" + "\n".join(problems)
