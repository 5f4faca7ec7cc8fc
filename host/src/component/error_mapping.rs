//! Which error a flight ends with when its guest did not return, and the log line for it.
//!
//! The reason, the guest's frames and its standard error output go to the log, one line for each flight, and never
//! to a caller. Wasmtime has no types for two of its errors; their texts are matched here and nowhere else.

use std::io;

use rustix::io::Errno;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::backtrace::frames;
use super::memory::MemoryExceeded;
use super::output::GuestOutput;
use crate::model::{ClientError, Resource};
use crate::printable::{bounded, printable};

/// The error of a flight whose guest could not be instantiated. The guest was within its limits and started when it
/// was loaded, so its start failed now.
pub(super) fn start_error(
    error: &wasmtime::Error,
    exceeded: Option<MemoryExceeded>,
    output: &GuestOutput,
) -> ClientError {
    let code = if error.is::<PoolConcurrencyLimitError>() {
        ClientError::Overloaded(Resource::Executions)
    } else if exceeded == Some(MemoryExceeded::Total) {
        ClientError::Overloaded(Resource::Memory)
    } else if is_out_of_memory(error) {
        ClientError::Overloaded(Resource::AddressSpace)
    } else {
        ClientError::GuestTrap
    };
    logged(code, error, output)
}

/// Whether the system has refused address space, for an instance that is allocated on demand or for a pool.
pub(super) fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io == Some(io::ErrorKind::OutOfMemory)
            || cause.downcast_ref() == Some(&Errno::NOMEM)
            || cause.is::<wasmtime::error::OutOfMemory>()
    })
}

/// The error of a flight whose guest was called and did not return, or returned a value that cannot be lifted.
///
/// Most guests crash when they get no more memory, so `exceeded` is the cause where it is set.
pub(super) fn call_error(
    error: &wasmtime::Error,
    exceeded: Option<MemoryExceeded>,
    output: &GuestOutput,
) -> ClientError {
    // An error without a trap and without a frame of the guest is one of lifting its result.
    let in_guest = error.is::<Trap>() || error.is::<I32Exit>() || error.is::<WasmBacktrace>();
    let code = if exceeded == Some(MemoryExceeded::Total) {
        ClientError::Overloaded(Resource::Memory)
    } else if in_guest {
        ClientError::GuestTrap
    } else if is_out_of_memory(error) {
        // The stack of a call is allocated on demand, too.
        ClientError::Overloaded(Resource::AddressSpace)
    } else if exceeds_hostcall_fuel(error) {
        ClientError::ResultTooLarge("max_result_bytes")
    } else {
        ClientError::GuestMalformed
    };
    logged(code, error, output)
}

/// Whether a guest passed the host more than `Limits::max_result_bytes`.
fn exceeds_hostcall_fuel(error: &wasmtime::Error) -> bool {
    exceeded(&error.root_cause().to_string()) == Some("max_result_bytes")
}

/// The setting whose limit this error of wasmtime is about. Tests with guests that exceed them fail if wasmtime changes
/// a text.
fn exceeded(reason: &str) -> Option<&'static str> {
    const TEXTS: [(&str, &str); 3] = [
        (
            "fuel allocated for hostcalls has been exhausted",
            "max_result_bytes",
        ),
        ("resource table has no free keys", "max_resources"),
        ("store handle limit exceeded", "max_handles"),
    ];
    let of = TEXTS.iter().find(|(text, _)| reason.contains(text));
    let of = of.map(|(_, setting)| *setting);
    of.or_else(|| exceeds_random_bytes(reason).then_some("max_random_bytes"))
}

/// Whether this is wasmtime's error of a number of random bytes: `requested len 65537 exceeds limit 65536`.
fn exceeds_random_bytes(reason: &str) -> bool {
    let numbers = reason.strip_prefix("requested len ");
    let numbers = numbers.and_then(|rest| rest.split_once(" exceeds limit "));
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    numbers.is_some_and(|(len, limit)| is_number(len) && is_number(limit))
}

/// Whether a valid component exceeds the sizes of the pool. A test with such a component fails if wasmtime changes
/// the text.
pub(super) fn exceeds_pool(error: &wasmtime::Error) -> bool {
    format!("{error:#}").contains("pooling allocator")
}

/// Why a guest did not return, without the functions that it was in: what wasmtime writes about those is not limited,
/// see [`backtrace`](super::backtrace).
pub(super) fn reason(error: &wasmtime::Error) -> String {
    printable(&bounded(error.root_cause()))
}

/// Logs the cause of `error` as a line of the host, which no output of the guest can displace, and returns `error`.
fn logged(error: ClientError, cause: &wasmtime::Error, output: &GuestOutput) -> ClientError {
    let (code, reason) = (error.code(), reason(cause));
    let reason = match (&error, exceeded(&reason)) {
        (ClientError::Overloaded(resource), _) => {
            format!("could not start the guest: {reason}; {}", resource.remedy())
        }
        (_, Some(setting)) => format!("{reason}; raise {setting} to permit it"),
        (_, None) => reason,
    };
    let frames = cause.downcast_ref().map(frames).unwrap_or_default();
    let stderr = output.stderr_ends();
    tracing::warn!(code, stderr, frames, "{reason}");
    error
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustix::io::Errno;

    use super::{exceeded, is_out_of_memory, start_error};
    use crate::client::Execute;
    use crate::component::output::GuestOutput;
    use crate::flight_context::FlightContext;
    use crate::model::{ClientError, Limits, Resource};
    use crate::settings::Settings;
    use crate::{BUILTIN, ComponentClient, Engine};

    // fault 88
    #[test]
    fn a_start_without_address_space_is_an_error_of_its_own() {
        let output = GuestOutput::new(0, &Default::default());
        for error in [
            wasmtime::Error::from(Errno::NOMEM).context("failed to create a mapping"),
            wasmtime::Error::from(io::Error::from(io::ErrorKind::OutOfMemory)),
        ] {
            let error = start_error(&error, None, &output);
            assert_eq!(error, ClientError::Overloaded(Resource::AddressSpace));
        }
        assert!(!is_out_of_memory(&Errno::INVAL.into()));
    }

    #[test]
    fn only_the_error_of_random_bytes_advises_their_setting() {
        for (reason, expected) in [
            (
                "requested len 65537 exceeds limit 65536",
                Some("max_random_bytes"),
            ),
            ("HTTP request body size exceeds limit: 5 bytes", None),
            ("HTTP response header size exceeds limit", None),
            ("requested len of a body exceeds limit 5", None),
            ("store handle limit exceeded", Some("max_handles")),
        ] {
            assert_eq!(exceeded(reason), expected, "{reason}");
        }
    }

    #[tokio::test]
    async fn a_guest_whose_memory_is_refused_at_its_start_is_a_trap() {
        let engine = Engine::new(&Limits::default()).unwrap();
        let loaded = ComponentClient::load(&engine, BUILTIN, Settings::new("test"));
        let mut client = loaded.await.unwrap();
        // The limit is lowered after the load: a stand-in for a guest whose start fails at random.
        Arc::get_mut(&mut client.0)
            .unwrap()
            .settings
            .limits
            .max_memory_bytes = 0;
        let error = client
            .execute("42".into(), &FlightContext::default())
            .await
            .unwrap_err();
        assert_eq!(error, ClientError::GuestTrap);
        assert_eq!((client.usage().running, engine.instances()), (0, 0));
    }
}
