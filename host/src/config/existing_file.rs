//! Whether there is a file at a path, and what else there is.

use std::fs::FileType;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What a path leads to, for an error message: `a folder`, `a named pipe`.
#[must_use]
pub fn file_kind(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a file"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// # Errors
///
/// When there is no regular file at `path`: what is there instead.
pub(super) fn expect_file(path: &Path) -> Result<(), String> {
    let found = match path.metadata() {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(metadata) => file_kind(metadata.file_type()).to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "none".to_owned(),
        Err(error) => error.to_string(),
    };
    let path = path.display();
    Err(format!("expected a file at {path}, got {found}"))
}
