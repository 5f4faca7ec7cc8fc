"""A wheel, which `pip install` puts the program on the path of its environment with."""

import base64
import hashlib
import time
import zipfile

from checkout import ROOT, SUMMARY

# A static program runs with any libc; a dynamic one, which is not published, at least here.
STATIC = "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"
DYNAMIC = "py3-none-linux_x86_64"


def make(release):
    tag = STATIC if release.is_static else DYNAMIC
    name = f"oneflight-{release.version}"
    info = f"{name}.dist-info"
    python, abi, platforms = tag.split("-")
    tags = "".join(f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split("."))
    licences = ["LICENSE-MIT", "LICENSE-APACHE", "LICENSES-OF-DEPENDENCIES"]
    documents = release.documents
    metadata = (
        f"Metadata-Version: 2.4\nName: oneflight\nVersion: {release.version}\nSummary: {SUMMARY}\n"
        "License-Expression: MIT OR Apache-2.0\n"
        + "".join(f"License-File: {licence}\n" for licence in licences)
        + "Keywords: singleflight,wasm,component-model,coalescing,http\n"
        "Description-Content-Type: text/markdown\n\n"
    )
    files = {
        f"{name}.data/scripts/oneflight": release.program.read_bytes(),
        f"{info}/METADATA": metadata.encode() + (ROOT / "README.md").read_bytes(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: oneflight\nRoot-Is-Purelib: false\n{tags}".encode(),
    }
    files.update({f"{info}/licenses/{licence}": documents[licence] for licence in licences})
    record = "".join(f"{path},sha256={digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = release.out / f"{name}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, time.gmtime(release.epoch)[:6])
            mode = 0o755 if "/scripts/" in path else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
