"""What the packages of one release have in common: the program, and the files that belong to it."""

import functools
import tempfile
from pathlib import Path

import licences
from checkout import ROOT, epoch, run, version


class Release:
    """A stripped program, and what it prints about itself."""

    def __init__(self, program, out):
        self.out = out
        self.version = version()
        self.epoch = epoch()
        # Python removes it at its end.
        self.temporary = tempfile.TemporaryDirectory(prefix="oneflight-release-")
        self.folder = Path(self.temporary.name)
        self.program = self.folder / "oneflight"
        run("strip", "-o", self.program, program)
        self.program.chmod(0o755)
        # The interpreter that a dynamic program names: it then runs only where that libc is.
        self.is_static = b"/ld-linux-x86-64.so.2\0" not in self.program.read_bytes()

    def printed(self, *command):
        return run(self.program, *command, capture=True).encode() + b"\n"

    @functools.cached_property
    def documents(self):
        """What is not the program: each file by its name, with its content."""
        names = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE"]
        files = {name: (ROOT / name).read_bytes() for name in names}
        files["LICENSES-OF-DEPENDENCIES"] = licences.text().encode()
        files["examples/oneflight.toml"] = self.printed("config", "example")
        files["examples/oneflight.schema.json"] = self.printed("config", "schema")
        files["examples/grafana-dashboard.json"] = self.printed("metrics", "dashboard")
        files["examples/prometheus-alerts.yml"] = self.printed("metrics", "alerts")
        files["examples/oneflight.service"] = (ROOT / "host/examples/oneflight.service").read_bytes()
        return files

    @functools.cached_property
    def manual(self):
        """The manual pages by their file names."""
        folder = self.folder / "man1"
        run(self.program, "man", folder)
        return {page.name: page.read_bytes() for page in sorted(folder.iterdir())}

    @functools.cached_property
    def completions(self):
        """The completions by the name of the shell."""
        return {shell: self.printed("completions", shell) for shell in ["bash", "zsh", "fish"]}
