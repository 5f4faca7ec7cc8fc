//! A list in which every item claims the same memory as its body.
//!
//! A guest that costs itself little makes the host copy much: N entries of a few bytes each that
//! all point to one big string. No safe Rust says so; the canonical ABI has no objection.

#![expect(unsafe_code, reason = "the point is memory with more than one owner")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bindings::exports::oneflight::client::items::Item;

/// Set for good by the first aliased list: what is freed after it may have been freed before.
static ALIASED: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Frees nothing any more once there was an aliased list.
struct Allocator;

// SAFETY: every call is passed on to `System` as it comes, except that memory may stay allocated.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !ALIASED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}

pub(crate) fn items(n: usize, bytes: usize) -> Vec<Item> {
    ALIASED.store(true, Ordering::Relaxed);
    let mut body = format!("\"{}\"", "x".repeat(bytes.saturating_sub(2))).into_bytes();
    body.shrink_to_fit();
    let body = body.leak();
    let alias = || {
        // SAFETY: the bytes are ASCII, of that length and capacity, and never written again; that
        // each of the strings frees them is made harmless by the allocator.
        unsafe { String::from_raw_parts(body.as_ptr().cast_mut(), body.len(), body.len()) }
    };
    (0..n)
        .map(|n| Item {
            id: n.to_string(),
            body: alias(),
        })
        .collect()
}
