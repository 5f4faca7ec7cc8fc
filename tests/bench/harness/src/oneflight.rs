//! The server under test.

use std::path::Path;
use std::process::Command;

pub use crate::binary::binary;

/// `oneflight serve` with the built-in client, on a free port of loopback, without the admin API.
///
/// `flags` follow the others. Compiled code is kept below `cache`, not in the user's own cache.
pub fn serve<'a>(
    binary: &Path,
    base_url: &str,
    cache: &Path,
    flags: impl IntoIterator<Item = &'a str>,
) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .args(["--base-url", base_url])
        .args(flags)
        .env("XDG_CACHE_HOME", cache);
    command
}
