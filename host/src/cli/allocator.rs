//! How long the allocator of a service keeps free memory.

use std::env;

use tikv_jemalloc_ctl::{Access, AsName, Mib, Result, arenas, background_thread};

/// Milliseconds within which free memory is gradually returned to the system: half of it is left after 30 s. Many
/// callers often arrive together every few seconds, when what they request expires; each page that was returned by
/// then costs some microseconds of CPU time to fault in again.
const DIRTY_DECAY_MS: isize = 60_000;

/// Keeps free memory for the next burst of callers, and returns it in the background even without calls. For `serve`
/// only: the background threads take address space, which is limited in a compiler's process. An environment that
/// sets the allocator's own options (`_RJEM_MALLOC_CONF`) takes precedence.
pub(super) fn configure() -> Result<()> {
    background_thread::write(true)?;
    if env::var_os("_RJEM_MALLOC_CONF").is_some() {
        return Ok(());
    }
    "arenas.dirty_decay_ms\0".name().write(DIRTY_DECAY_MS)?;
    // Existing arenas keep the value that they were created with.
    let mut arena: Mib<[usize; 3]> = "arena.0.dirty_decay_ms\0".name().mib()?;
    for index in 0..arenas::narenas::read()? {
        arena[1] = index as usize;
        // Fails for an arena that is not created yet.
        let _ = arena.write(DIRTY_DECAY_MS);
    }
    Ok(())
}
