//! Our table.

use single_flight::{Error, Group, Policy};

use crate::coalescer::{Coalescer, Failure, Outcome};

/// [`Group`] with its default limits.
#[derive(Debug)]
pub struct Ours {
    group: Group<u64, Outcome>,
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            group: Group::new(Policy::default()),
        }
    }
}

impl Coalescer for Ours {
    const NAME: &'static str = "oneflight";

    fn with_room(executions: usize) -> Self {
        let policy = Policy {
            max_flights: executions,
            ..Policy::default()
        };
        Self {
            group: Group::new(policy),
        }
    }

    async fn call<F, Fut>(&self, key: u64, work: F) -> Outcome
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let answer = self.group.call(key, move |_flight| work()).await;
        answer.map_err(failure)?.value
    }

    fn forget(&self, key: u64) -> bool {
        self.group.forget(&key);
        true
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Panicked { .. } => Failure::Panicked,
        Error::Cancelled { .. } => Failure::Cancelled,
        _ => Failure::Refused,
    }
}
