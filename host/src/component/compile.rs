//! [`Compilation`]: how a component becomes code. It is looked at first, then compiled, in this process
//! or in a child that its limits hold, and what comes of it is kept for the next start.
//!
//! Invariant: the only code that runs here was compiled from the component by this program, in this
//! process, in its child, or earlier by either, in which case it lay in a folder that nobody else can
//! write to. A file that was compiled elsewhere is refused, whatever it is named.

mod cache;
mod child;
mod preflight;

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

use self::cache::Key;
use super::check::LoadError;
use super::engine::Engine;
use crate::settings::CompileLimits;

pub use self::cache::{Cache, CacheError};
pub use self::child::compile_for_parent;

/// How an engine compiles; by default in this process, with nothing kept.
#[derive(Debug, Default)]
pub struct Compilation {
    /// Which process compiles.
    pub policy: Compile,
    /// Where code is kept for the next start, if anywhere.
    pub cache: Option<Cache>,
    /// What compiling may cost.
    pub limits: CompileLimits,
}

/// Which process compiles a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compile {
    /// This one, on a thread of its own. Of the limits only those on a component's shape hold: a
    /// hostile component of 200 KB can make the compiler use all of the machine's memory, and this
    /// process end with it.
    #[default]
    InProcess,
    /// A child of this process, an execution of this [`Program`] each, which
    /// [`CompileLimits`] bind and nothing of this process's environment reaches.
    Child(Program),
}

/// A program whose `main`, run with these arguments, returns what [`compile_for_parent`] does. It is
/// trusted as this one is: what it writes is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// What it is called with.
    pub arguments: Vec<String>,
}

/// Compiles `binary`, or finds the code where it was kept. Blocks no thread of the runtime.
pub(super) async fn compile(engine: &Engine, binary: Arc<[u8]>) -> Result<Component, LoadError> {
    let compilation = Arc::clone(engine.compilation());
    let wasmtime = engine.wasmtime().clone();
    let (limits, policy) = (&compilation.limits, &compilation.policy);

    let looked_up = on_a_thread({
        let (compilation, wasmtime) = (Arc::clone(&compilation), wasmtime.clone());
        let binary = Arc::clone(&binary);
        move || look_up(&compilation, &wasmtime, &binary)
    });
    let key = match looked_up.await? {
        LookedUp::Kept(component) => return Ok(component),
        LookedUp::ToBeCompiled(key) => key,
    };
    let compiler = engine.compiler().await;
    let code = match policy {
        Compile::Child(program) => child::compile(program, &binary, limits).await?,
        Compile::InProcess => {
            let wasmtime = wasmtime.clone();
            on_a_thread(move || {
                let compiled = wasmtime.precompile_component(&binary);
                compiled.map_err(|error| LoadError::Invalid(format!("{error:#}")))
            })
            .await?
        }
    };
    drop(compiler);
    on_a_thread(move || {
        let component = load(&wasmtime, &code)?;
        if let (Some(cache), Some(key)) = (&compilation.cache, key) {
            // Without it the next start takes longer, and that is all.
            if let Err(error) = cache.put(&key, &code) {
                let folder = cache.folder().display();
                tracing::warn!(%error, "could not keep compiled code in {folder}");
            }
        }
        Ok(component)
    })
    .await
}

/// What is known of a component before it is compiled.
enum LookedUp {
    /// Its code was kept.
    Kept(Component),
    /// It has the shape of one that can be compiled, and this is what its code will be kept under.
    ToBeCompiled(Option<Key>),
}

fn look_up(
    compilation: &Compilation,
    wasmtime: &Wasmtime,
    binary: &[u8],
) -> Result<LookedUp, LoadError> {
    preflight::is_a_component(binary, &compilation.limits)?;
    let mut key = None;
    if let Some(cache) = &compilation.cache {
        let key = key.insert(Key::new(binary, wasmtime, &compilation.limits));
        // What cannot be loaded although it is whole (it says of itself for which version and settings
        // of wasmtime it was compiled) is compiled anew, which also says why.
        let code = cache.get(key, compilation.limits.max_code_bytes);
        if let Some(Ok(component)) = code.map(|code| load(wasmtime, &code)) {
            return Ok(LookedUp::Kept(component));
        }
    }
    preflight::is_compilable(binary, &compilation.limits)?;
    Ok(LookedUp::ToBeCompiled(key))
}

/// Makes a component of `code`, which [`compile`] has from where the module's invariant says.
#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code, and only its caller can know where it is from"
)]
fn load(wasmtime: &Wasmtime, code: &[u8]) -> Result<Component, LoadError> {
    // SAFETY: `code` is what `Engine::precompile_component` returned, unchanged: in this process, or
    // in a child that runs the program which `Compile::Child` names, as trusted as this one, and whose
    // standard output nobody else holds; or in either at an earlier time, and then `Cache::get` has
    // read it from a folder and a file that no other user may write to, and has compared its checksum.
    // That it was compiled by this version of wasmtime, with these settings and for this processor is
    // checked by `deserialize` itself.
    unsafe { Component::deserialize(wasmtime, code) }.map_err(|error| {
        let why = format!("{error:#}");
        // Wasmtime gives this one no type: a valid component that no slot of the pool can hold.
        if why.contains("pooling allocator") {
            LoadError::TooLarge(why)
        } else {
            LoadError::NotCompiled(format!("whose code cannot be loaded: {why}"))
        }
    })
}

/// Runs what takes its time, or waits for a disk, where no other task waits for it.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(LoadError::NotCompiled(format!("that panicked: {panic}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::engine;

    #[test]
    fn kept_code_that_was_compiled_with_other_settings_is_not_run() {
        let folder = std::env::temp_dir().join(format!("oneflight-stale-{}", std::process::id()));
        let compilation = Compilation {
            cache: Some(Cache::open(&folder, 1 << 30).unwrap()),
            ..Compilation::default()
        };
        let cache = compilation.cache.as_ref().unwrap();
        let ours = Wasmtime::new(&engine::code()).unwrap();
        let component = b"\0asm\x0d\0\x01\0";
        let key = Key::new(component, &ours, &compilation.limits);
        let kept = || {
            matches!(
                look_up(&compilation, &ours, component),
                Ok(LookedUp::Kept(_))
            )
        };
        assert!(!kept());
        // Without epochs, nothing would interrupt it.
        let other = Wasmtime::default().precompile_component(component).unwrap();
        cache.put(&key, &other).unwrap();
        assert!(cache.get(&key, other.len()).is_some());
        assert!(!kept());
        let own = ours.precompile_component(component).unwrap();
        cache.put(&key, &own).unwrap();
        assert!(kept());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
