//! golang.org/x/sync/singleflight: the program beside this file is asked each
//! question in a process of its own, because there are questions that it does not survive.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::seen::{Question, Seen};

/// The program, built.
pub(crate) struct Go {
    binary: PathBuf,
}

impl Go {
    pub(crate) fn build() -> Self {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binary = scratch.join("behaviour-go");
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/behaviour/singleflight.go"
        );
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([&binary, Path::new(source)])
            // The package is where Debian's golang-golang-x-sync-dev puts it.
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")])
            .env("GOCACHE", scratch.join("behaviour-go-cache"))
            .output()
            .expect("Go is installed");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "the Go program builds: {said}");
        Self { binary }
    }

    /// What is seen, by the name that the variant of [`Seen`] has.
    pub(crate) fn ask(&self, question: Question) -> String {
        let mut command = Command::new(&self.binary);
        let output = command.arg(format!("{question:?}")).output();
        let output = output.expect("the Go program runs");
        if output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            return said.trim_end().to_owned();
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let seen = if said.contains("fatal error: all goroutines are asleep - deadlock!") {
            Seen::Hangs
        } else if said.contains("panic: the work panics") {
            Seen::KillsProcess
        } else {
            panic!("the Go program fails when {}: {said}", question.heading());
        };
        format!("{seen:?}")
    }
}
