//! Loading any file returns a client, or an error that says what to do. A client that loads affects only its own
//! flights.
//!
//! The first byte of the input selects a component; 0 selects none. With a component, the rest of the input is a list
//! of edits of it, five bytes each. Without one, the rest is the file.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oneflight::{
    BUILTIN, Compilation, CompileLimits, ComponentClient, Engine, Limits, LoadError, Metrics,
    Settings, Stack,
};
use oneflight_tests::{Subject, artifacts, failsafe, tasks};
use tokio::runtime::Runtime;

/// What all inputs share.
struct Stage {
    runtime: Runtime,
    engine: Engine,
    components: Vec<Vec<u8>>,
}

/// Small limits, so that no input takes long.
fn limits() -> Limits {
    Limits {
        max_executions: 1,
        max_memory_bytes: 2 << 20,
        max_cpu_time: Duration::from_millis(20),
        flight_timeout: Duration::from_millis(50),
        ..Limits::default()
    }
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let compilation = Compilation {
        limits: CompileLimits {
            max_component_bytes: 1 << 20,
            // The built-in client has more functions, so it is parsed to its end and not compiled: an instrumented
            // compiler takes seconds for it.
            max_functions: 50,
            max_function_bytes: 64 << 10,
            max_locals: 500,
            max_nesting: 100,
            ..CompileLimits::default()
        },
        ..Compilation::default()
    };
    let engine = Engine::new(&limits()).expect("address space for one guest");
    let paths = [
        artifacts::NEEDS_MORE,
        artifacts::NO_ITEMS,
        artifacts::OTHER_TYPES,
        artifacts::SPINS_AT_START,
        artifacts::TOO_LARGE,
    ];
    let texts = paths.map(|path| std::fs::read(path).expect("the build script has built it"));
    Stage {
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
        engine: engine.compiling(compilation),
        components: texts.into_iter().chain([BUILTIN.to_vec()]).collect(),
    }
});

fuzz_target!(|input: &[u8]| {
    let file = file(input);
    STAGE.runtime.block_on(async {
        let before = tasks();
        let settings = Settings {
            limits: limits(),
            ..Settings::new("fuzz")
        };
        let loading = ComponentClient::load(&STAGE.engine, file, settings);
        match failsafe("a component to load", loading).await {
            Ok(component) => {
                let metrics = Arc::new(Metrics::default());
                let settings = component.settings();
                let subject = Subject {
                    client: Stack::new(component.clone(), settings, metrics.client(&settings.name)),
                    component,
                    engine: STAGE.engine.clone(),
                    metrics,
                };
                assert_ne!(subject.ask("x").await, Err("internal"));
                subject.gone(before).await;
            }
            Err(error) => {
                // The only execution is free: nothing of an earlier component is left.
                assert!(!matches!(error, LoadError::NoRoom { .. }), "{error:?}");
                let parts = [error.found(), error.expected(), error.fix().to_owned()];
                assert!(parts.iter().all(|part| !part.is_empty()), "{error:?}");
                // The error is printed to a terminal, and the author of the file chose the names in it.
                let is_inert = |letter: char| letter == '\n' || !letter.is_control();
                assert!(error.to_string().chars().all(is_inert), "{error:?}");
            }
        }
    });
});

/// The file that an input stands for.
fn file(input: &[u8]) -> Vec<u8> {
    let Some((choice, rest)) = input.split_first() else {
        return Vec::new();
    };
    let Some(component) = usize::from(*choice).checked_sub(1) else {
        return rest.to_vec();
    };
    let components = &STAGE.components;
    let mut file = components[component % components.len()].clone();
    for edit in rest.chunks_exact(5) {
        let place = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize;
        apply(&mut file, place, edit[3], edit[4]);
    }
    file
}

/// One edit: sets, inserts or removes a byte, or truncates the file there.
fn apply(file: &mut Vec<u8>, place: usize, what: u8, byte: u8) {
    let place = place % (file.len() + 1);
    match what {
        255 => file.truncate(place),
        170.. => file.insert(place, byte),
        _ if place == file.len() => {}
        85.. => drop(file.remove(place)),
        _ => file[place] = byte,
    }
}
