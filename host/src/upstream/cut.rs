//! [`CutReason`]: why the body of a request is not sent to its end.

use std::error::Error;
use std::fmt;

/// Why a body is not sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutReason {
    /// The flight has ended.
    FlightEnded,
    /// The request's deadline has passed.
    TimedOut,
    /// The guest gave the body up, or its length is not its `Content-Length`.
    Framing,
    /// The body has more than this number of bytes.
    TooLarge(usize),
}

/// The error of a body that is cut. Over HTTP/2 its stream is reset with CANCEL.
#[derive(Debug)]
pub(crate) struct UploadError(h2::Error);

impl From<CutReason> for UploadError {
    fn from(_: CutReason) -> Self {
        Self(h2::Reason::CANCEL.into())
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of the request was cut")
    }
}

impl Error for UploadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
