//! [`HttpBuilders`]: hyper's server builders, with the limits of a service.

use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

use crate::settings::ServerLimits;

/// Header lines of an HTTP/1 request that hyper parses by default, without an allocation.
const HYPER_MAX_HEADERS: usize = 100;

/// The smallest read buffer that hyper accepts.
const HYPER_MIN_BUFFER: usize = 8 << 10;

pub(super) struct HttpBuilders {
    /// For connections that are known to be HTTP/1.
    pub(super) http1: http1::Builder,
    /// For all others: detects the version itself.
    pub(super) either: auto::Builder<TokioExecutor>,
}

impl HttpBuilders {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        Self {
            http1: http1(limits),
            either: either(limits),
        }
    }
}

fn http1(limits: &ServerLimits) -> http1::Builder {
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

/// If the version turns out to be HTTP/1, a request head may have up to twice the limit: this builder has no limit
/// for the head itself, and the buffer's is checked after a read of many bytes.
fn either(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    let mut one = http.http1();
    one.header_read_timeout(None)
        .max_buf_size(max_buffer(limits));
    if limits.max_headers != HYPER_MAX_HEADERS {
        one.max_headers(limits.max_headers);
    }
    let saturating = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(saturating(limits.max_streams))
        .max_header_list_size(saturating(limits.max_header_bytes));
    http
}

fn max_buffer(limits: &ServerLimits) -> usize {
    limits.max_header_bytes.max(HYPER_MIN_BUFFER)
}
