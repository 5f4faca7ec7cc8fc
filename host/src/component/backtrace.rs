//! [`frames`]: the functions that a guest was in when it crashed, as text for the log.
//!
//! Not wasmtime's own text. That expands names of C++ by a library that limits neither what it returns nor how long
//! it takes: a name of 200 bytes in a guest can stand for gigabytes. Here names of C++ stay as they are in the guest,
//! and names of Rust are expanded into a text that is limited while it is written.

use std::fmt::{self, Display, Formatter};

use rustc_demangle::try_demangle;
use wasmtime::{FrameInfo, WasmBacktrace};

use crate::printable::{bounded, printable};

/// The functions that the guest was in, innermost first, on one line. Wasmtime lists at most 20 of them and none of
/// the host's.
pub(super) fn frames(trace: &WasmBacktrace) -> String {
    printable(&bounded(Frames(trace.frames())))
}

struct Frames<'a>(&'a [FrameInfo]);

impl Display for Frames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (nth, frame) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{nth}: ")?;
            if let Some(offset) = frame.module_offset() {
                write!(f, "{offset:#8x} - ")?;
            }
            let module = frame.module().name().unwrap_or("<unknown>");
            write!(f, "{module}!{}", FunctionName(frame))?;
        }
        Ok(())
    }
}

/// The name of the function of a frame, or else its index.
struct FunctionName<'a>(&'a FrameInfo);

impl Display for FunctionName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(name) = self.0.func_name() else {
            return write!(f, "<wasm function {}>", self.0.func_index());
        };
        match try_demangle(name) {
            Ok(of_rust) => of_rust.fmt(f),
            Err(_) => f.write_str(name),
        }
    }
}
