//! The promises that a run checks.

use std::process::ExitCode;

/// Prints the promises that are broken, each with whether it is.
pub(crate) fn report(promises: &[(bool, &str)]) -> ExitCode {
    let broken: Vec<_> = promises
        .iter()
        .filter(|(is_broken, _)| *is_broken)
        .collect();
    for (_, what) in &broken {
        println!("BROKEN: {what}");
    }
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
