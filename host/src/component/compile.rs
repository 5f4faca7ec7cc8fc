//! [`Compiler`]: from a component to machine code. The component is checked first, then compiled, in this process or
//! in a child process with limits, and the code is cached for the next start.
//!
//! The only code that runs here was compiled by this program: see the invariant of [`code`](super::code). A file that
//! was compiled elsewhere is refused, regardless of its name.

mod cache;
mod child;
mod features;
mod preflight;

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

use self::cache::CacheKey;
use self::features::refusal;
use super::code::deserialize;
use super::error::LoadError;
use crate::settings::CompileLimits;

pub use self::cache::{Cache, CacheError};
pub use self::child::{Program, compile_for_parent};

/// The maximum number of components that an engine compiles concurrently: 2. Each may use its whole memory limit and
/// all processors, so more would gain nothing; the second keeps one slow component from delaying all others.
const MAX_COMPILERS: usize = 2;

/// How an engine compiles; by default in this process and without a cache.
#[derive(Debug, Default)]
pub struct Compilation {
    /// Which process compiles.
    pub policy: Compile,
    /// Where code is cached for the next start, if anywhere.
    pub cache: Option<Cache>,
    /// The limits on a component and on the compiler.
    pub limits: CompileLimits,
}

/// Which process compiles a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compile {
    /// This process, on a separate thread. Only the limits on a component's shape apply: a hostile component of 200
    /// KB can make the compiler use all memory of the machine and so end this process.
    #[default]
    InProcess,
    /// A child process for each component, which runs this [`Program`] within [`CompileLimits`] and inherits nothing
    /// of this process's environment.
    Child(Program),
}

/// Compiles components. Cloning shares its permits.
#[derive(Clone)]
pub(super) struct Compiler {
    compilation: Arc<Compilation>,
    /// One permit for each component that is being compiled.
    permits: Arc<Semaphore>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            compilation: Arc::default(),
            permits: Arc::new(Semaphore::new(MAX_COMPILERS)),
        }
    }
}

impl Compiler {
    /// The same compiler with another policy. The permits are shared.
    pub(super) fn with(&self, compilation: Compilation) -> Self {
        Self {
            compilation: Arc::new(compilation),
            permits: Arc::clone(&self.permits),
        }
    }

    /// Compiles `binary`, or loads its code from the cache. Blocks no thread of the runtime.
    pub(super) async fn compile(
        &self,
        wasmtime: &Wasmtime,
        binary: Arc<[u8]>,
    ) -> Result<Component, LoadError> {
        let compilation = Arc::clone(&self.compilation);
        let wasmtime = wasmtime.clone();
        let (limits, policy) = (&compilation.limits, &compilation.policy);

        let looked_up = || {
            let (compilation, wasmtime) = (Arc::clone(&compilation), wasmtime.clone());
            let binary = Arc::clone(&binary);
            spawn_blocking(move || look_up(&compilation, &wasmtime, &binary))
        };
        let key = match looked_up().await? {
            CacheLookup::Hit(component) => return Ok(component),
            CacheLookup::Miss(key) => key,
        };
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let permit = self.permits.acquire().await;
                // Another client may have compiled the same component meanwhile.
                if let CacheLookup::Hit(component) = looked_up().await? {
                    return Ok(component);
                }
                permit.expect("the semaphore is never closed")
            }
        };
        let code = match policy {
            Compile::Child(program) => child::compile(program, &binary, limits).await?,
            Compile::InProcess => {
                let (wasmtime, binary) = (wasmtime.clone(), Arc::clone(&binary));
                spawn_blocking(move || {
                    let compiled = wasmtime.precompile_component(&binary);
                    compiled.map_err(|error| refusal(&wasmtime, &binary, &error))
                })
                .await?
            }
        };
        // Before the code is loaded, so that not all of it is held at once.
        drop((permit, binary));
        spawn_blocking(move || {
            let component = deserialize(&wasmtime, &code)?;
            if let (Some(cache), Some(key)) = (&compilation.cache, key) {
                // Without an entry the next start takes longer, so this is no reason to fail.
                if let Err(error) = cache.put(&key, &code) {
                    let folder = cache.folder().display();
                    tracing::warn!(%error, "could not cache compiled code in {folder}");
                }
            }
            Ok(component)
        })
        .await
    }
}

enum CacheLookup {
    Hit(Component),
    /// The component has passed the checks and is to be compiled; with a cache, its code is stored under this key.
    Miss(Option<CacheKey>),
}

fn look_up(
    compilation: &Compilation,
    wasmtime: &Wasmtime,
    binary: &[u8],
) -> Result<CacheLookup, LoadError> {
    preflight::check_header(binary, &compilation.limits)?;
    let mut key = None;
    if let Some(cache) = &compilation.cache {
        let key = key.insert(CacheKey::new(binary, wasmtime, &compilation.limits));
        // Undamaged code that cannot be loaded was compiled for another version or other settings of wasmtime. It
        // is compiled again, which also reports any error.
        let code = cache.get(key, compilation.limits.max_code_bytes);
        if let Some(Ok(component)) = code.map(|code| deserialize(wasmtime, &code)) {
            return Ok(CacheLookup::Hit(component));
        }
    }
    preflight::check_shape(binary, &compilation.limits)?;
    Ok(CacheLookup::Miss(key))
}

/// Runs blocking work on a thread for it.
pub(super) async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(LoadError::NotCompiled(format!("it panicked: {panic}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::codegen::codegen_config;

    #[test]
    fn cached_code_that_was_compiled_with_other_settings_is_not_run() {
        let folder = std::env::temp_dir().join(format!("oneflight-stale-{}", std::process::id()));
        let compilation = Compilation {
            cache: Some(Cache::open(&folder, 1 << 30).unwrap()),
            ..Compilation::default()
        };
        let cache = compilation.cache.as_ref().unwrap();
        let ours = Wasmtime::new(&codegen_config()).unwrap();
        let component = b"\0asm\x0d\0\x01\0";
        let key = CacheKey::new(component, &ours, &compilation.limits);
        let is_hit = || {
            matches!(
                look_up(&compilation, &ours, component),
                Ok(CacheLookup::Hit(_))
            )
        };
        assert!(!is_hit());
        // It was compiled without epochs, so nothing could interrupt it.
        let other = Wasmtime::default().precompile_component(component).unwrap();
        cache.put(&key, &other).unwrap();
        assert!(cache.get(&key, other.len()).is_some());
        assert!(!is_hit());
        let own = ours.precompile_component(component).unwrap();
        cache.put(&key, &own).unwrap();
        assert!(is_hit());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
