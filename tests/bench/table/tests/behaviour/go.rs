//! golang.org/x/sync/singleflight: `singleflight.go` answers each question in a separate process, because it
//! does not survive some of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use bench_table::go;

use crate::observation::{Observation, Question};

/// The program, built.
pub(crate) struct GoPeer {
    binary: PathBuf,
}

impl GoPeer {
    pub(crate) fn build() -> Self {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/behaviour/singleflight.go"
        );
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binary = go::build(Path::new(source), scratch, "behaviour-go");
        Self {
            binary: binary.expect("the Go program builds"),
        }
    }

    /// The name of the variant of [`Observation`] that the program observes.
    pub(crate) fn observe(&self, question: Question) -> String {
        let mut command = Command::new(&self.binary);
        let output = command.arg(format!("{question:?}")).output();
        let output = output.expect("the Go program runs");
        if output.status.success() {
            let stdout = String::from_utf8_lossy(&output.stdout);
            return stdout.trim_end().to_owned();
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let observation = if stderr.contains("fatal error: all goroutines are asleep - deadlock!") {
            Observation::Hangs
        } else if stderr.contains("panic: the work panics") {
            Observation::KillsProcess
        } else {
            panic!("the Go program fails when {}: {stderr}", question.heading());
        };
        format!("{observation:?}")
    }
}
