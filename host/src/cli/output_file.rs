//! Writes the files that commands make.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

/// Writes a file that appears whole or not at all, in place of one that exists. What is no file, such as a pipe or
/// `/dev/stdout`, is written to.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // The target of a link is replaced, and not the link.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        return fs::write(file, bytes);
    }
    let mut partial = file.as_os_str().to_owned();
    partial.push(format!(".{}.part", process::id()));
    let partial = PathBuf::from(partial);
    let written = fs::write(&partial, bytes);
    let renamed = written.and_then(|()| fs::rename(&partial, &file));
    renamed.inspect_err(|_| drop(fs::remove_file(&partial)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_what_is_no_file_stays_what_it_is() {
        let folder = std::env::temp_dir().join(format!("oneflight-output-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let (file, link) = (folder.join("a.wasm"), folder.join("link"));
        fs::write(&file, "former").unwrap();
        let former = file.metadata().unwrap().ino();
        symlink(&file, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_ne!(file.metadata().unwrap().ino(), former);
        assert!(link.is_symlink());
        write_whole(Path::new("/dev/null"), b"new").unwrap();
        assert!(!Path::new("/dev/null").is_file());
        assert!(write_whole(&folder.join("none/a.wasm"), b"new").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
