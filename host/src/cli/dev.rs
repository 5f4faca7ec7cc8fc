//! `oneflight dev`: serves a client that is being written, and builds and reloads it when its source changes.

mod build;
mod sources;

use std::collections::BTreeSet;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::level_filters::LevelFilter;

use self::build::run_build;
use self::sources::Sources;
use super::stderr::print_line;

/// The time between two checks of the sources.
const PAUSE: Duration = Duration::from_millis(300);

/// The script in the folder of a client that builds it.
const BUILD: &str = "build.sh";

/// Serves a client that you are writing: builds it, and builds and reloads it whenever its source changes. Open calls
/// finish on the former component. Each call and what the client prints is shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Dev {
    /// The folder of the client, as `oneflight new` makes it: its build.sh builds client.wasm. Or a component, which is
    /// reloaded when you have built it.
    path: PathBuf,

    /// Flags of `oneflight serve`, for example --base-url, --allow and --listen.
    #[arg(
        value_name = "FLAGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    serve: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  oneflight dev my-client --base-url http://localhost:3000/items
  oneflight dev target/wasm32-wasip2/release/my_client.wasm --allow https://api.example.com";

/// What is built and served.
struct Project {
    sources: Sources,
    component: PathBuf,
    /// Builds the component, if this program does.
    build: Option<PathBuf>,
}

impl Dev {
    /// `level` is that of the service's log.
    pub(super) async fn run(self, level: Option<LevelFilter>) -> anyhow::Result<ExitCode> {
        let project = Project::at(&self.path)?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut service: Option<DevService> = None;
        // What the last build has changed of the sources.
        let mut by_build = BTreeSet::new();
        loop {
            let step = self.step(&project, level, &mut service, &mut by_build);
            tokio::select! {
                changed = step => changed?,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
        let Some(mut service) = service else {
            return Ok(ExitCode::SUCCESS);
        };
        // It finishes its open calls, unless there is a second signal.
        service.send(Signal::TERM)?;
        loop {
            tokio::select! {
                ended = service.process.wait() => return Ok(exit_code(ended?)),
                _ = interrupt.recv() => service.send(Signal::TERM)?,
                _ = terminate.recv() => service.send(Signal::TERM)?,
            }
        }
    }

    /// Builds and loads the component, and waits until there is a reason to do so again.
    async fn step(
        &self,
        project: &Project,
        level: Option<LevelFilter>,
        service: &mut Option<DevService>,
        by_build: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        if project.build().await? {
            self.load(&project.component, level, service)?;
        }
        let changed = project.changes().await?;
        if !changed.is_empty() && changed != *by_build {
            // Some of it may have come too late for that build.
            *by_build = changed;
            return Ok(());
        }
        if changed.is_empty() {
            by_build.clear();
        }
        if let Some(file) = changed.first() {
            let file = file.display();
            print_line!(
                "each build changes {file}, so that is no reason for another one; list it in .gitignore"
            );
        }
        tokio::select! {
            changed = project.wait_for_change() => return changed,
            ended = end_of(service) => {
                let ended = ended?;
                print_line!("the service has ended ({ended}); the next change starts it again");
            }
        }
        *service = None;
        project.wait_for_change().await
    }

    /// Lets the service load the component, and starts the service if it does not run.
    fn load(
        &self,
        component: &Path,
        level: Option<LevelFilter>,
        service: &mut Option<DevService>,
    ) -> anyhow::Result<()> {
        if let Some(running) = service
            && running.process.try_wait()?.is_none()
        {
            return running.send(Signal::HUP);
        }
        let program = std::env::current_exe().context("could not find this program")?;
        let mut process = Command::new(program)
            .args(["--log", &level.unwrap_or(LevelFilter::INFO).to_string()])
            .args(["serve", "--until-stdin-ends", "--component"])
            .arg(component)
            .args(&self.serve)
            .stdin(Stdio::piped())
            // A signal of the terminal goes to this process, which passes it on once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("could not start oneflight serve")?;
        let lifeline = process.stdin.take();
        *service = Some(DevService {
            process,
            _lifeline: lifeline,
        });
        Ok(())
    }
}

/// The service that is running.
struct DevService {
    process: Child,
    /// Its standard input, which ends when this process does: then the service shuts down, also if this process is killed.
    /// It is not the child's, whose `wait` would close it.
    _lifeline: Option<ChildStdin>,
}

impl DevService {
    fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.process.id();
        match id.and_then(|id| Pid::from_raw(id.cast_signed())) {
            Some(id) => Ok(kill_process(id, signal)?),
            // It has ended.
            None => Ok(()),
        }
    }
}

/// Waits until the service ends, if there is one.
async fn end_of(service: &mut Option<DevService>) -> std::io::Result<ExitStatus> {
    match service {
        Some(service) => service.process.wait().await,
        None => pending().await,
    }
}

impl Project {
    fn at(path: &Path) -> anyhow::Result<Self> {
        let metadata = path
            .metadata()
            .with_context(|| format!("could not read {}", path.display()))?;
        if !metadata.is_dir() {
            return Ok(Self {
                sources: Sources::of(path),
                component: path.to_owned(),
                build: None,
            });
        }
        let build = path.join(BUILD);
        ensure!(
            build.is_file(),
            "expected a file {BUILD} in {}, which builds client.wasm, got none; give the component instead, or add it",
            path.display()
        );
        Ok(Self {
            sources: Sources::of(path),
            component: path.join("client.wasm"),
            build: Some(build.canonicalize()?),
        })
    }

    /// Builds the component, and returns whether there is one to load.
    async fn build(&self) -> anyhow::Result<bool> {
        let Some(build) = &self.build else {
            return Ok(true);
        };
        print_line!("building {}", self.component.display());
        let ended = run_build(build)
            .await
            .with_context(|| {
                let build = build.display();
                format!("could not run {build}; let it begin with #!/bin/sh, and make it executable: chmod +x {build}")
            })?;
        if !ended.success() {
            print_line!("the build failed ({ended}); the next change starts another one");
        }
        Ok(ended.success())
    }

    /// Waits until the sources have changed since the last call.
    async fn wait_for_change(&self) -> anyhow::Result<()> {
        loop {
            sleep(PAUSE).await;
            if !self.changes().await?.is_empty() {
                return Ok(());
            }
        }
    }

    /// What has changed of the sources since the last call.
    async fn changes(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let sources = self.sources.clone();
        // Reading a folder blocks.
        Ok(spawn_blocking(move || sources.changes()).await?)
    }
}

fn exit_code(ended: ExitStatus) -> ExitCode {
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
