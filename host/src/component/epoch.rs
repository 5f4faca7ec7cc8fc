//! The ticker of all engines: one thread that increments their epochs, so that guests yield and can be interrupted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use super::error::EngineError;

/// How often running guests yield to others: 10 ms, for all clients.
const TICK: Duration = Duration::from_millis(10);

/// The engines that are ticked.
static TICKED: Mutex<Ticked> = Mutex::new(Ticked {
    engines: Vec::new(),
    is_running: false,
});

/// Invariant: while `engines` is not empty, the thread runs.
struct Ticked {
    engines: Vec<EngineWeak>,
    is_running: bool,
}

/// Increments the epoch of `engine` every tick while it lives. Without it a guest in an endless loop would hold its
/// thread forever, and no deadline could interrupt it.
///
/// It is a thread and not a task: when every thread of the runtime runs such a guest, none is left to run the task that
/// would interrupt them.
pub(super) fn tick(engine: &Engine) -> Result<(), EngineError> {
    let mut ticked = lock();
    if !ticked.is_running {
        thread::Builder::new()
            .name("oneflight-epoch".into())
            .spawn(run)
            .map_err(|error| EngineError::Ticker(error.to_string()))?;
        ticked.is_running = true;
    }
    ticked.engines.push(engine.weak());
    Ok(())
}

fn run() {
    loop {
        thread::sleep(TICK);
        let mut ticked = lock();
        // The reference may be the last one. Then the engine's pool is freed here, which delays the next tick.
        ticked.engines.retain(|engine| {
            let engine = engine.upgrade();
            engine.inspect(Engine::increment_epoch).is_some()
        });
        if ticked.engines.is_empty() {
            ticked.is_running = false;
            return;
        }
    }
}

fn lock() -> MutexGuard<'static, Ticked> {
    TICKED.lock().unwrap_or_else(PoisonError::into_inner)
}
