"""A package for npm whose command is the program itself, without a process of Node.js around it."""

import json

from checkout import ROOT, SUMMARY, tar


def make(release):
    manifest = {
        "name": "oneflight",
        "version": release.version,
        "description": SUMMARY,
        "license": "(MIT OR Apache-2.0)",
        "keywords": ["singleflight", "wasm", "component-model", "coalescing", "http"],
        "os": ["linux"],
        "cpu": ["x64"],
        "bin": {"oneflight": "bin/oneflight"},
    }
    documents = release.documents
    files = [
        ("package.json", json.dumps(manifest, indent=2).encode() + b"\n", 0o644),
        ("README.md", (ROOT / "README.md").read_bytes(), 0o644),
        ("bin/oneflight", release.program.read_bytes(), 0o755),
    ]
    licences = ["LICENSE-MIT", "LICENSE-APACHE", "LICENSES-OF-DEPENDENCIES"]
    files += [(name, documents[name], 0o644) for name in licences]
    file = release.out / f"oneflight-{release.version}.tgz"
    file.write_bytes(tar(files, release.epoch, "package"))
    return file
