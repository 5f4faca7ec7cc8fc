"""An image for containers, of the program that is already built: the last stage of packaging/Containerfile."""

from checkout import ROOT, fail, run

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def make(release):
    if not release.is_static:
        fail("expected a static program for an image without a C library, got a dynamic one")
    context = release.folder / "image"
    parts(release.program, context / "parts")
    # The stage before it builds the program from source, and then runs packaging/image-parts.
    last = (ROOT / "packaging/Containerfile").read_text().split("\nFROM scratch\n")[1]
    (context / "Containerfile").write_text("FROM scratch\n" + last.replace("--from=build /parts/", "parts/"))
    file = release.out / f"oneflight-{release.version}-image.tar"
    file.unlink(missing_ok=True)
    name = f"oneflight:{release.version}"
    run(
        *["buildah", "bud", "--isolation", "chroot", "--layers", "--timestamp", release.epoch],
        *["--tag", name, "--file", context / "Containerfile", context],
    )
    run("buildah", "push", name, f"oci-archive:{file}:{name}")
    return file


def parts(program, folder):
    run(ROOT / "packaging/image-parts", program, folder)
