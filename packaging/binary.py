"""The program: static, for any Linux of its processor, and without symbols."""

import os
import shutil
from pathlib import Path

from checkout import ROOT, TARGET, TARGET_DIR, fail, run, tar


def build():
    """Builds the program and returns its path."""
    if not shutil.which("musl-gcc"):
        fail("expected musl-gcc, a C compiler for static programs, got none; on Debian: apt install musl-tools")
    run("rustup", "target", "add", TARGET)
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    environment = {
        "CARGO_PROFILE_RELEASE_DEBUG": "false",
        "CARGO_PROFILE_RELEASE_STRIP": "symbols",
        # Messages of panics name no folder of the machine that builds it.
        "RUSTFLAGS": f"--remap-path-prefix={home}=/cargo --remap-path-prefix={ROOT}=/oneflight",
    }
    run("cargo", "build", "--release", "--locked", "--package", "oneflight", "--target", TARGET, env=environment)
    return TARGET_DIR / TARGET / "release/oneflight"


def archive(release):
    """The program with its manual pages, completions, examples and licences."""
    files = [("oneflight", release.program.read_bytes(), 0o755)]
    files += [(name, content, 0o644) for name, content in release.documents.items()]
    files += [(f"man/man1/{name}", page, 0o644) for name, page in release.manual.items()]
    files += [(f"completions/oneflight.{shell}", text, 0o644) for shell, text in release.completions.items()]
    name = f"oneflight-{release.version}-{TARGET if release.is_static else TARGET.replace('musl', 'gnu')}"
    file = release.out / f"{name}.tar.gz"
    file.write_bytes(tar(files, release.epoch, name))
    return file
