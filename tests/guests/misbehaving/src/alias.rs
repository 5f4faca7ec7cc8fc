//! A list in which the bodies of all items are the same memory.
//!
//! With little memory of its own, the guest makes the host copy much: N entries of a few bytes each that all point to
//! one big string. Safe Rust cannot express it; the canonical ABI permits it.

#![expect(unsafe_code, reason = "the purpose is memory with more than one owner")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bindings::exports::oneflight::client::items::Item;

/// Set by the first aliased list and never reset: memory freed after it may have been freed before.
static ALIASED: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Frees nothing once there has been an aliased list.
struct Allocator;

// SAFETY: every call is passed to `System` unchanged, except that memory may stay allocated.
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
        // SAFETY: the bytes are ASCII, of that length and capacity, and never written again. Each of the strings
        // frees them, which the allocator ignores.
        unsafe { String::from_raw_parts(body.as_ptr().cast_mut(), body.len(), body.len()) }
    };
    (0..n)
        .map(|n| Item {
            id: n.to_string(),
            body: alias(),
        })
        .collect()
}
