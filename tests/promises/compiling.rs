//! Compiling a component is limited, affects nothing else, and is done once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use futures_util::poll;
use oneflight::component::{Cache, CompileBudget, Program, ShapeLimit};
use oneflight::{BUILTIN, Client, Compilation, Compile, CompileLimits, ComponentClient, Unshared};
use oneflight::{Engine, Limits, LoadError, Settings};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{alone, binary, is_child_of, oneflight, processes, run, threads};
use oneflight_tests::{NEVER, artifacts, bomb, failsafe, memory, patient, settings};

/// Compiles in children of the real binary, which may use 256 MiB.
fn in_children() -> Compilation {
    in_child(&binary().to_string_lossy(), &["compile"])
}

fn in_child(program: &str, arguments: &[&str]) -> Compilation {
    Compilation {
        policy: Compile::Child(Program {
            path: program.into(),
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        }),
        cache: None,
        limits: CompileLimits {
            max_memory_bytes: 256 << 20,
            ..CompileLimits::default()
        },
    }
}

/// With a cache in `folder`.
fn keeping(folder: &Path, compilation: Compilation) -> Compilation {
    Compilation {
        cache: Some(Cache::open(folder, 1 << 30).unwrap()),
        ..compilation
    }
}

/// A compiler that does not exist: what loads with it comes from the cache.
fn absent() -> Compilation {
    in_child("/nowhere/compiler", &[])
}

/// An engine for two clients.
fn engine(compilation: Compilation) -> Engine {
    let limits = Limits {
        max_executions: 2,
        ..patient()
    };
    Engine::new(&limits).unwrap().compiling(compilation)
}

/// A client that executes one flight at a time.
fn one(name: &str) -> Settings {
    let limits = Limits {
        max_executions: 1,
        ..patient()
    };
    Settings {
        name: name.to_owned(),
        limits,
        ..settings()
    }
}

async fn load(compilation: Compilation, binary: &[u8]) -> Result<ComponentClient, LoadError> {
    let engine = engine(compilation);
    ComponentClient::load(&engine, binary, one("test")).await
}

fn named(name: &str) -> usize {
    processes(|_, stat| stat.contains(&format!("({name})"))).len()
}

/// The compiler that the process `parent` has started, once it has set its limits, has read its component and
/// compiles: then it has a thread that watches for the end of its parent.
pub(crate) async fn compiler_of(parent: u32) -> u32 {
    let of_parent = |path: &Path, stat: &str| {
        is_child_of(parent, stat) && threads(path).iter().any(|name| name == "parent-watch")
    };
    failsafe("a compiler", async {
        loop {
            if let [id] = processes(of_parent)[..] {
                break id;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(crate) fn kill(id: u32) {
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &id.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

// fault 32
#[tokio::test]
async fn a_component_that_takes_gigabytes_to_compile_is_refused_and_others_are_served_meanwhile() {
    let engine = engine(in_children());
    let other = fs::read(artifacts::MISBEHAVING).unwrap();
    let other = ComponentClient::load(&engine, other, one("other"));
    let other = other.await.unwrap();
    let echo = async || {
        let answer = Unshared::new(other.clone()).call("echo:a".into()).await;
        assert_eq!(
            answer.result.unwrap().json(),
            r#"[{"id":"a","body":"a"}]"#.as_bytes()
        );
    };

    let mut loading = pin!(ComponentClient::load(
        &engine,
        bomb::of_memory(),
        one("bomb")
    ));
    let mut served = 0;
    let refused = loop {
        if let std::task::Poll::Ready(loaded) = poll!(loading.as_mut()) {
            break loaded.unwrap_err();
        }
        failsafe(
            "an answer while another client's component is compiled",
            echo(),
        )
        .await;
        served += 1;
    };
    assert_eq!(
        refused,
        LoadError::TooCostly(CompileBudget::Memory(256 << 20))
    );
    assert!(served > 0);
    echo().await;
}

// fault 32
// On the command line.
#[tokio::test]
async fn check_reports_the_memory_limit_that_a_component_exceeds() {
    let folder = Folder::new();
    let file = folder.write("bomb.wasm", &bomb::of_memory());
    let output = run(&[
        "check",
        &file,
        "--json",
        "--compile-max-memory-bytes",
        "256 MiB",
    ])
    .await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        document["found"],
        "a component that takes more than 256 MiB of memory to compile"
    );
    assert!(
        document["fix"]
            .as_str()
            .unwrap()
            .contains("--compile-max-memory-bytes")
    );
}

// fault 32
// By processor time alone. The command line would also set a wall-clock limit of ten times that, which a
// busy machine may exceed first.
#[tokio::test]
async fn a_component_that_takes_minutes_to_compile_is_refused() {
    let limits = CompileLimits {
        max_cpu_time: Duration::from_secs(1),
        compile_timeout: NEVER,
        ..CompileLimits::default()
    };
    let compilation = Compilation {
        limits,
        ..in_children()
    };
    let refused = load(compilation, &bomb::of_time()).await.unwrap_err();
    assert_eq!(
        refused.found(),
        "a component that takes more than 1 s of processor time to compile"
    );
}

// fault 32
// The compiler does nothing at all: the wall-clock limit ends it, in paused time.
#[tokio::test(start_paused = true)]
async fn a_compiler_that_never_ends_is_killed_and_reaped() {
    let (folder, name) = (Folder::new(), "never-ends");
    let program = folder.path().join(name);
    symlink("/bin/sleep", &program).unwrap();
    let sleeping = in_child(program.to_str().unwrap(), &["1000"]);
    let time = sleeping.limits.compile_timeout;
    let refused = load(sleeping, BUILTIN).await.unwrap_err();
    assert_eq!(refused, LoadError::TooCostly(CompileBudget::Time(time)));
    assert_eq!(named(name), 0);
}

#[tokio::test]
async fn a_load_that_is_abandoned_ends_its_compiler() {
    let (folder, name) = (Folder::new(), "abandoned");
    let program = folder.path().join(name);
    symlink("/bin/sleep", &program).unwrap();
    {
        let sleeping = in_child(program.to_str().unwrap(), &["1000"]);
        let mut loading = pin!(load(sleeping, BUILTIN));
        failsafe("the compiler to start", async {
            while named(name) == 0 {
                assert!(poll!(loading.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    failsafe("the compiler to be killed and reaped", async {
        while named(name) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_more_than_two_compilers_run_at_once() {
    let (folder, name) = (Folder::new(), "two-at-once");
    let program = folder.path().join(name);
    symlink("/bin/sleep", &program).unwrap();
    let engine = engine(in_child(program.to_str().unwrap(), &["1000"]));
    let load = || {
        let mut settings = one("test");
        settings.limits.max_executions = 0;
        let engine = engine.clone();
        tokio::spawn(async move { ComponentClient::load(&engine, BUILTIN, settings).await })
    };
    let loads = [load(), load(), load()];
    let compilers = async |wanted: &dyn Fn(&[u32]) -> bool| {
        failsafe("compilers", async {
            loop {
                let found = processes(|_, stat| stat.contains(&format!("({name})")));
                assert!(found.len() <= 2, "{found:?}");
                if wanted(&found) {
                    break found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let first = compilers(&|found| found.len() == 2).await;
    // The third one starts when another ends.
    kill(first[0]);
    compilers(&|found| found.len() == 2 && !found.contains(&first[0])).await;
    for load in &loads {
        load.abort();
    }
    let ended = futures_util::future::join_all(loads).await;
    let broke_off = |ended: &Result<_, _>| matches!(ended, Ok(Err(LoadError::NotCompiled(_))));
    assert_eq!(ended.iter().filter(|ended| broke_off(ended)).count(), 1);
    compilers(&|found| found.is_empty()).await;
}

// fault 32
// Memory of the process that starts the compiler.
#[tokio::test]
async fn a_compile_bomb_costs_its_host_next_to_nothing() {
    if alone("compiling::a_compile_bomb_costs_its_host_next_to_nothing").await {
        let (engine, bomb) = (engine(in_children()), bomb::of_memory());
        let warm = ComponentClient::load(&engine, BUILTIN, one("warm")).await;
        assert!(warm.is_ok());
        let copies = 4 * bomb.len();
        let rise = memory::rise(async {
            let refused = ComponentClient::load(&engine, bomb, one("bomb")).await;
            let refused = refused.unwrap_err();
            assert_eq!(
                refused,
                LoadError::TooCostly(CompileBudget::Memory(256 << 20))
            );
        })
        .await;
        assert!(rise < copies + (2 << 20), "{rise}");
    }
}

#[tokio::test]
async fn a_compiler_is_limited_before_it_reads_and_inherits_nothing() {
    let folder = Folder::new();
    let file = folder.write("bomb.wasm", &bomb::of_time());
    let kept = folder.path().join("kept");
    let parent = oneflight(&["check", &file, "--compile-max-memory-bytes", "1 GiB"])
        .args(["--compile-max-cpu-time", "77s", "--compile-cache"])
        .arg(&kept)
        .env("SECRET", "s3cret")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let compiler = compiler_of(parent.id().unwrap()).await;
    let limits = fs::read_to_string(format!("/proc/{compiler}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let mut words = line.unwrap().split_whitespace();
        (words.next().unwrap(), words.next().unwrap())
    };
    assert_eq!(limit("Max address space"), ("1073741824", "1073741824"));
    assert_eq!(limit("Max cpu time"), ("77", "78"));
    assert_eq!(limit("Max core file size"), ("0", "0"));
    assert_eq!(limit("Max file size"), ("0", "0"));
    assert_eq!(limit("Max open files"), ("3", "3"));
    let environment = fs::read(format!("/proc/{compiler}/environ")).unwrap();
    // A failure prints no value: it may be a secret.
    assert!(environment == b"MALLOC_ARENA_MAX=1\0");

    // When it is killed, the message says so and nothing is written to the cache.
    kill(compiler);
    let output = failsafe("check to end", parent.wait_with_output()).await;
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("a failure of the compiler: signal: 9"),
        "{printed}"
    );
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);
}

// fault 86
#[tokio::test]
async fn a_compiler_ends_when_its_parent_is_killed() {
    let folder = Folder::new();
    let file = folder.write("bomb.wasm", &bomb::of_time());
    let serve = ["serve", "--component", &file, "--listen", "127.0.0.1:0"];
    for args in [
        &["check", &file][..],
        &[&serve[..], &["--admin", "off"]].concat(),
    ] {
        let mut parent = oneflight(args).stderr(Stdio::null()).spawn().unwrap();
        let compiler = compiler_of(parent.id().unwrap()).await;
        parent.kill().await.unwrap();
        failsafe("the compiler to end", async {
            // Where it is a zombie, its new parent reaps it.
            let runs = |path: &Path, stat: &str| {
                path.ends_with(compiler.to_string()) && !stat.contains(") Z ")
            };
            while !processes(runs).is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_compiler_failure_is_distinguished_from_an_invalid_component() {
    let LoadError::NotCompiled(why) = load(absent(), BUILTIN).await.unwrap_err() else {
        panic!("another error")
    };
    assert!(why.contains("/nowhere/compiler"), "{why}");
    let failing = in_child("/bin/false", &[]);
    let LoadError::NotCompiled(why) = load(failing, BUILTIN).await.unwrap_err() else {
        panic!("another error")
    };
    assert!(why.contains("exit status: 1"), "{why}");

    // It adds without operands.
    let invalid = bomb::component(1, &[3, 0, 0x6a, 0x0b]);
    let LoadError::Invalid(why) = load(in_children(), &invalid).await.unwrap_err() else {
        panic!("another error")
    };
    assert!(why.contains("type mismatch"), "{why}");
    // Output of a compiler is loaded only if wasmtime recognises it as its own code.
    let other = in_child("/usr/bin/head", &["-c", "100"]);
    let LoadError::NotCompiled(why) = load(other, BUILTIN).await.unwrap_err() else {
        panic!("another error")
    };
    assert!(why.contains("cannot be loaded"), "{why}");
}

// fault 31
#[tokio::test]
async fn a_precompiled_file_is_refused_by_its_first_bytes() {
    let compiled = wasmtime::Engine::default()
        .precompile_component(BUILTIN)
        .unwrap();
    // No compiler exists, so none is started.
    let refused = load(absent(), &compiled).await.unwrap_err();
    assert_eq!(refused, LoadError::Precompiled);
    let folder = Folder::new();
    let file = folder.write("client.wasm", &compiled);
    let output = run(&["check", &file]).await;
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("compiled ahead of time"), "{printed}");
    assert!(printed.contains("pass the .wasm file"), "{printed}");
}

#[tokio::test]
async fn a_component_past_a_shape_limit_is_refused_before_it_is_compiled() {
    let component = bomb::component(3, &bomb::function(40, 30));
    let bytes = component.len();
    let body = bomb::function(40, 30).len() - 2;
    for (limits, part, found) in [
        (
            CompileLimits {
                max_component_bytes: bytes - 1,
                ..CompileLimits::default()
            },
            ShapeLimit::Component,
            bytes,
        ),
        (
            CompileLimits {
                max_functions: 2,
                ..CompileLimits::default()
            },
            ShapeLimit::Functions,
            3,
        ),
        (
            CompileLimits {
                max_function_bytes: body - 1,
                ..CompileLimits::default()
            },
            ShapeLimit::Function,
            body,
        ),
        (
            CompileLimits {
                max_locals: 39,
                ..CompileLimits::default()
            },
            ShapeLimit::Locals,
            40,
        ),
        (
            CompileLimits {
                max_nesting: 29,
                ..CompileLimits::default()
            },
            ShapeLimit::Nesting,
            30,
        ),
    ] {
        let refused = load(Compilation { limits, ..absent() }, &component).await;
        let refused = refused.unwrap_err();
        let limit = found as u64 - 1;
        let found = found as u64;
        assert_eq!(refused, LoadError::TooComplex { part, found, limit });
        assert!(refused.found().contains(&found.to_string()), "{refused}");
        assert!(refused.expected().contains(&limit.to_string()), "{refused}");
    }
    // At the limits it is compiled, and refused because it is no client.
    let limits = CompileLimits {
        max_component_bytes: bytes,
        max_functions: 3,
        max_function_bytes: body,
        max_locals: 40,
        max_nesting: 30,
        ..in_children().limits
    };
    let compilation = Compilation {
        limits,
        ..in_children()
    };
    let exports = String::new();
    assert_eq!(
        load(compilation, &component).await.unwrap_err(),
        LoadError::NothingToCall {
            exports,
            refused: String::new()
        }
    );
}

#[tokio::test]
async fn what_was_compiled_once_is_not_compiled_again() {
    let folder = Folder::new();
    let kept = |compilation| keeping(folder.path(), compilation);
    assert!(load(kept(in_children()), BUILTIN).await.is_ok());
    assert!(load(kept(absent()), BUILTIN).await.is_ok());
    // Another component, and the same one with other limits, have separate entries.
    let other = fs::read(artifacts::MISBEHAVING).unwrap();
    let refused = load(kept(absent()), &other).await;
    assert!(matches!(refused, Err(LoadError::NotCompiled(_))));
    let limits = CompileLimits {
        max_functions: 199_999,
        ..absent().limits
    };
    let compilation = Compilation { limits, ..absent() };
    let refused = load(kept(compilation), BUILTIN).await;
    assert!(matches!(refused, Err(LoadError::NotCompiled(_))));
    assert_eq!(folder.names().len(), 1);
}

// fault 47
#[tokio::test]
async fn a_damaged_cache_entry_is_not_run_and_is_compiled_again() {
    let folder = Folder::new();
    let kept = |compilation| keeping(folder.path(), compilation);
    assert!(load(kept(in_children()), BUILTIN).await.is_ok());
    let [name] = &folder.names()[..] else {
        panic!("{folder:?}")
    };
    let entry = folder.path().join(name);
    let whole = fs::read(&entry).unwrap();
    let flipped = |at: usize| {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        damaged
    };
    for damaged in [
        vec![],
        whole[..79].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        // The format, the key, the checksum; the first, some, and the last byte of the code.
        flipped(0),
        flipped(16),
        flipped(48),
        flipped(80),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
    ] {
        fs::write(&entry, &damaged).unwrap();
        let refused = load(kept(absent()), BUILTIN).await;
        assert!(matches!(refused, Err(LoadError::NotCompiled(_))));
    }
    assert!(load(kept(in_children()), BUILTIN).await.is_ok());
    assert!(load(kept(absent()), BUILTIN).await.is_ok());
    assert_eq!(folder.names(), [name.as_str()]);

    // An entry that others may have written is not run either.
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = load(kept(absent()), BUILTIN).await;
    assert!(matches!(refused, Err(LoadError::NotCompiled(_))));
    // Nor is a symbolic link to one.
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o600)).unwrap();
    let elsewhere = Folder::new();
    let moved = elsewhere.path().join("moved");
    fs::rename(&entry, &moved).unwrap();
    symlink(&moved, &entry).unwrap();
    let refused = load(kept(absent()), BUILTIN).await;
    assert!(matches!(refused, Err(LoadError::NotCompiled(_))));
    // The link is replaced, and its target is not changed.
    let before = fs::read(&moved).unwrap();
    assert!(load(kept(in_children()), BUILTIN).await.is_ok());
    assert!(fs::symlink_metadata(&entry).unwrap().is_file());
    assert_eq!(fs::read(&moved).unwrap(), before);
}

#[tokio::test]
async fn two_processes_that_cache_the_same_code_at_once_both_run_it() {
    let folder = Folder::new();
    let kept = folder.path().to_str().unwrap();
    let check = ["check", artifacts::SECOND_CLIENT, "--compile-cache", kept];
    let (one, other) = tokio::join!(run(&check), run(&check));
    assert!(one.status.success(), "{one:?}");
    assert!(other.status.success(), "{other:?}");
    let names = folder.names();
    assert!(
        matches!(&names[..], [name] if name.ends_with(".code")),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_cache_folder_that_others_can_write_to_is_refused_with_the_command_that_fixes_it() {
    let folder = Folder::new();
    let path = folder.path().to_str().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let args = ["check", artifacts::SECOND_CLIENT, "--compile-cache", path];
    let refused = run(&args).await;
    assert_eq!(refused.status.code(), Some(1));
    let printed = String::from_utf8(refused.stderr).unwrap();
    assert!(printed.contains(&format!("chmod 700 {path}")), "{printed}");
    assert!(folder.names().is_empty());
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(run(&args).await.status.success());
}

#[tokio::test]
async fn without_a_home_folder_nothing_is_cached_and_everything_works() {
    for home in [None, Some("/dev/null")] {
        let mut check = oneflight(&["check", artifacts::SECOND_CLIENT]);
        check.env_remove("XDG_CACHE_HOME").env_remove("HOME");
        check.envs(home.map(|home| ("HOME", home)));
        let output = failsafe("check", check.output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            printed.matches("compiled code is not cached").count(),
            1,
            "{printed}"
        );
        assert!(printed.contains("--compile-cache"), "{printed}");
    }
}
