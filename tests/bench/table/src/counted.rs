//! What valgrind counts instructions of: the same loads as the timed sections have, once. See
//! [`instructions`](crate::instructions).

use std::sync::Arc;
use std::task::{Context, Waker};

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use crate::contestants::Coalescer;
use crate::effort::JoinScene;
use crate::lineup::{Contestant, Measure};
use crate::uncontended::{Turn, runtime};
use crate::work::{Gated, Pace};

/// A load, as it stands on the command line of the process that is counted.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// So many uncontended calls, by one caller on one worker.
    Calls {
        /// What their work does.
        pace: Pace,
        /// How many.
        calls: u64,
    },
    /// Flights are opened, and then joined by those callers whose turn it is.
    Joins {
        /// The table.
        scene: JoinScene,
        /// Who joins.
        followers: Followers,
    },
}

/// Whether the followers of a scene join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// Their futures are there, and never polled.
    Absent,
    /// Each is polled once.
    Joined,
}

impl Load {
    /// What [`Load::parse`] reads.
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

    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// It is not one of [`Load::arguments`].
    pub fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(match arguments[..] {
            ["calls", pace, calls] => {
                let pace = Pace::ALL.into_iter().find(|known| known.name() == pace);
                Self::Calls {
                    pace: pace.context("no such pace of work")?,
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
            _ => bail!("no such load: {arguments:?}"),
        })
    }

    /// Puts the load on a contestant.
    ///
    /// # Errors
    ///
    /// A runtime cannot be built.
    pub fn put_on(self, contestant: Contestant) -> anyhow::Result<()> {
        match self {
            Self::Calls { pace, calls } => {
                let runtime = &runtime(1)?;
                contestant.take(&Turn {
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
        // As many of each key in turn, as they would come.
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
        // Nobody leaves: what that costs is not what is counted.
        std::process::exit(0)
    }
}
