"""The licences of the crates that are linked into the program, which they require to be distributed with it."""

import json
from collections import defaultdict
from pathlib import Path

from checkout import TARGET, fail, run

NAMES = ("license", "licence", "copying", "notice", "copyright", "unlicense")


def linked():
    """The packages that are compiled into the program: not those of build scripts and tests."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    metadata = json.loads(run(*command, capture=True))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] == "oneflight"]
    found = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for dependency in nodes[name]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    foreign = [packages[name] for name in found if packages[name]["source"]]
    return sorted(foreign, key=lambda package: (package["name"], package["version"]))


def text():
    """Each licence once, below the packages that have it."""
    packages_of = defaultdict(list)
    described = []
    for package in linked():
        title = f"{package['name']} {package['version']}"
        described.append(f"{title}: {package['license'] or 'see its licence file'}")
        folder = Path(package["manifest_path"]).parent
        files = [file for file in folder.iterdir() if file.is_file() and file.name.lower().startswith(NAMES)]
        for file in files:
            licence = "\n".join(line.rstrip() for line in file.read_text(errors="replace").splitlines()).strip()
            packages_of[licence].append(title)
    if not described:
        fail("expected dependencies, got none")
    parts = ["The program contains these crates, under these licences:", "\n".join(described)]
    for licence, titles in sorted(packages_of.items(), key=lambda each: each[1]):
        parts.append(f"{'=' * 80}\nThe licence of {', '.join(sorted(set(titles)))}:\n\n{licence}")
    return "\n\n".join(parts) + "\n"
