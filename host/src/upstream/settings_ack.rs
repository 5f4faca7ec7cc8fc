//! [`SettingsAck`]: whether an upstream takes requests over a new HTTP/2 connection.
//!
//! A process of an upstream that shuts down ends the connections that it has just accepted, too: with GOAWAY, or
//! without a word. A request that is sent over such a connection is lost. So the bytes of the upstream are held back
//! until it has acknowledged our SETTINGS (RFC 9113, section 6.5.3). The client of HTTP/2 opens no stream before it has
//! read the upstream's SETTINGS. If the connection ends first, nothing of a request was sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// More than a server sends before its acknowledgement. Past it nothing is held back.
const MAX_HELD: usize = 16 << 10;

const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// What an upstream has sent before its acknowledgement.
#[derive(Debug, Default)]
pub(super) struct SettingsAck {
    held: Vec<u8>,
    /// Where the next frame begins in what is held, or behind it.
    next: usize,
    is_acknowledged: bool,
    outcome: Option<AckOutcome>,
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckOutcome {
    Acknowledged,
    /// The connection ended, or is about to: no stream was opened.
    Ended,
}

impl SettingsAck {
    /// Reads from `inner` until there is an outcome. The bytes that were read are then those of [`Self::take`].
    pub(super) fn poll(
        &mut self,
        mut inner: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<AckOutcome> {
        if let Some(outcome) = self.outcome {
            return Poll::Ready(outcome);
        }
        let mut space = [0; 4 << 10];
        let outcome = loop {
            let mut buffer = ReadBuf::new(&mut space);
            match inner.as_mut().poll_read(cx, &mut buffer) {
                // What follows the acknowledgement may be GOAWAY.
                Poll::Pending if self.is_acknowledged => break AckOutcome::Acknowledged,
                Poll::Pending => return Poll::Pending,
                // The next read reports the error or the end again.
                Poll::Ready(Err(_)) => break AckOutcome::Ended,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => break AckOutcome::Ended,
                Poll::Ready(Ok(())) => self.held.extend_from_slice(buffer.filled()),
            }
            if self.is_going_away() {
                break AckOutcome::Ended;
            }
            if self.held.len() > MAX_HELD {
                break AckOutcome::Acknowledged;
            }
        };
        self.outcome = Some(outcome);
        Poll::Ready(outcome)
    }

    /// Reads the heads of the frames that have arrived. Whether one of them is GOAWAY.
    fn is_going_away(&mut self) -> bool {
        while let Some(&[a, b, c, kind, flags, ..]) = self
            .held
            .get(self.next..)
            .filter(|rest| rest.len() >= FRAME_HEAD)
        {
            match kind {
                GOAWAY => return true,
                SETTINGS if flags & ACK != 0 => self.is_acknowledged = true,
                _ => {}
            }
            self.next += FRAME_HEAD + u32::from_be_bytes([0, a, b, c]) as usize;
        }
        false
    }

    /// Moves as much of what is held as fits into `buffer`. Whether nothing is left.
    pub(super) fn take(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let fits = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..fits]);
        self.held.drain(..fits);
        self.held.is_empty()
    }
}
