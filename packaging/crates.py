"""The crates, as `cargo package` makes them."""

import shutil

from checkout import ROOT, TARGET_DIR, run, version

# In the order of their dependencies.
NAMES = ["oneflight-single-flight", "oneflight-client-settings", "oneflight-guest-build", "oneflight"]

# The built-in client, which the packaged host embeds: who installs it needs no toolchain for Wasm.
BUILTIN = ROOT / "host/builtin.wasm"
GUEST = "wasm32-wasip2"


def make(out, verify):
    guests = TARGET_DIR / "guests/cargo"
    # Of its own: without the rest of the workspace, the dependencies have other features.
    folder = TARGET_DIR / "packages"
    run("rustup", "target", "add", GUEST)
    build = ["cargo", "build", "--release", "--locked", "--target", GUEST, "--target-dir", guests]
    run(*build, cwd=ROOT / "guest-client")
    shutil.copyfile(guests / GUEST / "release/oneflight_guest_client.wasm", BUILTIN)
    try:
        packages = [word for name in NAMES for word in ("--package", name)]
        # builtin.wasm is not committed, so cargo calls the checkout dirty; packaging/build checks the rest of it.
        options = ["--locked", "--allow-dirty", "--target-dir", folder] + ([] if verify else ["--no-verify"])
        # The packaged crates are built to see that they can be, not to be used.
        quick = {"CARGO_PROFILE_DEV_DEBUG": "false"}
        run("cargo", "package", *options, *packages, env=quick)
    finally:
        BUILTIN.unlink()
    made = []
    for name in NAMES:
        file = f"{name}-{version()}.crate"
        shutil.copyfile(folder / "package" / file, out / file)
        made.append(out / file)
    return made
