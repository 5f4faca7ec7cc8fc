"""What all parts of the packaging share: the checkout, its version and time, running commands, and archives."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET_DIR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()

# The platform that is built. Its names in Debian, npm and PyPI are in the modules of these packages.
TARGET = "x86_64-unknown-linux-musl"

SUMMARY = "Runs your client as a WebAssembly component; callers that request the same thing at the same time share one call"


def fail(message):
    sys.exit(f"error: {message}")


def run(*command, capture=False, env=None, cwd=ROOT):
    """Runs a command, which must succeed; returns its output if it is captured."""
    command = [str(word) for word in command]
    environment = {**os.environ, **(env or {})}
    try:
        output = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE if capture else None, check=True)
    except FileNotFoundError:
        fail(f"{command[0]} is not installed")
    except subprocess.CalledProcessError as error:
        fail(f"`{' '.join(command)}` ended with {error.returncode}")
    return output.stdout.decode().strip() if capture else None


def version():
    """The version of the workspace."""
    section = (ROOT / "Cargo.toml").read_text().split("[workspace.package]")[1]
    return section.split('version = "')[1].split('"')[0]


def epoch():
    """The time of the commit, which all files in all packages have, so that they can be made again."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct", capture=True))


def tar(files, epoch, prefix):
    """A compressed archive of files, each (name, content, mode), that depends on nothing but them and the time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, mode in sorted(files):
            entry = tarfile.TarInfo(f"{prefix}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, epoch
            tar.addfile(entry, io.BytesIO(content))
    # The greatest level takes several times as long, and saves half a percent.
    return gzip.compress(archive.getvalue(), compresslevel=6, mtime=epoch)
