//! `POST /v1/observe?for=60s&most=20&keys=hashed`: who asks for what, and twice, from now on until the time
//! has passed or the service begins to end.

use std::time::Duration;

use http::request::Parts;
use tokio::time::timeout;

use super::problem::RequestError;
use super::query::parameter;
use crate::client::Execute;
use crate::model::units::duration;
use crate::observability::metrics::Metrics;
use crate::observability::observation::{Keys, LONGEST, Report};
use crate::registry::ClientRegistry;

/// Keys in a report for each client, unless it is said: 20, what a screen shows. At most 10,000, all that
/// are told apart.
const MOST: usize = 20;

/// What was seen, when the time has passed.
pub(super) async fn observed<C: Execute>(
    clients: &ClientRegistry<C>,
    metrics: &Metrics,
    head: &Parts,
) -> Result<Report, RequestError> {
    let Asked { time, most, keys } = Asked::of(head.uri.query().unwrap_or_default())?;
    let observation = metrics.observe().ok_or(RequestError::Observed)?;
    // Whichever comes first: what was seen by then is told all the same.
    let _ = timeout(time, clients.left()).await;
    Ok(observation.report(most, keys))
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    time: Duration,
    most: usize,
    keys: Keys,
}

impl Asked {
    fn of(query: &str) -> Result<Self, RequestError> {
        let read = |name| parameter(query, name).map_err(|_| MALFORMED);
        let time = read("for")?.and_then(|text| duration(&text));
        let time = time.filter(|time| (Duration::from_millis(1)..=LONGEST).contains(time));
        let most = read("most")?.map_or(Some(MOST), |text| text.parse().ok());
        let keys = match read("keys")?.as_deref() {
            None | Some("hashed") => Some(Keys::Hashed),
            Some("shown") => Some(Keys::Shown),
            Some(_) => None,
        };
        match (time, most, keys) {
            (Some(time), Some(most), Some(keys)) => Ok(Self { time, most, keys }),
            _ => Err(MALFORMED),
        }
    }
}

const MALFORMED: RequestError = RequestError::Malformed(
    "found another query; needed for= with a time up to 1h, as in for=60s, and where they are said, \
     most= with a number and keys=hashed or keys=shown",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_asked_for_with_its_time_and_what_else_is_wanted() {
        let asked = Asked::of("for=90s&most=5&keys=shown").unwrap();
        let (time, keys) = (Duration::from_secs(90), Keys::Shown);
        assert_eq!(
            asked,
            Asked {
                time,
                most: 5,
                keys
            }
        );
        let asked = Asked::of("for=250ms").unwrap();
        assert_eq!((asked.most, asked.keys), (MOST, Keys::Hashed));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in [
            "",
            "for=60",
            "for=0s",
            "for=2h",
            "for=1s&for=1s",
            "for=1s&most=all",
            "for=1s&keys=all",
            "for=%ff",
        ] {
            assert!(
                matches!(Asked::of(query), Err(RequestError::Malformed(_))),
                "{query}"
            );
        }
    }
}
