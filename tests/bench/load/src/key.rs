//! Keys, which determine how and when the upstream answers. A proxy passes them on unchanged.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// 200, fresh for a minute.
    Cacheable,
    /// 200, fresh for a second.
    Expiring,
    /// 200 with `no-store`.
    NoStore,
    /// 500.
    Fails,
    /// The connection is closed instead of an answer.
    ClosedBefore,
    /// The connection is closed in the middle of the answer.
    ClosedMidway,
}

/// A key: `BEHAVIOUR.MILLISECONDS.SERIAL`. No character of it needs encoding in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) behaviour: Behaviour,
    /// The time until the upstream answers.
    pub(crate) delay: Duration,
    /// Distinguishes keys of one behaviour and delay.
    pub(crate) serial: u64,
}

impl Behaviour {
    const NAMES: [(Self, &str); 6] = [
        (Self::Cacheable, "cacheable"),
        (Self::Expiring, "expiring"),
        (Self::NoStore, "no-store"),
        (Self::Fails, "fails"),
        (Self::ClosedBefore, "closed-before"),
        (Self::ClosedMidway, "closed-midway"),
    ];
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(behaviour, _)| behaviour == self);
        f.write_str(found.map_or("", |(_, name)| name))
    }
}

impl Key {
    /// A key that was never requested before.
    pub(crate) fn unused(behaviour: Behaviour, delay: Duration) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            behaviour,
            delay,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            behaviour,
            delay,
            serial,
        } = self;
        write!(f, "{behaviour}.{}.{serial}", delay.as_millis())
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(());
        let name = part()?;
        let named = Behaviour::NAMES.iter().find(|(_, known)| *known == name);
        Ok(Self {
            behaviour: named.ok_or(())?.0,
            delay: Duration::from_millis(part()?.parse().map_err(drop)?),
            serial: part()?.parse().map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, Key};
    use std::time::Duration;

    #[test]
    fn a_key_is_parsed_from_its_text() {
        for (behaviour, _) in Behaviour::NAMES {
            let key = Key {
                behaviour,
                delay: Duration::from_millis(100),
                serial: 7,
            };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
