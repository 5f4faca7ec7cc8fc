//! The sizes with which the memories and tables of a component begin, compared with the limits of its client.
//!
//! wasmtime compares them when the component's code has been loaded, which may take three times the size of the file.
//! Here the declarations are read, and nothing else, before anything is compiled or loaded. The number of instances of a
//! module is not known before, so the numbers of memories and tables are left to wasmtime.

use wasmparser::{MemoryType, Parser, Payload};

use super::error::LoadError;
use crate::model::Limits;

/// Whether each memory and each table of `binary` can be created within `limits`. Bytes that cannot be parsed are left
/// to the checks that report them.
pub(super) fn check_initial_sizes(binary: &[u8], limits: &Limits) -> Result<(), LoadError> {
    for payload in Parser::new(0).parse_all(binary) {
        match payload {
            Ok(Payload::MemorySection(memories)) => {
                for memory in memories.into_iter().flatten() {
                    let (found, limit) = (bytes(&memory), limits.max_memory_bytes);
                    check("memory", "bytes", found, limit, "max_memory_bytes")?;
                }
            }
            Ok(Payload::TableSection(tables)) => {
                for table in tables.into_iter().flatten() {
                    let (found, limit) = (table.ty.initial, limits.max_table_elements);
                    check("a table", "elements", found, limit, "max_table_elements")?;
                }
            }
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn bytes(memory: &MemoryType) -> u64 {
    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16));
    memory.initial.saturating_mul(page.unwrap_or(u64::MAX))
}

fn check(what: &str, unit: &str, found: u64, limit: usize, setting: &str) -> Result<(), LoadError> {
    if found <= limit as u64 {
        return Ok(());
    }
    Err(LoadError::TooLarge(format!(
        "{found} {unit} of {what} at its start, more than {limit}; raise {setting}"
    )))
}
