//! How a guest's flight is named that brought no items: after the guest's own case, or after what
//! ended it. The guest's words, its frames and wasmtime's reasons go to the log, one line for each
//! flight, and never to a caller.

use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bindings::exports::oneflight::client::items as guest;
use super::output::{GuestOutput, printable};
use crate::model::{ClientError, Resource};

/// The guest's own error by its case.
pub(super) fn named(error: guest::Error) -> ClientError {
    let (named, words) = match error {
        guest::Error::InvalidKey(words) => (ClientError::InvalidKey, words),
        guest::Error::NotFound => (ClientError::NotFound, String::new()),
        guest::Error::UpstreamStatus(status) => {
            (ClientError::UpstreamStatus(status), String::new())
        }
        guest::Error::UpstreamUnavailable(words) => (ClientError::UpstreamUnavailable, words),
        guest::Error::UpstreamMalformed(words) => (ClientError::UpstreamMalformed, words),
        guest::Error::Denied(words) => (ClientError::UpstreamDenied, words),
        guest::Error::RateLimited(seconds) => {
            let retry_after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            (ClientError::RateLimited { retry_after }, String::new())
        }
        guest::Error::Other(words) => (ClientError::Other, words),
    };
    if !words.is_empty() {
        let (code, words) = (named.code(), printable(&words));
        tracing::warn!(target: "oneflight::guest", code, "{words}");
    }
    named
}

/// What kept a guest from being called: it fitted its limits and started when it was loaded, so
/// whatever it is, this start of it is what broke.
pub(super) fn not_started(error: &wasmtime::Error, output: &GuestOutput) -> ClientError {
    if error.is::<PoolConcurrencyLimitError>() {
        return ClientError::Overloaded(Resource::Executions);
    }
    logged(ClientError::GuestTrap, error, output)
}

/// What ended a guest that was called and did not return, or whose answer could not be read.
pub(super) fn crashed(error: &wasmtime::Error, output: &GuestOutput) -> ClientError {
    // What has no trap and no frame of the guest was found when its answer was read.
    let in_guest = error.is::<Trap>() || error.is::<I32Exit>() || error.is::<WasmBacktrace>();
    let named = if in_guest {
        ClientError::GuestTrap
    } else if is_transfer_limit(error) {
        ClientError::ResultTooLarge
    } else {
        ClientError::GuestMalformed
    };
    logged(named, error, output)
}

/// Whether a guest passed the host more than `Limits::result`. Wasmtime has no type for it: a test
/// with such an answer says so if its words change.
fn is_transfer_limit(error: &wasmtime::Error) -> bool {
    const WORDS: &str = "fuel allocated for hostcalls has been exhausted";
    error.root_cause().to_string().contains(WORDS)
}

fn logged(named: ClientError, error: &wasmtime::Error, output: &GuestOutput) -> ClientError {
    let (code, reason) = (named.code(), printable(&error.root_cause().to_string()));
    let frames = error.downcast_ref().map(frames).unwrap_or_default();
    let last_words = output.last_words();
    tracing::warn!(target: "oneflight::guest", code, last_words, frames, "{reason}");
    named
}

/// The functions that the guest was in, innermost first, on one line: wasmtime names no more than 20,
/// as far as the guest was built with names, and none of the host's.
fn frames(trace: &WasmBacktrace) -> String {
    let text = trace.to_string();
    // Before them is a line that says what they are.
    let frames: Vec<_> = text.lines().skip(1).map(str::trim).collect();
    printable(&frames.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::client::Execute;
    use crate::flight_context::FlightContext;
    use crate::model::ClientError;
    use crate::model::Limits;
    use crate::settings::Settings;
    use crate::{BUILTIN, ComponentClient, Engine};

    #[tokio::test]
    async fn a_guest_whose_memory_is_refused_when_it_starts_has_trapped() {
        let engine = Engine::new(&Limits::default()).unwrap();
        let loaded = ComponentClient::load(&engine, BUILTIN, Settings::new("test"));
        let mut client = loaded.await.unwrap();
        // Taken away once it is loaded: a stand-in for a guest that starts by chance.
        Arc::get_mut(&mut client.0)
            .unwrap()
            .settings
            .limits
            .max_memory_bytes = 0;
        let ended = client
            .execute("42".into(), &FlightContext::default())
            .await
            .unwrap_err();
        assert_eq!(ended, ClientError::GuestTrap);
        assert_eq!((client.usage().running, engine.instances()), (0, 0));
    }
}
