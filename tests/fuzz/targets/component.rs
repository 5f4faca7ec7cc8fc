//! Whatever is in a file, loading it yields a client or an error that says what to do, and a client that
//! loads hurts nothing but its own flights.
//!
//! The input's first byte chooses a component, or, if it is 0, none. The rest are edits of that
//! component, five bytes each; or, without one, the file as it is.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oneflight::{
    BUILTIN, Compilation, CompileLimits, ComponentClient, Engine, Limits, Settings, decorate,
};
use oneflight_tests::{Subject, artifacts, failsafe, tasks};
use tokio::runtime::Runtime;

/// The same for all inputs.
struct Stage {
    runtime: Runtime,
    engine: Engine,
    components: Vec<Vec<u8>>,
}

/// Small enough that an input takes a moment, whatever it does.
fn limits() -> Limits {
    Limits {
        executions: 1,
        memory: 2 << 20,
        cpu: Duration::from_millis(20),
        flight: Duration::from_millis(50),
        ..Limits::default()
    }
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let compilation = Compilation {
        limits: CompileLimits {
            component: 1 << 20,
            // The built-in client has more: an instrumented compiler takes seconds for it. It is read to
            // its end, and no further.
            functions: 50,
            function: 64 << 10,
            locals: 500,
            nesting: 100,
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
                let subject = Subject {
                    client: decorate(component.clone(), component.settings()),
                    component,
                    engine: STAGE.engine.clone(),
                };
                assert_ne!(subject.ask("x").await, Err("internal"));
                subject.gone(before).await;
            }
            Err(error) => {
                let parts = [error.found(), error.needed(), error.fix().to_owned()];
                assert!(parts.iter().all(|part| !part.is_empty()), "{error:?}");
                // It is printed to a terminal, and names in the file are whatever its author wrote.
                let is_inert = |letter: char| letter == '\n' || !letter.is_control();
                assert!(error.to_string().chars().all(is_inert), "{error:?}");
            }
        }
    });
});

/// The file that an input describes.
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

/// One edit: a byte is set, added or taken out, or the file ends there.
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
