//! [`Signals`]: the signals that a service handles; and [`Starter`], the end of the process that has started it.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::stderr::flush_before_exit;

/// The signals that a service handles. Until they are created, SIGHUP ends the process.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Reloads.
    pub(super) hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Handles the signals from here on. One that arrives before it is awaited is not lost.
    ///
    /// # Errors
    ///
    /// When the system does not allow it.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with I/O.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The signal that reloads, and a future that is ready on the first SIGINT or SIGTERM, or when `starter` has ended. The
    /// next signal exits the process immediately.
    pub(super) fn split(
        self,
        starter: Option<Starter>,
    ) -> (Signal, impl Future<Output = ()> + Send) {
        let Self {
            hangup,
            mut interrupt,
            mut terminate,
        } = self;
        let mut next = async move || {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        };
        let shutdown = async move {
            let ended = async {
                match starter {
                    Some(starter) => starter.ended().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = next() => (),
                () = ended => (),
            }
            tracing::info!("shutting down: open flights may land");
            tokio::spawn(async move {
                next().await;
                tracing::warn!("a second signal: open flights are abandoned");
                flush_before_exit();
                std::process::exit(130);
            });
        };
        (hangup, shutdown)
    }
}

/// The process that has started this one, and holds the other end of its standard input. The system closes that end when
/// the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Starter(Receiver);

impl Starter {
    /// # Errors
    ///
    /// When standard input is not a pipe.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with I/O.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        Receiver::from_owned_fd(stdin).map(Self)
    }

    /// Waits until it has ended. It writes nothing.
    async fn ended(self) {
        let mut pipe = self.0;
        let mut byte = [0];
        while matches!(pipe.read(&mut byte).await, Ok(read) if read > 0) {}
    }
}

/// Whether these arguments of the program, without its own name, are those of `serve`. It is known before they are
/// parsed, so that the signals are handled before anything else happens.
pub(crate) fn is_serve(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            // A flag of every command, with its value.
            Some("--log") => drop(arguments.next()),
            Some(flag) if flag.starts_with("--log=") => {}
            Some(command) => return command == "serve",
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_is_recognised_before_the_arguments_are_parsed() {
        for (line, expected) in [
            ("serve", true),
            ("--log debug serve --config serve", true),
            ("--log=debug serve", true),
            ("get serve", false),
            ("--log serve", false),
            ("", false),
        ] {
            let arguments = line.split_whitespace().map(OsString::from);
            assert_eq!(is_serve(arguments), expected, "{line}");
        }
    }
}
