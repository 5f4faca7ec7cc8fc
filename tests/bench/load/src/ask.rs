//! What a key asks of the upstream: how to answer and when. All proxies pass keys on, so none has to know.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// 200, which a cache may keep for a minute.
    Cacheable,
    /// 200, which a cache may keep for a second.
    Expiring,
    /// 200, which no cache may keep.
    NoStore,
    /// 500.
    Fails,
    /// The connection is closed in the place of an answer.
    ClosedBefore,
    /// The connection is closed in the middle of one.
    ClosedMidway,
}

/// A key: `BEHAVIOUR.MILLISECONDS.SERIAL`. All its characters stand in a query as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) behaviour: Behaviour,
    /// How long the upstream thinks.
    pub(crate) delay: Duration,
    /// Makes it a key of its own.
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
        let found = Self::NAMES.iter().find(|(behaviour, _)| behaviour == self);
        f.write_str(found.map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            behaviour,
            delay,
            serial,
        } = self;
        write!(f, "{behaviour}.{}.{serial}", delay.as_millis())
    }
}

impl FromStr for Ask {
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
    use super::{Ask, Behaviour};
    use std::time::Duration;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        for (behaviour, _) in Behaviour::NAMES {
            let ask = Ask {
                behaviour,
                delay: Duration::from_millis(100),
                serial: 7,
            };
            assert_eq!(ask.to_string().parse(), Ok(ask));
        }
    }
}
