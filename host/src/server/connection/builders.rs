//! hyper's server builders, with the limits of a service: [`http1()`] for all connections, [`either`] for one.

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;

use super::streams::Streams;
use crate::settings::ServerLimits;

/// Header lines of an HTTP/1 request that hyper parses by default, without an allocation.
const HYPER_MAX_HEADERS: usize = 100;

/// The smallest read buffer that hyper accepts.
const HYPER_MIN_BUFFER: usize = 8 << 10;

/// Bytes of one response that the HTTP/2 library queues at most before they are written.
const MAX_QUEUED: usize = 64 << 10;

/// For connections that are known to be HTTP/1.
pub(super) fn http1(limits: &ServerLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The connection's task has the timeouts.
    http.header_read_timeout(None)
        .max_buf_size(max_buffer(limits))
        .max_header_size(max_buffer(limits));
    if limits.max_headers != HYPER_MAX_HEADERS {
        http.max_headers(limits.max_headers);
    }
    http
}

/// For a connection of any version, which it detects itself.
///
/// If the version turns out to be HTTP/1, a request head may have up to twice the limit: this builder has no limit
/// for the head itself, and the buffer's is checked after a read of many bytes.
pub(super) fn either(limits: &ServerLimits, streams: Streams) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(streams);
    let mut one = http.http1();
    one.header_read_timeout(None)
        .max_buf_size(max_buffer(limits));
    if limits.max_headers != HYPER_MAX_HEADERS {
        one.max_headers(limits.max_headers);
    }
    let saturating = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_send_buf_size(MAX_QUEUED)
        .max_concurrent_streams(saturating(limits.max_streams))
        .max_header_list_size(saturating(limits.max_header_bytes));
    http
}

fn max_buffer(limits: &ServerLimits) -> usize {
    limits.max_header_bytes.max(HYPER_MIN_BUFFER)
}
