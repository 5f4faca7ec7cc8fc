//! The input: what a caller does on a connection, after the preface and its first SETTINGS.

use std::ops::Deref;

use arbitrary::{Arbitrary, Unstructured};

/// An input.
#[derive(Debug, Arbitrary)]
pub(crate) struct Input {
    pub(crate) end: AtTheEnd,
    pub(crate) steps: Vec<Step>,
}

/// What the caller does after the last step.
#[derive(Debug, Arbitrary)]
pub(crate) enum AtTheEnd {
    Stay,
    HalfClose,
    Close,
}

/// What the caller does next.
#[derive(Debug, Arbitrary)]
pub(crate) enum Step {
    /// A request on the next stream, in frames that are valid.
    Request(RequestSpec),
    /// HEADERS, valid or not.
    Headers {
        stream: Stream,
        flags: u8,
        fragment: Bytes,
    },
    /// CONTINUATION, with or without HEADERS before it.
    Continuation {
        stream: Stream,
        flags: u8,
        fragment: Bytes,
    },
    /// DATA of that many bytes.
    Data {
        stream: Stream,
        flags: u8,
        length: u16,
    },
    Reset {
        stream: Stream,
        code: u8,
    },
    Settings {
        is_ack: bool,
        values: Vec<(u8, u32)>,
    },
    Ping {
        is_ack: bool,
    },
    WindowUpdate {
        stream: Stream,
        increment: u32,
    },
    GoAway {
        last: Stream,
        code: u8,
    },
    Priority {
        stream: Stream,
        on: Stream,
    },
    /// A frame of any type, with a length that need not be that of its payload.
    Frame {
        kind: u8,
        flags: u8,
        stream: u32,
        excess: i8,
        payload: Bytes,
    },
    /// Bytes that are no frame.
    Bytes(Bytes),
    /// The service acts before the next step.
    Turn,
    /// Some of the service's time passes.
    Pass(u8),
}

/// A stream, by its distance from the last one that was opened: those nearby are the likely ones.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) enum Stream {
    Connection,
    Last,
    Next,
    Before(u8),
    After(u8),
}

/// A request.
#[derive(Debug, Arbitrary)]
pub(crate) struct RequestSpec {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) authority: Authority,
    pub(crate) fields: Vec<Field>,
    /// Whether the fields are added to the dynamic table.
    pub(crate) is_indexed: bool,
    /// Where the block is divided into HEADERS and CONTINUATION.
    pub(crate) split: Option<u8>,
    pub(crate) padding: Option<u8>,
    pub(crate) has_priority: bool,
    /// The length of the body, if there is one.
    pub(crate) body: Option<u8>,
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Connect,
    Other(Text),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Target {
    Items(Text),
    ItemsOf { name: Text, query: Text },
    Live,
    Ready,
    Other(Text),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Authority {
    Usual,
    Missing,
    InHost,
    Other(Text),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Field {
    Id(Text),
    Wait(u8),
    Prefer(Text),
    Fresh,
    Trace(Text),
    /// A name that no part of the service reads, some times.
    Many(u8),
    /// A large value of that many times 64 bytes.
    Large(u8),
    Other {
        name: Text,
        value: Text,
    },
}

/// Some bytes, after one with their number, so that a mutation changes only what it touches.
#[derive(Debug)]
pub(crate) struct Bytes(Vec<u8>);

/// Text in the same form.
#[derive(Debug)]
pub(crate) struct Text(String);

impl<'a> Arbitrary<'a> for Bytes {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
        Ok(Self(input.bytes(length)?.to_vec()))
    }
}

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let bytes = Bytes::arbitrary(input)?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
