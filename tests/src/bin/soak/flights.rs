//! Flights, each with the end that is expected of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use oneflight::{Call, Client as _, Reply};
use oneflight_tests::Subject;
use tokio::time::timeout;

/// How a flight ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lands,
    Traps,
    IsCancelled,
    TimesOut,
}

pub(crate) const ENDS: [End; 4] = [End::Lands, End::Traps, End::IsCancelled, End::TimesOut];

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lands => "landed",
            Self::Traps => "trapped",
            Self::IsCancelled => "cancelled",
            Self::TimesOut => "timed out",
        }
    }
}

/// Makes one flight after the other.
pub(crate) struct Flights {
    /// By the bits of their index: 4 for the misbehaving guest, 2 for instances that are used again, 1
    /// for a deadline that comes soon.
    clients: Vec<Subject>,
    origin: String,
    number: AtomicU64,
    /// By how they ended, in the order of [`ENDS`].
    counts: [AtomicU64; 4],
    unexpected: AtomicU64,
}

impl Flights {
    pub(crate) fn new(clients: Vec<Subject>, origin: &str) -> Self {
        Self {
            clients,
            origin: origin.to_owned(),
            number: AtomicU64::new(0),
            counts: Default::default(),
            unexpected: AtomicU64::new(0),
        }
    }

    /// Flights that ended as expected, in the order of [`ENDS`].
    pub(crate) fn counts(&self) -> [u64; 4] {
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// All of them.
    pub(crate) fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// Flights that ended otherwise.
    pub(crate) fn unexpected(&self) -> u64 {
        self.unexpected.load(Ordering::Relaxed)
    }

    /// As many open flights at once as `each` client can have, for all of them.
    pub(crate) async fn all_at_once(&self, each: usize) {
        let flights = (0..self.clients.len() * each).map(|n| {
            let client = n % self.clients.len();
            let end = if client & 1 == 1 {
                End::TimesOut
            } else {
                End::IsCancelled
            };
            self.fly(client, end, n as u64 | 1 << 63)
        });
        join_all(flights).await;
    }

    /// Runs the next flight. Of ten in a row one traps, one is cancelled and one times out.
    pub(crate) async fn next(&self) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (ten, place) = (number / 10, number % 10);
        // A different place of the ten for each, and other places in each ten.
        let end = match (place * 3 + mixed(ten) % 10) % 10 {
            0 => End::Traps,
            1 => End::IsCancelled,
            2 => End::TimesOut,
            _ => End::Lands,
        };
        let mut client = mixed(number) as usize & 0b110;
        match end {
            // Only one of the guests traps.
            End::Traps => client |= 0b100,
            End::TimesOut => client |= 1,
            End::Lands | End::IsCancelled => {}
        }
        self.fly(client, end, number).await;
    }

    async fn fly(&self, client: usize, end: End, number: u64) {
        let held = matches!(end, End::IsCancelled | End::TimesOut);
        let path = format!("{}-{number}", if held { "held" } else { "items" });
        let key: Call = match (end, client) {
            (End::Traps, _) => format!("trap:{number}").into(),
            (_, ..4) => path.into(),
            _ => format!("need:{}/{path}", self.origin).into(),
        };
        let callers =
            (0..=number % 3).map(|_| self.clients[client].client.call(key.clone().into()));
        // Some leave before the upstream has the request, others long after.
        let patience = match end {
            End::IsCancelled => Duration::from_millis(mixed(number) % 20),
            _ => Duration::MAX,
        };
        let outcomes = match timeout(patience, join_all(callers)).await {
            Err(_) => vec!["left"],
            Ok(answers) => answers.iter().map(outcome).collect(),
        };
        let expected: &[_] = match end {
            End::Lands => &["items"],
            End::Traps => &["guest-trap"],
            End::IsCancelled => &["left"],
            // On a machine that is busy the deadline may come before the request.
            End::TimesOut => &["upstream-timeout", "guest-deadline"],
        };
        if outcomes.iter().all(|outcome| expected.contains(outcome)) {
            self.counts[end as usize].fetch_add(1, Ordering::Relaxed);
        } else {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
            println!(
                "UNEXPECTED: {}: {outcomes:?} rather than {expected:?}",
                key.x().unwrap_or_default()
            );
        }
    }
}

/// What a caller got.
fn outcome(answer: &Reply) -> &'static str {
    match &answer.result {
        Ok(outcome)
            if outcome
                .items()
                .is_some_and(|items| items.as_slice().is_empty()) =>
        {
            "no items"
        }
        Ok(_) => "items",
        Err(error) => error.code(),
    }
}

/// Another number, far from those of its neighbours and the same in every run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
