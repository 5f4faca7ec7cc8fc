//! The contract of the table, one promise a test, poll by poll. The numbers in the comments are the
//! contract's.
//!
//! Nothing here sleeps or depends on time. Calls are polled by hand, and the tasks of flights run only
//! when a test says so, so each order of join, leave, land, panic and cancel is one certain order.

#![cfg(not(shuttle))]

mod anew;
mod bounds;
mod cancellation;
mod hands;
mod identity;
mod nesting;
mod outcome;
mod policy;
mod threads;
mod visit;
