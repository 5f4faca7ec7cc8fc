//! [`RequestFailure`]: how a request failed on the host's side, from the errors of hyper, h2 and rustls.
//!
//! Their errors are classified here and nowhere else, by type.

use std::error::Error as StdError;
use std::{fmt, io, iter};

use http::StatusCode;
use hyper_util::client::legacy;
use hyper_util::client::proxy::matcher::Intercept;
use wasmtime_wasi_http::Error;

use super::certificate::hint;
use super::cut::CutReason;
use super::denial::Denial;
use super::proxy;
use crate::flight_context::RequestGuard;
use crate::model::{ClientError, MAX_CONNECTIONS, to_raise};

/// A failure on the host's side.
#[derive(Debug)]
pub(super) struct RequestFailure {
    /// The flight's error, if its guest gives up because of this failure.
    code: ClientError,
    /// The guest's error.
    error: Error,
    /// The reason, for the log.
    reason: String,
}

/// How a connection failed.
#[derive(Clone, Debug)]
pub(super) struct ConnectFailure {
    pub(super) error: ConnectError,
    /// Whether there was more than one attempt.
    pub(super) was_retried: bool,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) enum ConnectError {
    Denied(Denial),
    Lookup(String),
    Dial {
        why: String,
        is_transient: bool,
    },
    Tls {
        why: String,
        is_transient: bool,
        /// Whether the other end has sent anything of TLS.
        is_tls: bool,
    },
    /// The proxy cannot be reached, or opens no tunnel.
    Proxy {
        why: String,
        is_transient: bool,
    },
    /// The proxy refuses a tunnel.
    ProxyStatus(StatusCode),
    TimedOut,
}

impl RequestFailure {
    /// Records this failure as that of the request of `guard`, unless it has failed before, and returns the guest's
    /// error.
    pub(super) fn record(self, guard: &RequestGuard) -> Error {
        guard.fail(self.code, &self.reason);
        self.error
    }

    /// The guest's error, of a request that has ended already.
    pub(super) fn into_error(self) -> Error {
        self.error
    }

    /// The failure of a request whose body was cut.
    pub(super) fn cut(reason: CutReason) -> Self {
        match reason {
            CutReason::FlightEnded => {
                let reason = "the flight has ended".to_owned();
                Self::unavailable(Error::ConnectionTerminated, reason)
            }
            CutReason::TimedOut => {
                let (setting, error) = (Some("request_timeout"), Error::ConnectionWriteTimeout);
                Self::timed_out("the request's body", setting, error)
            }
            CutReason::Framing => Self::denied(&Denial::Framing),
            CutReason::TooLarge(limit) => Self::denied(&Denial::BodyTooLarge { limit }),
        }
    }

    /// The failure of a request that got no response.
    pub(super) fn no_response(error: &legacy::Error) -> Self {
        for cause in causes(error) {
            if let Some(cause) = cause.downcast_ref::<ConnectFailure>() {
                return Self::not_connected(&cause.error, chain(error));
            }
            if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                if hyper.is_parse_too_large() {
                    // hyper does not say which.
                    return Self::too_much_header(&chain(error), "max_header_bytes or max_headers");
                } else if hyper.is_parse() {
                    return Self::malformed(chain(error));
                }
            }
            // h2 itself has found an error, so the upstream's frames are at fault.
            if let Some(h2) = cause
                .downcast_ref::<h2::Error>()
                .filter(|h2| h2.is_library())
            {
                return match h2.reason() {
                    // h2 reports these two for a header section without end, and for nothing else.
                    Some(h2::Reason::ENHANCE_YOUR_CALM | h2::Reason::COMPRESSION_ERROR) => {
                        Self::header_too_large(chain(error))
                    }
                    _ => Self::malformed(chain(error)),
                };
            }
        }
        // An upstream that expects a client certificate may say so after the handshake.
        let hint = tls_error(error).and_then(hint);
        Self::unavailable(Error::ConnectionTerminated, with_hint(chain(error), hint))
    }

    fn not_connected(error: &ConnectError, reason: String) -> Self {
        match error {
            ConnectError::Denied(denial) => Self::denied(denial),
            ConnectError::TimedOut => Self::timed_out(
                "connecting",
                Some("connect_timeout"),
                Error::ConnectionTimeout,
            ),
            ConnectError::Lookup(_) => {
                let (rcode, info_code) = (None, None);
                Self::unavailable(Error::DnsError { rcode, info_code }, reason)
            }
            ConnectError::Dial { .. } => Self::unavailable(Error::ConnectionRefused, reason),
            ConnectError::Tls { .. } => Self::unavailable(Error::TlsProtocolError, reason),
            ConnectError::Proxy { .. } => Self::unavailable(Error::DestinationUnavailable, reason),
            ConnectError::ProxyStatus(status) => Self::refused_by_proxy(*status),
        }
    }

    /// The failure of a request that a proxy answered by `status`, instead of passing it on.
    pub(super) fn refused_by_proxy(status: StatusCode) -> Self {
        let reason = ConnectError::ProxyStatus(status).to_string();
        Self::unavailable(Error::DestinationUnavailable, reason)
    }

    /// The same failure, of a request that went through `proxy`. The log names its address, and no user or password.
    pub(super) fn through(self, proxy: &Intercept) -> Self {
        let (reason, address) = (self.reason, proxy::address(proxy));
        Self {
            reason: format!("{reason} (through {address}, which the setting proxy names)"),
            ..self
        }
    }

    /// The failure of a response whose body ended with `error`.
    pub(super) fn incomplete_body(error: &hyper::Error) -> Self {
        let is_cut = |cause: &(dyn StdError + 'static)| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
        };
        // Without TLS the end of a connection is no error.
        let hint = causes(error).any(is_cut).then(|| {
            "expected the end of TLS (close_notify) or a Content-Length, got neither, so a part may be missing"
                .to_owned()
        });
        let reason = format!("the body is incomplete: {}", with_hint(chain(error), hint));
        Self::unavailable(Error::HttpResponseIncomplete, reason)
    }

    fn unavailable(error: Error, reason: String) -> Self {
        Self {
            code: ClientError::UpstreamUnavailable,
            error,
            reason,
        }
    }

    /// The failure of a response that is not HTTP.
    pub(super) fn malformed(reason: String) -> Self {
        Self {
            code: ClientError::UpstreamMalformed,
            error: Error::HttpProtocolError,
            reason,
        }
    }

    /// The failure of a response whose header section exceeds its limit.
    pub(super) fn header_too_large(reason: String) -> Self {
        Self::too_much_header(&reason, "max_header_bytes")
    }

    /// The failure of a response with `count` header lines, more than `limit`.
    pub(super) fn too_many_headers(count: usize, limit: usize) -> Self {
        let reason = format!("expected at most {limit} header lines, got {count}");
        Self::too_much_header(&reason, "max_headers")
    }

    /// The failure of a response after more than `limit` interim responses.
    pub(super) fn too_many_interim_responses(limit: usize) -> Self {
        let reason = format!("expected at most {limit} interim responses (1xx), got more");
        Self::too_much_header(&reason, "max_interim_responses")
    }

    fn too_much_header(reason: &str, setting: &'static str) -> Self {
        Self {
            code: ClientError::UpstreamResponseTooLarge(setting),
            error: Error::HttpResponseHeaderSectionSize(None),
            reason: format!("{reason}; raise {setting} to accept it"),
        }
    }

    /// The failure of a response whose body has more than `limit` bytes.
    pub(super) fn body_too_large(limit: usize) -> Self {
        Self {
            code: ClientError::UpstreamResponseTooLarge("max_body_bytes"),
            error: Error::HttpResponseBodySize(Some(limit as u64)),
            reason: format!(
                "the body has more than {limit} bytes; raise max_body_bytes to accept it"
            ),
        }
    }

    /// The failure of a request that was not sent.
    pub(super) fn denied(denial: &Denial) -> Self {
        Self {
            code: ClientError::UpstreamDenied,
            error: Error::HttpRequestDenied,
            reason: denial.to_string(),
        }
    }

    /// The failure of a request that got none of the client's connections in time.
    pub(super) fn no_connection() -> Self {
        let reason = format!(
            "expected one of the client's connections in time, got none: {MAX_CONNECTIONS} are in use; send fewer \
             requests at a time, or raise {MAX_CONNECTIONS}"
        );
        Self {
            code: ClientError::UpstreamTimeout(Some(MAX_CONNECTIONS)),
            error: Error::ConnectionTimeout,
            reason,
        }
    }

    /// The failure of a request of which `part` took longer than `setting`, or than the guest permits.
    pub(super) fn timed_out(part: &str, setting: Option<&'static str>, error: Error) -> Self {
        Self {
            code: ClientError::UpstreamTimeout(setting),
            error,
            reason: match setting {
                Some(setting) => format!("{part} timed out; {}", to_raise(setting)),
                None => format!("{part} timed out: the guest set a shorter timeout than the host"),
            },
        }
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl ConnectError {
    /// The error of hyper-util's and hyper-rustls' connectors.
    pub(super) fn from_connector(error: &(dyn StdError + Send + Sync + 'static)) -> Self {
        // Only TLS reports an I/O error without a wrapper. The error of the handshake is its source, or a deeper one.
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let tls = tls_error(error);
            let is_transient = within(io).last().is_some_and(is_closed);
            let is_other = matches!(tls, Some(rustls::Error::InvalidMessage(_)));
            return Self::Tls {
                why: with_hint(io.to_string(), tls.and_then(hint)),
                is_transient,
                is_tls: !is_transient && !is_other,
            };
        }
        let mut is_transient = false;
        for cause in causes(error) {
            if let Some(named) = cause.downcast_ref::<Self>() {
                return named.clone();
            }
            // If there are several addresses, each gets a part of the connect timeout; the part of the last one is
            // used up.
            let io = cause.downcast_ref::<io::Error>();
            if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return Self::TimedOut;
            }
            is_transient |= io.is_some_and(is_refused);
        }
        let why = chain(error);
        Self::Dial { why, is_transient }
    }

    /// The error of a proxy that opens no tunnel.
    pub(super) fn no_tunnel(error: &hyper::Error) -> Self {
        let why = format!("no tunnel: {}", chain(error));
        let is_transient = is_closed_by_peer(error);
        Self::Proxy { why, is_transient }
    }

    /// The same error, of the connection to a proxy.
    pub(super) fn of_proxy(self) -> Self {
        match self {
            Self::TimedOut => Self::TimedOut,
            error => Self::Proxy {
                why: error.to_string(),
                is_transient: error.is_transient(),
            },
        }
    }

    /// Whether a server that restarts causes it: nothing listens at its port, or it closes connections that it has not
    /// served. A network or a host that cannot be reached is no sign of that, nor is an answer of a proxy, or of TLS.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Dial { is_transient, .. }
            | Self::Tls { is_transient, .. }
            | Self::Proxy { is_transient, .. } => *is_transient,
            Self::Denied(_) | Self::Lookup(_) | Self::ProxyStatus(_) | Self::TimedOut => false,
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for ConnectFailure {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Lookup(why) => write!(f, "the name lookup failed: {why}"),
            Self::Dial { why, .. } => write!(f, "could not connect: {why}"),
            Self::Tls { why, .. } => write!(f, "the TLS handshake failed: {why}"),
            Self::Proxy { why, .. } => write!(f, "the proxy: {why}"),
            // Tinyproxy answers 401 to a wrong password.
            Self::ProxyStatus(
                status @ (StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED),
            ) => write!(
                f,
                "the proxy refused the request with {status}; write the user and the password that it expects into its \
                 URL, as in http://user:password@host:port"
            ),
            Self::ProxyStatus(status) => write!(
                f,
                "the proxy refused the request with {status}; permit the target and its port there, or correct the \
                 setting proxy"
            ),
            Self::TimedOut => f.write_str("connecting timed out"),
        }
    }
}

impl StdError for ConnectError {}

/// An error and its sources, outermost first.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// The error of TLS that caused `error`.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| {
        // An I/O error is no source of the one that contains it.
        let io = cause.downcast_ref::<io::Error>()?;
        let last = within(io).last()?;
        last.get_ref()?.downcast_ref::<rustls::Error>()
    })
}

/// An I/O error and those that it contains, outermost first.
fn within(io: &io::Error) -> impl Iterator<Item = &io::Error> {
    iter::successors(Some(io), |io| io.get_ref()?.downcast_ref::<io::Error>())
}

/// Whether nothing listens at the address that was dialled.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | ConnectionAborted
    )
}

/// Whether the peer has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}

/// Whether the peer has closed the connection of HTTP.
pub(super) fn is_closed_by_peer(error: &hyper::Error) -> bool {
    let closed = |error: &(dyn StdError + 'static)| {
        let io = error.downcast_ref::<io::Error>();
        io.is_some_and(is_closed)
    };
    error.is_incomplete_message() || error.is_closed() || causes(error).any(closed)
}

/// Whether the peer has reset the connection of HTTP: a write after that fails with a broken pipe.
pub(super) fn is_reset_by_peer(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    causes(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), BrokenPipe | ConnectionReset))
}

fn with_hint(reason: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{reason}; {hint}"),
        None => reason,
    }
}

/// An error and its sources, on one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct TcpConnectError(io::Error);

    impl fmt::Display for TcpConnectError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tcp connect error")
        }
    }

    impl StdError for TcpConnectError {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_a_server_that_restarts_does_is_transient() {
        use io::ErrorKind::{
            ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
            UnexpectedEof,
        };
        let dialled =
            |kind: io::ErrorKind| ConnectError::from_connector(&TcpConnectError(kind.into()));
        // hyper-rustls reports an I/O error that contains that of the handshake.
        let tls = |error| ConnectError::from_connector(&io::Error::other(error));
        for (error, expected) in [
            (dialled(ConnectionRefused), true),
            (dialled(ConnectionReset), true),
            (dialled(HostUnreachable), false),
            (dialled(NetworkUnreachable), false),
            (dialled(TimedOut), false),
            (
                tls(io::Error::new(UnexpectedEof, "tls handshake eof")),
                true,
            ),
            (tls(ConnectionReset.into()), true),
            (
                tls(io::Error::new(
                    io::ErrorKind::InvalidData,
                    rustls::Error::DecryptError,
                )),
                false,
            ),
            (ConnectError::ProxyStatus(StatusCode::BAD_GATEWAY), false),
            (dialled(ConnectionRefused).of_proxy(), true),
            (dialled(TimedOut).of_proxy(), false),
        ] {
            assert_eq!(error.is_transient(), expected, "{error}");
        }
    }

    #[test]
    fn a_failed_dial_states_the_systems_reason_and_no_other() {
        for (kind, reason) in [
            (io::ErrorKind::ConnectionRefused, "connection refused"),
            (io::ErrorKind::HostUnreachable, "host unreachable"),
        ] {
            let error = ConnectError::from_connector(&TcpConnectError(kind.into()));
            let expected = format!("could not connect: tcp connect error: {reason}");
            assert_eq!(error.to_string(), expected);
        }
    }
}
