//! [`UpstreamConnection`]: an open connection, with its permit and a record of what it has carried.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::uri::Scheme;
use http::{Extensions, Uri};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::proxy::{Proxy, proxy_of};
use super::settings_ack::{AckOutcome, SettingsAck};

/// A connection, with its permit.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    inner: TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>,
    reuse: ConnectionReuse,
    form: RequestForm,
    record: Arc<ConnectionRecord>,
    /// What is read first, over HTTP/2, if the connection is to be [ready](Self::when_ready) before it is used.
    settings_ack: Option<SettingsAck>,
    _permit: OwnedSemaphorePermit,
}

/// How many requests a connection serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionReuse {
    /// It returns to the pool after a request.
    Pooled,
    /// One request.
    Single,
}

/// How a request names its target (RFC 9112, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestForm {
    /// By its path: the connection is the target's own, or a tunnel to it.
    Origin,
    /// By its URL: the connection is a proxy's.
    Absolute,
}

impl RequestForm {
    /// The form on a connection that is opened for `uri`.
    pub(super) fn of(uri: &Uri, proxy: Option<&Proxy>) -> Self {
        if uri.scheme() == Some(&Scheme::HTTP) && proxy_of(proxy, uri).is_some() {
            Self::Absolute
        } else {
            Self::Origin
        }
    }
}

/// When one connection ends, and what it has carried: payload, without the bytes of TLS itself.
///
/// Invariant: only the connection's own task writes it, before that task reports the outcome of a request; except for
/// `was_retried`.
#[derive(Debug)]
pub(super) struct ConnectionRecord {
    /// The next request after this time is the connection's last, see [`retire_if_old`].
    expires: Instant,
    /// Whether it took more than one attempt to open it; cleared by its first request.
    was_retried: AtomicBool,
    /// Set if the connection has ended before it was [ready](UpstreamConnection::when_ready).
    was_never_ready: AtomicBool,
    /// Set by the first read.
    has_answered: AtomicBool,
    /// Set by every write, cleared by every read.
    awaits_answer: AtomicBool,
    /// Set by a write of which only a part was accepted. From then on a read may lie between two writes of one request,
    /// and `awaits_answer` proves nothing.
    has_split: AtomicBool,
}

impl UpstreamConnection {
    pub(super) fn new(
        inner: MaybeHttpsStream<TokioIo<TcpStream>>,
        reuse: ConnectionReuse,
        form: RequestForm,
        record: ConnectionRecord,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner: TokioIo::new(inner),
            reuse,
            form,
            record: Arc::new(record),
            settings_ack: None,
            _permit: permit,
        }
    }

    /// The same connection, which sends no request over HTTP/2 before the upstream takes requests. The client of HTTP/2
    /// must open no stream before it has read the upstream's SETTINGS.
    pub(super) fn when_ready(mut self) -> Self {
        let is_http2 = self.inner.connected().is_negotiated_h2();
        self.settings_ack = is_http2.then(SettingsAck::default);
        self
    }

    #[cfg(test)]
    pub(super) fn reuse(&self) -> ConnectionReuse {
        self.reuse
    }

    fn wrote(&self, length: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &written {
            self.record.wrote(written.as_ref().ok(), length);
        }
        written
    }
}

/// The record of the connection of a request, once it has one.
pub(super) fn record_of(connection: &CaptureConnection) -> Option<Arc<ConnectionRecord>> {
    ConnectionRecord::of(connection.connection_metadata().as_ref()?)
}

impl ConnectionRecord {
    /// The record of a connection that was just opened. Its age is limited to between three quarters of `max_age` and
    /// all of it, by chance, so that connections that were opened together are not replaced together.
    pub(super) fn new(max_age: Duration, was_retried: bool) -> Self {
        let random = RandomState::new().hash_one(0);
        let quarter = (max_age / 4).as_nanos().try_into().unwrap_or(u64::MAX);
        let earlier = Duration::from_nanos(random.checked_rem(quarter).unwrap_or_default());
        let now = Instant::now();
        Self {
            expires: now + max_age.saturating_sub(earlier),
            was_retried: AtomicBool::new(was_retried),
            was_never_ready: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            awaits_answer: AtomicBool::new(false),
            has_split: AtomicBool::new(false),
        }
    }

    /// Takes the connection of a request out of the pool if it is too old. Its open requests continue.
    ///
    /// hyper-util has no limit on the age of a connection. This is called once a request has its connection, so the
    /// first request after the connection's end is its last.
    pub(super) fn retire_if_old(&self, connection: &CaptureConnection) {
        if self.expires <= Instant::now()
            && let Some(connected) = connection.connection_metadata().as_ref()
        {
            connected.poison();
        }
    }

    /// Whether the connection took more than one attempt to open, for its first request.
    pub(super) fn take_retried(&self) -> bool {
        self.was_retried.swap(false, Ordering::Relaxed)
    }

    /// Whether the connection has ended before anything of a request was sent over it.
    pub(super) fn was_never_ready(&self) -> bool {
        self.was_never_ready.load(Ordering::Relaxed)
    }

    /// The record of a connection, from what hyper-util knows about it.
    pub(super) fn of(connected: &Connected) -> Option<Arc<Self>> {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    /// The answer that this HTTP/1.1 connection awaits, if it has carried no byte of it since its last request.
    ///
    /// An HTTP/1.1 connection carries one request at a time, which is written after the answer to the one before was
    /// read. A request without a body is its header section, which hyper writes in one piece.
    pub(super) fn awaits_answer(&self) -> Option<AwaitedAnswer> {
        let awaits =
            self.awaits_answer.load(Ordering::Relaxed) && !self.has_split.load(Ordering::Relaxed);
        let answer = if self.has_answered.load(Ordering::Relaxed) {
            AwaitedAnswer::Later
        } else {
            AwaitedAnswer::First
        };
        awaits.then_some(answer)
    }

    fn wrote(&self, written: Option<&usize>, length: usize) {
        self.awaits_answer.store(true, Ordering::Relaxed);
        if written.is_some_and(|written| *written < length) {
            self.has_split.store(true, Ordering::Relaxed);
        }
    }

    fn read(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
        self.awaits_answer.store(false, Ordering::Relaxed);
    }
}

impl Connection for UpstreamConnection {
    fn connected(&self) -> Connected {
        let connected = self.inner.connected().extra(Arc::clone(&self.record));
        let connected = connected.proxy(self.form == RequestForm::Absolute);
        if self.reuse == ConnectionReuse::Single {
            connected.poison();
        }
        connected
    }
}

impl AsyncRead for UpstreamConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self {
            inner,
            settings_ack,
            record,
            ..
        } = &mut *self;
        if let Some(ack) = settings_ack {
            if ready!(ack.poll(Pin::new(inner), cx)) == AckOutcome::Ended {
                record.was_never_ready.store(true, Ordering::Relaxed);
            }
            if ack.take(buffer) {
                *settings_ack = None;
            }
            if buffer.filled().len() > before {
                record.read();
                return Poll::Ready(Ok(()));
            }
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.record.read();
        }
        read
    }
}

impl AsyncWrite for UpstreamConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(bytes.len(), written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.wrote(parts.iter().map(|part| part.len()).sum(), written)
    }
}

/// Which answer of its connection a request awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AwaitedAnswer {
    First,
    /// The connection was idle before.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_awaited_from_the_request_to_its_first_byte() {
        let record = ConnectionRecord::new(Duration::ZERO, false);
        assert_eq!(record.awaits_answer(), None);
        record.wrote(Some(&10), 10);
        assert_eq!(record.awaits_answer(), Some(AwaitedAnswer::First));
        record.read();
        assert_eq!(record.awaits_answer(), None);
        record.wrote(Some(&10), 10);
        assert_eq!(record.awaits_answer(), Some(AwaitedAnswer::Later));
        record.read();
        assert_eq!(record.awaits_answer(), None);
        // A write that fails.
        record.wrote(None, 10);
        assert_eq!(record.awaits_answer(), Some(AwaitedAnswer::Later));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_one_moment_end_at_different_times_within_the_limit() {
        let (now, age) = (Instant::now(), Duration::from_secs(100));
        let ages: Vec<_> = (0..100)
            .map(|_| ConnectionRecord::new(age, false).expires - now)
            .collect();
        assert!(ages.iter().all(|each| *each <= age && *each >= age * 3 / 4));
        assert!(ages.iter().any(|each| *each != ages[0]));
        assert_eq!(ConnectionRecord::new(Duration::ZERO, false).expires, now);
    }

    #[test]
    fn a_connection_that_took_a_part_of_a_write_proves_nothing() {
        let record = ConnectionRecord::new(Duration::ZERO, false);
        record.read();
        record.wrote(Some(&5), 10);
        record.wrote(Some(&5), 5);
        assert_eq!(record.awaits_answer(), None);
    }
}
