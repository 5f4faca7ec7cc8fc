//! [`ComponentFile`]: a component's file, opened and limited.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use oneflight::component::ShapeLimit;
use oneflight::config::file_kind;
use oneflight::{CompileLimits, LoadError};
use ring::digest::{self, SHA256};
use rustix::fs::OFlags;

/// The file of a component, of which at most [`CompileLimits::max_component_bytes`] are read.
///
/// Its methods block: the file may be on a file system that hangs.
pub(super) struct ComponentFile {
    file: File,
    bytes: usize,
    name: String,
}

impl ComponentFile {
    /// Opens a regular file. The outer error is the file's, the inner one the component's.
    pub(super) fn open(path: &Path) -> anyhow::Result<Result<Self, LoadError>> {
        let name = path.display().to_string();
        let unreadable = || format!("could not read {name}");
        // Before it is opened, which can have an effect on a device; and afterwards, as it may have been replaced.
        expect_file(&name, &path.metadata().with_context(unreadable)?)?;
        let mut options = OpenOptions::new();
        // Without it, opening a pipe waits for its writer.
        options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = options.open(path).with_context(unreadable)?;
        let metadata = file.metadata().with_context(unreadable)?;
        expect_file(&name, &metadata)?;
        let (found, limit) = (
            metadata.len(),
            CompileLimits::default().max_component_bytes as u64,
        );
        if found > limit {
            let part = ShapeLimit::Component;
            return Ok(Err(LoadError::TooComplex { part, found, limit }));
        }
        let bytes = found as usize;
        Ok(Ok(Self { file, bytes, name }))
    }

    /// Reads the file into memory once, without a copy.
    pub(super) fn read(mut self) -> anyhow::Result<Arc<[u8]>> {
        let mut binary: Arc<[u8]> = std::iter::repeat_n(0, self.bytes).collect();
        let buffer = Arc::get_mut(&mut binary).expect("no other reference to it");
        let read = self.file.read_exact(buffer);
        read.with_context(|| format!("could not read {}", self.name))?;
        Ok(binary)
    }

    /// The SHA-256 of its contents, which are not held in memory.
    pub(super) fn digest(self) -> anyhow::Result<Vec<u8>> {
        let mut context = digest::Context::new(&SHA256);
        let mut file = self.file.take(self.bytes as u64);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer);
            match read.with_context(|| format!("could not read {}", self.name))? {
                0 => return Ok(context.finish().as_ref().to_vec()),
                read => context.update(&buffer[..read]),
            }
        }
    }
}

fn expect_file(name: &str, metadata: &std::fs::Metadata) -> anyhow::Result<()> {
    let kind = file_kind(metadata.file_type());
    ensure!(
        metadata.is_file(),
        "expected a file at {name}, got {kind}; give the path of a component"
    );
    Ok(())
}
