"""A Debian package: the program, a service that is not started until it is configured, manual pages and completions."""

import gzip
import os
import shutil
from email.utils import formatdate

from checkout import ROOT, SUMMARY, run

COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/oneflight",
    "zsh": "usr/share/zsh/vendor-completions/_oneflight",
    "fish": "usr/share/fish/vendor_completions.d/oneflight.fish",
}

DESCRIPTION = """\
 Oneflight runs a client, such as the part of a service that calls another
 service, as a WebAssembly component. Callers that request the same thing at
 the same time share one call to the upstream.
 .
 This package has the program and a systemd service, which reads
 /etc/oneflight/oneflight.toml and is not enabled by default.
"""


def make(release):
    folder = release.folder / "deb"
    place(release, folder)
    control(release, folder)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (release.epoch, release.epoch), follow_symlinks=False)
    file = release.out / f"oneflight_{release.version}_amd64.deb"
    environment = {"SOURCE_DATE_EPOCH": str(release.epoch)}
    # xz, which every Debian and Ubuntu reads.
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", folder, file, env=environment)
    return file


def place(release, folder):
    def write(path, content, mode=0o644):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)

    documents = dict(release.documents)
    write("usr/bin/oneflight", release.program.read_bytes(), 0o755)
    write("usr/lib/systemd/system/oneflight.service", documents.pop("examples/oneflight.service"))
    write("etc/oneflight/oneflight.toml", documents["examples/oneflight.toml"])
    write("etc/oneflight/oneflight.schema.json", documents["examples/oneflight.schema.json"])
    for name, page in release.manual.items():
        write(f"usr/share/man/man1/{name}.gz", gzip.compress(page, mtime=0))
    for shell, path in COMPLETIONS.items():
        write(path, release.completions[shell])
    doc = "usr/share/doc/oneflight"
    changelog = documents.pop("CHANGELOG.md")
    # Debian has them in its copyright file.
    mit, _ = documents.pop("LICENSE-MIT"), documents.pop("LICENSE-APACHE")
    write(f"{doc}/copyright", copyright(mit))
    entry = f"oneflight ({release.version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {maintainer()}  "
    entry += formatdate(release.epoch) + "\n"
    write(f"{doc}/changelog.gz", gzip.compress(entry.encode(), mtime=0))
    write(f"{doc}/CHANGELOG.md.gz", gzip.compress(changelog, mtime=0))
    licences = documents.pop("LICENSES-OF-DEPENDENCIES")
    write(f"{doc}/LICENSES-OF-DEPENDENCIES.gz", gzip.compress(licences, mtime=0))
    for name, content in documents.items():
        write(f"{doc}/{name}", content)


def copyright(mit):
    """The machine-readable form, version 1.0. Apache-2.0 is in every Debian system."""
    indented = "".join(f" {line or '.'}\n" for line in mit.decode().strip().splitlines())
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: oneflight\n\n"
        "Files: *\nCopyright: 2026 the authors of Oneflight\nLicense: Expat or Apache-2.0\n"
        "Comment: LICENSES-OF-DEPENDENCIES has the licences of the crates in the program.\n\n"
        f"License: Expat\n{indented}\n"
        "License: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n"
    ).encode()


def maintainer():
    """Who makes the package, by the variables that the tools of Debian read."""
    return f"{os.environ.get('DEBFULLNAME', 'Oneflight')} <{os.environ.get('DEBEMAIL', 'root@localhost')}>"


def control(release, folder):
    debian = folder / "DEBIAN"
    debian.mkdir()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1024
    # The C library of the system on which a dynamic program, which is not published, is built.
    depends = "" if release.is_static else "Depends: libc6, libgcc-s1\n"
    (debian / "control").write_text(
        f"Package: oneflight\nVersion: {release.version}\nArchitecture: amd64\n"
        f"Maintainer: {maintainer()}\n"
        f"Installed-Size: {size}\n{depends}Recommends: ca-certificates\nSection: net\nPriority: optional\n"
        f"Description: {SUMMARY.split(';')[0][0].lower()}{SUMMARY.split(';')[0][1:]}\n{DESCRIPTION}"
    )
    (debian / "conffiles").write_text("/etc/oneflight/oneflight.toml\n/etc/oneflight/oneflight.schema.json\n")
    for script in ["postinst", "prerm", "postrm"]:
        shutil.copyfile(ROOT / "packaging/debian" / script, debian / script)
        (debian / script).chmod(0o755)
