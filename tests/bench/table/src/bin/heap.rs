//! Measures the memory of a contestant's callers with an allocator that counts. The benchmark starts it with
//! the number of callers and the name of the contestant; it prints JSON.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait, and this one is the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context, bail};
use bench_table::heap;
use bench_table::lineup::Contestant;
use bench_table::parked::{ParkedTurn, Usage};

#[global_allocator]
static COUNTING: Counting = Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [callers, name] = &arguments[..] else {
        bail!("expected a number of callers and a contestant, got {arguments:?}");
    };
    let turn = ParkedTurn {
        callers: callers.parse()?,
        usage,
    };
    let measured = if name == heap::BARE {
        serde_json::to_string(&turn.bare()?)?
    } else {
        let contestant = Contestant::named(name).context("expected the name of a contestant")?;
        serde_json::to_string(&contestant.take(&turn)?)?
    };
    println!("{measured}");
    Ok(())
}

fn usage() -> Usage {
    Usage {
        bytes: BYTES.load(Ordering::Relaxed),
        allocations: ALLOCATIONS.load(Ordering::Relaxed),
    }
}

/// The system's allocator, with its allocations counted.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size, Ordering::Relaxed);
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}
