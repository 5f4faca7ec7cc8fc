//! `POST /v1/observe?for=60s&most=20&keys=hashed`: which keys are called, and which at the same time, from now on
//! until the time has passed or the shutdown starts.

use std::time::Duration;

use tokio::time::timeout;

use crate::admin_types::ObservationReport;
use crate::client::Execute;
use crate::model::units::duration;
use crate::observability::metrics::Metrics;
use crate::observability::observation::{KeyFormat, MAX_DURATION};
use crate::registry::ClientRegistry;
use crate::server::problem::RequestError;
use crate::server::query::{parameter, unknown_parameter};

/// Keys in a report for each client, by default: 20, as many as a screen shows. An observation counts at most
/// 10,000 keys, so there are never more.
const DEFAULT_KEYS: usize = 20;

/// Observes for the time that `query` states, and reports.
pub(super) async fn observe<C: Execute>(
    clients: &ClientRegistry<C>,
    metrics: &Metrics,
    query: &str,
) -> Result<ObservationReport, RequestError> {
    let ObservationRequest { time, most, keys } = ObservationRequest::parse(query)?;
    let observation = metrics.observe().ok_or(RequestError::TooManyObservations)?;
    // A shutdown ends the observation early, and the report is sent nevertheless.
    let _ = timeout(time, clients.shutdown_started()).await;
    Ok(observation.report(most, keys))
}

#[derive(Debug, PartialEq, Eq)]
struct ObservationRequest {
    time: Duration,
    most: usize,
    keys: KeyFormat,
}

impl ObservationRequest {
    fn parse(query: &str) -> Result<Self, RequestError> {
        if let Some(name) = unknown_parameter(query, &["for", "most", "keys"]) {
            let known = "for, most and keys";
            return Err(RequestError::UnknownParameter { name, known });
        }
        let read = |name| parameter(query, name).map_err(|_| MALFORMED);
        let time = read("for")?.and_then(|text| duration(&text));
        let time = time.filter(|time| (Duration::from_millis(1)..=MAX_DURATION).contains(time));
        let most = read("most")?.map_or(Some(DEFAULT_KEYS), |text| text.parse().ok());
        let keys = match read("keys")?.as_deref() {
            None | Some("hashed") => Some(KeyFormat::Hashed),
            Some("shown") => Some(KeyFormat::Shown),
            Some(_) => None,
        };
        match (time, most, keys) {
            (Some(time), Some(most), Some(keys)) => Ok(Self { time, most, keys }),
            _ => Err(MALFORMED),
        }
    }
}

const MALFORMED: RequestError = RequestError::Malformed(
    "expected for= with a time up to 1h, and optionally most= with a number and keys=hashed or keys=shown, got \
     another query; write ?for=60s",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_a_time_and_may_have_a_number_and_a_format_of_keys() {
        let request = ObservationRequest::parse("for=90s&most=5&keys=shown").unwrap();
        let (time, keys) = (Duration::from_secs(90), KeyFormat::Shown);
        assert_eq!(
            request,
            ObservationRequest {
                time,
                most: 5,
                keys
            }
        );
        let request = ObservationRequest::parse("for=250ms").unwrap();
        assert_eq!(
            (request.most, request.keys),
            (DEFAULT_KEYS, KeyFormat::Hashed)
        );
    }

    #[test]
    fn a_malformed_query_is_refused() {
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
                matches!(
                    ObservationRequest::parse(query),
                    Err(RequestError::Malformed(_))
                ),
                "{query}"
            );
        }
        assert!(matches!(
            ObservationRequest::parse("for=1s&max=5"),
            Err(RequestError::UnknownParameter { name, .. }) if name == "max"
        ));
    }
}
