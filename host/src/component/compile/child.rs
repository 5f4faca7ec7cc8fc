//! The compiler in a child process: the parent's side and the child's side.
//!
//! The parent writes a [`CompileRequest`] and the component to the child's standard input, which it keeps open. The
//! child writes the code to its standard output, or an error to standard error, and exits. The child limits itself
//! before it reads a byte of the component: after that it can open no file and no socket, write no file, and use
//! at most the memory and processor time of its request.
//!
//! The child also checks the component's imports and exports, since their number and their types are the component's
//! choice: the parent gets at most 4 KiB about a component that does not fit, and never its code.
//!
//! Neither process outlives the other. The parent kills the child when it stops waiting, and reaps it. The child
//! exits when its standard input is closed; the system closes it when the parent ends, even if it is killed.

use std::fmt;
use std::io::{self, Read, Write, stderr, stdin, stdout};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::thread::{self, available_parallelism};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use wasmtime::Engine as Wasmtime;

use super::features::refusal;
use crate::component::code::load_code;
use crate::component::codegen::codegen_config;
use crate::component::contract::exports::LinkedComponent;
use crate::component::error::{CompileBudget, LoadError};
use crate::component::error_mapping::is_out_of_memory;
use crate::printable::{MAX_TEXT_BYTES, bounded, printable};
use crate::settings::CompileLimits;

/// A program whose `main`, called with these arguments, returns the result of [`compile_for_parent`]. It must be as
/// trustworthy as this program, because the host executes the code that it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What the child reads before the component: three little-endian numbers of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CompileRequest {
    /// The limit of address space, in bytes.
    memory: u64,
    /// The limit of processor time, in seconds.
    cpu: u64,
    /// The length of the component, in bytes.
    length: u64,
}

impl CompileRequest {
    fn write(self) -> Vec<u8> {
        let numbers = [self.memory, self.cpu, self.length];
        numbers.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut number = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            io::Result::Ok(u64::from_le_bytes(bytes))
        };
        Ok(Self {
            memory: number()?,
            cpu: number()?,
            length: number()?,
        })
    }
}

/// The exit codes of a child that returns no code, as in `sysexits.h`; above those a component that does not fit.
/// Standard error has the text of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum CompilerExit {
    /// The component is not valid: `EX_DATAERR`.
    Invalid = 65,
    /// The limit of address space is exceeded: `EX_OSERR`.
    NoMemory = 71,
    /// It could not read its request or limit itself: `EX_IOERR`.
    Failed = 74,
    /// [`LoadError::NothingToCall`].
    NothingToCall = 80,
    /// [`LoadError::OtherTypes`].
    OtherTypes = 81,
    /// [`LoadError::MissingImport`].
    MissingImport = 82,
    /// [`LoadError::MissingFeatures`].
    MissingFeatures = 83,
}

/// The parent's side: compiles `binary` in a child that runs `program`.
///
/// # Cancel safety
///
/// Dropping the future kills the child; the runtime reaps it.
pub(super) async fn compile(
    program: &Program,
    binary: &[u8],
    limits: &CompileLimits,
) -> Result<Vec<u8>, LoadError> {
    let mut child = Command::new(&program.path)
        .args(&program.arguments)
        .env_clear()
        // glibc reserves 64 MiB of address space for each thread that allocates by it, which is limited.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let program = program.path.display();
            LoadError::NotCompiled(format!("could not start {program}: {error}"))
        })?;
    let request = CompileRequest {
        memory: limits.max_memory_bytes,
        // The system treats a limit of 0 s as 1 s.
        cpu: limits.max_cpu_time.as_secs().max(1),
        length: binary.len() as u64,
    };
    match timeout(
        limits.compile_timeout,
        exchange(&mut child, request, binary, limits.max_code_bytes),
    )
    .await
    {
        Ok(Ok(output)) => output.into_code(limits),
        Ok(Err(error)) => Err(LoadError::NotCompiled(format!(
            "lost the connection to its process: {error}"
        ))),
        Err(_) => {
            // Fails if the child has exited meanwhile. It is reaped in either case.
            let _ = child.kill().await;
            Err(LoadError::TooCostly(CompileBudget::Time(
                limits.compile_timeout,
            )))
        }
    }
}

/// The exit status and the output of a child.
#[derive(Debug)]
struct CompilerOutput {
    status: ExitStatus,
    code: Vec<u8>,
    stderr: String,
}

/// Writes the request and reads the output concurrently: a child that is blocked on a write does not read. At most one
/// byte more than `max_code_bytes` is read, then the pipe is closed, so that a child that writes more gets an error.
async fn exchange(
    child: &mut Child,
    request: CompileRequest,
    binary: &[u8],
    max_code_bytes: usize,
) -> io::Result<CompilerOutput> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let write = async {
        // These fail if the child exits early, and then its exit status has the reason.
        let _ = stdin.write_all(&request.write()).await;
        let _ = stdin.write_all(binary).await;
        stdin
    };
    let (stdin, code, stderr) = tokio::join!(
        write,
        read_up_to(max_code_bytes.saturating_add(1), stdout),
        read_up_to(MAX_TEXT_BYTES, stderr)
    );
    // Only now: the child exits at the end of its input.
    drop(stdin);
    Ok(CompilerOutput {
        status: child.wait().await?,
        code: code?,
        stderr: printable(&String::from_utf8_lossy(&stderr?)),
    })
}

/// Reads the first `bytes` of `stream`, and closes it.
async fn read_up_to(bytes: usize, stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.take(bytes as u64).read_to_end(&mut read).await?;
    Ok(read)
}

impl CompilerOutput {
    fn into_code(self, limits: &CompileLimits) -> Result<Vec<u8>, LoadError> {
        /// What the standard library prints before it aborts a process that is out of memory.
        const NO_MEMORY: &str = "memory allocation of";
        let exited = |code: CompilerExit| self.status.code() == Some(code as i32);
        if self.code.len() > limits.max_code_bytes {
            Err(LoadError::TooCostly(CompileBudget::Code(
                limits.max_code_bytes,
            )))
        } else if self.status.success() {
            Ok(self.code)
        } else if exited(CompilerExit::Invalid) {
            Err(LoadError::Invalid(self.stderr))
        } else if exited(CompilerExit::NothingToCall) {
            // One line for the exports, and one for why they cannot be called: neither has line breaks.
            let (exports, refused) = self.stderr.split_once('\n').unwrap_or((&self.stderr, ""));
            Err(LoadError::NothingToCall {
                exports: exports.to_owned(),
                refused: refused.to_owned(),
            })
        } else if exited(CompilerExit::OtherTypes) {
            let found = self.stderr;
            Err(LoadError::OtherTypes { found })
        } else if exited(CompilerExit::MissingImport) {
            Err(LoadError::MissingImport(self.stderr))
        } else if exited(CompilerExit::MissingFeatures) {
            Err(LoadError::MissingFeatures(self.stderr))
        } else if exited(CompilerExit::NoMemory) || self.stderr.contains(NO_MEMORY) {
            Err(LoadError::TooCostly(CompileBudget::Memory(
                limits.max_memory_bytes,
            )))
        } else if self.status.signal() == Some(Signal::XCPU.as_raw()) {
            Err(LoadError::TooCostly(CompileBudget::Processor(
                limits.max_cpu_time,
            )))
        } else {
            let stderr = match &*self.stderr {
                "" => String::new(),
                stderr => format!("; stderr: {stderr}"),
            };
            Err(LoadError::NotCompiled(format!("{}{stderr}", self.status)))
        }
    }
}

/// The child's side: the `main` of a [`Program`]. Reads a component from standard input and writes its code to
/// standard output, within the limits that its parent, [`Compile::Child`], has set.
///
/// The process must do nothing else before or after: it can no longer open a file, and this function uses all
/// of its threads and memory and sets its exit code.
///
/// [`Compile::Child`]: super::Compile::Child
#[must_use]
pub fn compile_for_parent() -> ExitCode {
    match compile_from_stdin() {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, why)) => {
            // Fails if the parent is gone.
            let _ = writeln!(stderr(), "{}", bounded(why));
            ExitCode::from(exit as u8)
        }
    }
}

fn compile_from_stdin() -> Result<(), (CompilerExit, String)> {
    let failed = |what: &'static str| {
        move |error: &dyn fmt::Display| (CompilerExit::Failed, format!("could not {what}: {error}"))
    };
    let mut stdin = stdin().lock();
    let request =
        CompileRequest::read(&mut stdin).map_err(|error| failed("read the request")(&error))?;
    limit_process(request)?;

    let mut binary = Vec::new();
    stdin
        .by_ref()
        .take(request.length)
        .read_to_end(&mut binary)
        .map_err(|error| failed("read the component")(&error))?;
    if binary.len() as u64 != request.length {
        return Err(failed("read the component")(&"it is truncated"));
    }
    drop(stdin);
    thread::Builder::new()
        .name(PARENT_WATCH.into())
        .spawn(exit_with_parent)
        .map_err(|error| {
            (
                CompilerExit::NoMemory,
                format!("could not start a thread: {error}"),
            )
        })?;

    let engine = Wasmtime::new(&codegen_config())
        .map_err(|error| failed("start the compiler")(&format!("{error:#}")))?;
    let code = engine.precompile_component(&binary).map_err(|error| {
        if error.is::<wasmtime::error::OutOfMemory>() {
            return (CompilerExit::NoMemory, format!("{error:#}"));
        }
        match refusal(&engine, &binary, &error) {
            LoadError::MissingFeatures(names) => (CompilerExit::MissingFeatures, names),
            _ => (CompilerExit::Invalid, format!("{error:#}")),
        }
    })?;
    check_contract(&engine, &code)?;
    let mut stdout = stdout().lock();
    let written = stdout.write_all(&code).and_then(|()| stdout.flush());
    written.map_err(|error| failed("write the code")(&error))
}

/// Checks the imports and exports of the component of `code`.
fn check_contract(engine: &Wasmtime, code: &[u8]) -> Result<(), (CompilerExit, String)> {
    let component = load_code(engine, code).map_err(|error| {
        let exit = if is_out_of_memory(&error) {
            CompilerExit::NoMemory
        } else {
            CompilerExit::Failed
        };
        (exit, format!("could not load the code: {error:#}"))
    })?;
    let checked = LinkedComponent::new(engine, &component);
    checked.map(drop).map_err(|error| match error {
        LoadError::NothingToCall { exports, refused } => {
            (CompilerExit::NothingToCall, format!("{exports}\n{refused}"))
        }
        LoadError::OtherTypes { found } => (CompilerExit::OtherTypes, found),
        LoadError::MissingImport(why) => (CompilerExit::MissingImport, why),
        other => (CompilerExit::Failed, other.found()),
    })
}

/// Sets the limits of this process, which cannot be raised again, and starts the compiler's threads.
fn limit_process(request: CompileRequest) -> Result<(), (CompilerExit, String)> {
    /// Each thread needs address space for a stack and a malloc arena. More threads would need more address space than
    /// the compiler itself, and most components have fewer large functions than this.
    const MAX_THREADS: usize = 8;
    // If the machine runs out of memory before this process reaches its limit, the kernel kills this process and no
    // other. Not every system has this file.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Before the limits, as it reads files.
    let threads = available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS));
    for (resource, limit) in [
        (Resource::As, request.memory),
        (Resource::Cpu, request.cpu),
        // An abort would write all memory of the process to a file.
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        // Standard input, output and error are the first three.
        (Resource::Nofile, 3),
    ] {
        // At the soft limit of processor time the system sends SIGXCPU, by which the parent recognises the reason; at
        // the hard limit it sends SIGKILL, which does not identify the reason.
        let maximum = limit + u64::from(matches!(resource, Resource::Cpu));
        let rlimit = Rlimit {
            current: Some(limit),
            maximum: Some(maximum),
        };
        setrlimit(resource, rlimit).map_err(|error| {
            let limited = format!("could not limit {resource:?} to {limit}: {error}");
            (CompilerExit::Failed, limited)
        })?;
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| {
            (
                CompilerExit::NoMemory,
                format!("could not start threads: {error}"),
            )
        })
}

/// The name of the thread that waits for the end of the parent. It starts after the component has been read.
const PARENT_WATCH: &str = "parent-watch";

/// Waits for the end of standard input, then exits.
fn exit_with_parent() {
    let _ = stdin().lock().read(&mut [0]);
    std::process::exit(CompilerExit::Failed as i32);
}
