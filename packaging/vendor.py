"""A folder of crates that cargo uses instead of crates.io: the packages of a release, as if they were published."""

import hashlib
import json
import subprocess
import tarfile

from crates import NAMES
from checkout import ROOT, version


def make(dist, folder):
    """Fills `folder` and returns the configuration of cargo that refers to it."""
    sources = folder / "crates"
    # The dependencies, from the checkout's Cargo.lock, which has the versions of the packaged one.
    vendor = ["cargo", "vendor", "--locked", "--versioned-dirs", "--quiet", sources]
    subprocess.run(vendor, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for name in NAMES:
        file = dist / f"{name}-{version()}.crate"
        with tarfile.open(file) as archive:
            archive.extractall(sources, filter="data")
        checksum = {"files": {}, "package": hashlib.sha256(file.read_bytes()).hexdigest()}
        (sources / f"{name}-{version()}/.cargo-checksum.json").write_text(json.dumps(checksum))
    config = folder / "config.toml"
    config.write_text(
        f'[source.crates-io]\nreplace-with = "packages"\n[source.packages]\ndirectory = "{sources}"\n'
    )
    return config
