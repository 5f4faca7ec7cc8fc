//! What becomes of memory that is free while a service runs.

use std::env;

use tikv_jemalloc_ctl::{Access, AsName, Mib, Result, arenas, background_thread};

/// Milliseconds within which free memory goes back, bit by bit: half of it is there after 30 s. What herds ask
/// for expires, so they often come some seconds apart; for each page that is gone when the next one comes a
/// caller pays some microseconds of processor time.
const KEPT: isize = 60_000;

/// Has free memory kept for the next herd, and given back though nobody calls. Not for each command: a
/// compiler's threads take address space, of which it has little. Whoever sets options of the allocator's
/// own (`_RJEM_MALLOC_CONF`) has chosen how long.
pub(super) fn configure() -> Result<()> {
    background_thread::write(true)?;
    if env::var_os("_RJEM_MALLOC_CONF").is_some() {
        return Ok(());
    }
    "arenas.dirty_decay_ms\0".name().write(KEPT)?;
    // Arenas that there are keep what they were made with.
    let mut arena: Mib<[usize; 3]> = "arena.0.dirty_decay_ms\0".name().mib()?;
    for index in 0..arenas::narenas::read()? {
        arena[1] = index as usize;
        // Fails where there is none yet.
        let _ = arena.write(KEPT);
    }
    Ok(())
}
