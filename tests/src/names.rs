//! A resolver whose answers a test chooses.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use oneflight::upstream::Resolve;

/// A resolver with a script: one answer for each lookup, for any name.
#[derive(Debug, Default)]
pub struct Script {
    answers: Mutex<VecDeque<Lookup>>,
    lookups: Mutex<Vec<String>>,
}

/// The outcome of a lookup.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// The lookup never ends.
    Hangs,
    /// The name does not exist.
    Fails,
    /// The lookup panics, as a bug of the host would.
    Panics,
}

impl Lookup {
    /// These addresses.
    ///
    /// # Panics
    ///
    /// When one of them is no IP address.
    #[must_use]
    pub fn of(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|ip| ip.parse().expect("an address"));
        Self::Addresses(addresses.collect())
    }
}

impl Script {
    /// A resolver with these answers, in this order; the last one is repeated.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Lookup>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            lookups: Mutex::default(),
        }
    }

    /// The names of the lookups so far.
    #[must_use]
    pub fn lookups(&self) -> Vec<String> {
        let lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.clone()
    }
}

impl Resolve for Script {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.push(name.to_owned());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match answers.len() {
            1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        match next {
            Some(Lookup::Addresses(addresses)) => ready(Ok(addresses)).boxed(),
            Some(Lookup::Hangs) => pending().boxed(),
            Some(Lookup::Panics) => async { panic!("a lookup that panics") }.boxed(),
            Some(Lookup::Fails) | None => ready(Err(io::ErrorKind::NotFound.into())).boxed(),
        }
    }
}
