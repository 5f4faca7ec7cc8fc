//! The loads whose instructions valgrind counts: those of the timed sections, once. See
//! [`instructions`](crate::instructions).

use std::sync::Arc;
use std::task::{Context, Waker};

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use crate::coalescer::Coalescer;
use crate::lineup::{Contestant, Measure};
use crate::loads::JoinScene;
use crate::runtime::runtime;
use crate::uncontended::UncontendedTurn;
use crate::work::{Gated, Pace};

/// A load, as an argument of the process whose instructions are counted.
#[derive(Debug, Clone, Copy)]
pub enum CountedLoad {
    /// Uncontended calls of one caller on one worker.
    Calls {
        /// When their work is ready.
        pace: Pace,
        /// The number of calls.
        calls: u64,
    },
    /// Flights that are opened, and may then be joined.
    Joins {
        /// The flights.
        scene: JoinScene,
        /// Whether they are joined.
        followers: Followers,
    },
}

/// Whether the followers of a scene join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// Their futures exist and are never polled.
    Absent,
    /// Each is polled once.
    Joined,
}

impl CountedLoad {
    /// The arguments that [`CountedLoad::parse`] reads.
    pub fn arguments(self) -> Vec<String> {
        match self {
            Self::Calls { pace, calls } => {
                vec!["calls".into(), pace.name().into(), calls.to_string()]
            }
            Self::Joins { scene, followers } => vec![
                match followers {
                    Followers::Absent => "opened".into(),
                    Followers::Joined => "joined".into(),
                },
                scene.keys.to_string(),
                scene.callers.to_string(),
                scene.others.to_string(),
            ],
        }
    }

    /// Parses arguments.
    ///
    /// # Errors
    ///
    /// They are not those of [`CountedLoad::arguments`].
    pub fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(match arguments[..] {
            ["calls", pace, calls] => {
                let pace = Pace::ALL.into_iter().find(|known| known.name() == pace);
                Self::Calls {
                    pace: pace.context("expected ready or yields")?,
                    calls: calls.parse()?,
                }
            }
            [kind @ ("opened" | "joined"), keys, callers, others] => Self::Joins {
                scene: JoinScene {
                    keys: keys.parse()?,
                    callers: callers.parse()?,
                    others: others.parse()?,
                },
                followers: match kind {
                    "opened" => Followers::Absent,
                    _ => Followers::Joined,
                },
            },
            _ => bail!("expected calls, opened or joined with their numbers, got {arguments:?}"),
        })
    }

    /// Runs the load with a contestant.
    ///
    /// # Errors
    ///
    /// A runtime cannot be built.
    pub fn run_with(self, contestant: Contestant) -> anyhow::Result<()> {
        match self {
            Self::Calls { pace, calls } => {
                let runtime = &runtime(1)?;
                contestant.take(&UncontendedTurn {
                    runtime,
                    callers: 1,
                    pace,
                    calls,
                });
                Ok(())
            }
            Self::Joins { scene, followers } => contestant.take(&Joining { scene, followers }),
        }
    }
}

struct Joining {
    scene: JoinScene,
    followers: Followers,
}

impl Measure for Joining {
    type Sample = anyhow::Result<()>;

    fn measure<C: Coalescer>(&self) -> anyhow::Result<()> {
        let JoinScene {
            keys,
            callers,
            others,
        } = self.scene;
        let runtime = Builder::new_current_thread().build()?;
        let _entered = runtime.enter();
        let coalescer = C::with_room((keys + others) as usize);
        let gated = Arc::new(Gated::default());
        let call = |key| {
            let gated = Arc::clone(&gated);
            Box::pin(coalescer.call(key, move || gated.work()))
        };
        let cx = &mut Context::from_waker(Waker::noop());

        let mut leaders: Vec<_> = (0..keys + others).map(call).collect();
        // The keys alternate, as they would with real callers.
        let followers = (1..callers).flat_map(|_| 0..keys);
        let mut followers: Vec<_> = followers.map(call).collect();
        for leader in &mut leaders {
            assert!(leader.as_mut().poll(cx).is_pending());
        }
        if self.followers == Followers::Joined {
            for follower in &mut followers {
                assert!(follower.as_mut().poll(cx).is_pending());
            }
        }
        // No caller is dropped, so that leaving is not counted.
        std::process::exit(0)
    }
}
