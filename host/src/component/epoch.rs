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
        let Some(engines) = living() else {
            return;
        };
        engines.iter().for_each(Engine::increment_epoch);
        // A reference may be the last one. Then the engine's pool is freed here: after the tick, and without the lock,
        // for which the start of another engine would have to wait.
        drop(engines);
    }
}

/// The engines that live, or `None` if the thread ends since there are none.
fn living() -> Option<Vec<Engine>> {
    let mut ticked = lock();
    let mut living = Vec::with_capacity(ticked.engines.len());
    ticked.engines.retain(|engine| {
        let engine = engine.upgrade();
        let lives = engine.is_some();
        living.extend(engine);
        lives
    });
    ticked.is_running = !living.is_empty();
    ticked.is_running.then_some(living)
}

fn lock() -> MutexGuard<'static, Ticked> {
    TICKED.lock().unwrap_or_else(PoisonError::into_inner)
}
