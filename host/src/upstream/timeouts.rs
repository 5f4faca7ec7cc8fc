//! [`Timeouts`]: the timeouts of one request.

use std::pin::Pin;
use std::time::Duration;

use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions};

use super::cut::CutReason;
use super::failure::RequestFailure;
use super::upload::Upload;
use crate::model::Limits;

/// The timeouts of one request. A guest may lower the host's, and never raise them.
pub(super) struct Timeouts {
    /// From when an attempt could be sent to its connection. It covers the wait for a permit, too. The host's own limit
    /// on connecting is the connector's, since a connection may serve another request than the one that opened it.
    connect: Duration,
    first_byte: Duration,
    /// Between two parts of the body.
    pub(super) between_bytes: Duration,
    /// When the whole response is due.
    pub(super) deadline: Instant,
    pub(super) settings: TimeoutSettings,
}

/// The settings that the timeouts have their values from; `None` for one that the guest has lowered.
#[derive(Clone, Copy)]
pub(super) struct TimeoutSettings {
    connect: Option<&'static str>,
    first_byte: Option<&'static str>,
    pub(super) between_bytes: Option<&'static str>,
}

/// The setting of the deadline.
pub(super) const REQUEST_TIMEOUT: Option<&str> = Some("request_timeout");

impl Timeouts {
    /// Those of a request that starts now, with what its guest has set in `options`.
    pub(super) fn new(options: RequestOptions, limits: &Limits) -> Self {
        let now = Instant::now();
        let least = |set: Option<Duration>, limit| set.map_or(limit, |set| set.min(limit));
        Self {
            connect: least(options.connect_timeout, limits.request_timeout),
            first_byte: least(options.first_byte_timeout, limits.first_byte_timeout),
            between_bytes: least(options.between_bytes_timeout, limits.between_bytes_timeout),
            deadline: now + limits.request_timeout,
            settings: TimeoutSettings::of(options, limits),
        }
    }

    /// Waits until the guest has sent as much of its body as `ready` needs. No connection is used meanwhile.
    pub(super) async fn until_ready(
        &self,
        ready: impl Future<Output = Result<(), CutReason>>,
    ) -> Result<(), RequestFailure> {
        let ready = timeout_at(self.deadline, ready).await;
        let ready = ready.unwrap_or(Err(CutReason::TimedOut));
        ready.map_err(RequestFailure::cut)
    }

    /// When an attempt that can be sent from now on must have a connection.
    pub(super) fn connection_due(&self) -> Instant {
        self.deadline.min(Instant::now() + self.connect)
    }

    /// Waits for `permit`, without which no connection may be used, until `due`.
    pub(super) async fn until_permitted(
        &self,
        permit: impl Future<Output = ()>,
        due: Instant,
    ) -> Result<(), RequestFailure> {
        match timeout_at(due, permit).await {
            // A request that times out now may pass on its permit in the same moment.
            Ok(()) if Instant::now() < due => Ok(()),
            _ => Err(RequestFailure::no_connection()),
        }
    }

    /// Waits until `exchange`, one attempt, has a connection, until `due`. Returns its outcome if it ends before.
    pub(super) async fn until_connected<T>(
        &self,
        mut exchange: Pin<&mut impl Future<Output = T>>,
        connection: &mut CaptureConnection,
        due: Instant,
    ) -> Result<Option<T>, RequestFailure> {
        let connected = async {
            tokio::select! {
                biased;
                outcome = &mut exchange => Some(outcome),
                _ = connection.wait_for_connection_metadata() => None,
            }
        };
        let connected = timeout_at(due, connected).await;
        connected.map_err(|_| {
            let setting = self.setting(due, self.settings.connect);
            RequestFailure::timed_out("connecting", setting, Error::ConnectionTimeout)
        })
    }

    /// The outcome of `exchange`, which has a connection now, if its first byte arrives in time.
    pub(super) async fn until_first_byte<T>(
        &self,
        exchange: impl Future<Output = T>,
        upload: &Upload,
    ) -> Result<T, RequestFailure> {
        let due = self.deadline.min(Instant::now() + self.first_byte);
        let outcome = timeout_at(due, exchange).await;
        outcome.map_err(|_| {
            let setting = self.setting(due, self.settings.first_byte);
            let part = if upload.is_open() {
                "the first byte of the response to a request whose body was not complete"
            } else {
                "the first byte"
            };
            RequestFailure::timed_out(part, setting, Error::HttpResponseTimeout)
        })
    }

    /// The setting to raise for what was `due` then: that of the deadline if it came first, else `own`.
    fn setting(&self, due: Instant, own: Option<&'static str>) -> Option<&'static str> {
        if due == self.deadline {
            REQUEST_TIMEOUT
        } else {
            own
        }
    }
}

impl TimeoutSettings {
    fn of(options: RequestOptions, limits: &Limits) -> Self {
        let of_host = |set: Option<Duration>, limit, name| {
            let is_lowered = set.is_some_and(|set| set < limit);
            (!is_lowered).then_some(name)
        };
        let (connect, first_byte) = (options.connect_timeout, options.first_byte_timeout);
        let between_bytes = options.between_bytes_timeout;
        Self {
            connect: of_host(connect, limits.request_timeout, "request_timeout"),
            first_byte: of_host(first_byte, limits.first_byte_timeout, "first_byte_timeout"),
            between_bytes: of_host(
                between_bytes,
                limits.between_bytes_timeout,
                "between_bytes_timeout",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn a_guest_lowers_timeouts_and_cannot_raise_them() {
        let limits = Limits::default();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
        let all = |time| RequestOptions {
            connect_timeout: Some(time),
            first_byte_timeout: Some(time),
            between_bytes_timeout: Some(time),
        };
        let lowered = Timeouts::new(all(short), &limits);
        assert_eq!((lowered.first_byte, lowered.between_bytes), (short, short));
        assert_eq!(lowered.connect, short);
        for options in [all(long), RequestOptions::default()] {
            let timeouts = Timeouts::new(options, &limits);
            assert_eq!(timeouts.first_byte, limits.first_byte_timeout);
            assert_eq!(timeouts.between_bytes, limits.between_bytes_timeout);
            assert_eq!(timeouts.connect, limits.request_timeout);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_permit_and_one_for_the_guest_are_not_reported_as_connecting() {
        let timeouts = Timeouts::new(RequestOptions::default(), &Limits::default());
        let due = timeouts.connection_due();
        assert_eq!(due, timeouts.deadline);
        let waiting = timeouts.until_permitted(pending(), due);
        let failure = waiting.await.unwrap_err().to_string();
        assert!(failure.ends_with("raise max_connections"), "{failure}");
        // It is passed on by a request that times out in the same moment.
        let late = timeouts.until_permitted(ready(()), due).await.unwrap_err();
        assert_eq!(late.to_string(), failure);
        let failure = timeouts.until_ready(pending()).await.unwrap_err();
        let failure = failure.to_string();
        assert!(
            failure.starts_with("the request's body timed out; raise request_timeout"),
            "{failure}"
        );
    }
}
