//! A compiler in a process of its own, seen from both ends of its pipes.
//!
//! The parent writes an [`CompileRequest`] and the component to the child's standard input, which it then keeps
//! open; the child writes the code to its standard output, or says on standard error why there is none,
//! and ends. The child binds itself before it reads a byte of the component: after that it can open
//! no file and no socket, write no file, and use no more memory and processor time than its order says.
//!
//! Neither outlives the other. The parent kills the child where its wait ends, and reaps it; the child
//! ends when its standard input does, which the system closes however the parent ends.

use std::fmt;
use std::io::{self, Read, Write, stderr, stdin, stdout};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::thread::{self, available_parallelism};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Program;
use crate::component::check::{CompileBudget, LoadError};
use crate::component::engine;
use crate::component::output::printable;
use crate::settings::CompileLimits;

/// What a child is told before the component, each a little-endian number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CompileRequest {
    /// The address space that it may use, in bytes.
    memory: u64,
    /// The processor time that it may use, in seconds.
    cpu: u64,
    /// The bytes of the component.
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

/// How a child ends that has no code to give: exit codes as `sysexits.h` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum CompilerExit {
    /// The component is not valid: `EX_DATAERR`.
    Invalid = 65,
    /// The address space does not suffice: `EX_OSERR`.
    NoMemory = 71,
    /// It could not read its order or bind itself: `EX_IOERR`.
    Unable = 74,
}

/// How much is kept of what a child says on standard error, in bytes.
const MOST_WORDS: usize = 4 << 10;

/// The parent's end: the code that a child makes of `binary`.
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
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let program = program.path.display();
            LoadError::NotCompiled(format!("that did not start: {program}: {error}"))
        })?;
    let order = CompileRequest {
        memory: limits.max_memory_bytes,
        // A limit of the system of 0 s is one of 1 s.
        cpu: limits.max_cpu_time.as_secs().max(1),
        length: binary.len() as u64,
    };
    match timeout(
        limits.compile_timeout,
        converse(&mut child, order, binary, limits.max_code_bytes),
    )
    .await
    {
        Ok(Ok(ended)) => ended.judge(limits),
        Ok(Err(error)) => Err(LoadError::NotCompiled(format!("that was lost: {error}"))),
        Err(_) => {
            // Fails where the child has ended by itself meanwhile, and is reaped in either case.
            let _ = child.kill().await;
            Err(LoadError::TooCostly(CompileBudget::Time(
                limits.compile_timeout,
            )))
        }
    }
}

/// How a child ended, and what it left.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    words: String,
}

/// Writes and reads all at once, as a child that cannot write does not read. No more than one byte
/// over `most_code` is taken: a child that has more to write finds its output closed.
async fn converse(
    child: &mut Child,
    order: CompileRequest,
    binary: &[u8],
    most_code: usize,
) -> io::Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let tell = async {
        // A child that ended before it was told everything says why as it ends.
        let _ = stdin.write_all(&order.write()).await;
        let _ = stdin.write_all(binary).await;
        stdin
    };
    let (stdin, code, words) = tokio::join!(
        tell,
        at_most(most_code.saturating_add(1), stdout),
        at_most(MOST_WORDS, stderr)
    );
    // Not before: the child takes the end of its input for the end of this process.
    drop(stdin);
    Ok(Ended {
        status: child.wait().await?,
        code: code?,
        words: printable(&String::from_utf8_lossy(&words?)),
    })
}

/// The first bytes of `stream`, which is closed after them.
async fn at_most(bytes: usize, stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.take(bytes as u64).read_to_end(&mut read).await?;
    Ok(read)
}

impl Ended {
    fn judge(self, limits: &CompileLimits) -> Result<Vec<u8>, LoadError> {
        /// What the standard library says before it aborts a process that gets no memory.
        const NO_MEMORY: &str = "memory allocation of";
        let ended_by = |code: CompilerExit| self.status.code() == Some(code as i32);
        if self.code.len() > limits.max_code_bytes {
            Err(LoadError::TooCostly(CompileBudget::Code(
                limits.max_code_bytes,
            )))
        } else if self.status.success() {
            Ok(self.code)
        } else if ended_by(CompilerExit::Invalid) {
            Err(LoadError::Invalid(self.words))
        } else if ended_by(CompilerExit::NoMemory) || self.words.contains(NO_MEMORY) {
            Err(LoadError::TooCostly(CompileBudget::Memory(
                limits.max_memory_bytes,
            )))
        } else if self.status.signal() == Some(Signal::XCPU.as_raw()) {
            Err(LoadError::TooCostly(CompileBudget::Processor(
                limits.max_cpu_time,
            )))
        } else {
            let said = match &*self.words {
                "" => String::new(),
                words => format!("; it said: {words}"),
            };
            let ended = format!("that broke off: {}{said}", self.status);
            Err(LoadError::NotCompiled(ended))
        }
    }
}

/// The child's end: the `main` of a [`Program`]. Reads a component from standard input and writes its
/// code to standard output, within the limits that its parent, [`Compile::Child`], has set.
///
/// The process has nothing else to do before or after: it can open no file any more. Its threads, its
/// memory and its exit code are this function's.
///
/// [`Compile::Child`]: super::Compile::Child
#[must_use]
pub fn compile_for_parent() -> ExitCode {
    match obey() {
        Ok(()) => ExitCode::SUCCESS,
        Err((end, why)) => {
            // The parent may be gone.
            let _ = writeln!(stderr(), "{why}");
            ExitCode::from(end as u8)
        }
    }
}

fn obey() -> Result<(), (CompilerExit, String)> {
    let unable = |what: &'static str| {
        move |error: &dyn fmt::Display| (CompilerExit::Unable, format!("could not {what}: {error}"))
    };
    let mut stdin = stdin().lock();
    let order =
        CompileRequest::read(&mut stdin).map_err(|error| unable("read the order")(&error))?;
    bind(order)?;

    let mut binary = Vec::new();
    stdin
        .by_ref()
        .take(order.length)
        .read_to_end(&mut binary)
        .map_err(|error| unable("read the component")(&error))?;
    if binary.len() as u64 != order.length {
        return Err(unable("read the component")(&"it is cut short"));
    }
    drop(stdin);
    thread::Builder::new()
        .name(PARENT_WATCH.into())
        .spawn(end_with_the_parent)
        .map_err(|error| {
            (
                CompilerExit::NoMemory,
                format!("could not start a thread: {error}"),
            )
        })?;

    let engine = wasmtime::Engine::new(&engine::code())
        .map_err(|error| unable("start the compiler")(&format!("{error:#}")))?;
    let code = engine.precompile_component(&binary).map_err(|error| {
        let end = if error.is::<wasmtime::error::OutOfMemory>() {
            CompilerExit::NoMemory
        } else {
            CompilerExit::Invalid
        };
        (end, format!("{error:#}"))
    })?;
    let mut stdout = stdout().lock();
    let written = stdout.write_all(&code).and_then(|()| stdout.flush());
    written.map_err(|error| unable("write the code")(&error))
}

/// Binds this process, for good, and starts the compiler's threads.
fn bind(order: CompileRequest) -> Result<(), (CompilerExit, String)> {
    /// Each has a stack and an arena of address space; past this many they would need more of it than
    /// the compiler itself, and most components have no more large functions.
    const MOST_THREADS: usize = 8;
    // Where the machine runs out of memory before this process has used up its own, the kernel ends
    // this process and no other. Not every system has this file.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Reads files, so it comes before the limits.
    let threads = available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    for (resource, limit) in [
        (Resource::As, order.memory),
        (Resource::Cpu, order.cpu),
        // A process that aborts would write all of its memory to a file.
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        // Standard input, output and error are the first three.
        (Resource::Nofile, 3),
    ] {
        // At the soft limit of processor time the system sends SIGXCPU, which names the reason; at the
        // hard limit it just kills.
        let maximum = limit + u64::from(matches!(resource, Resource::Cpu));
        let rlimit = Rlimit {
            current: Some(limit),
            maximum: Some(maximum),
        };
        setrlimit(resource, rlimit).map_err(|error| {
            let limited = format!("could not limit {resource:?} to {limit}: {error}");
            (CompilerExit::Unable, limited)
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

/// The thread that outlives no parent. Where it is seen, the component has been read.
const PARENT_WATCH: &str = "parent-watch";

/// Waits for the end of standard input, then ends the process.
fn end_with_the_parent() {
    let _ = stdin().lock().read(&mut [0]);
    std::process::exit(CompilerExit::Unable as i32);
}
