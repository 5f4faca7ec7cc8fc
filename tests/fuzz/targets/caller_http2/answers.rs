//! The frames of the service, and the responses in them.

use std::collections::BTreeMap;

use loona_hpack::Decoder;
pub(crate) use oneflight_fuzz::answer::Answer;

const REFUSED_STREAM: u32 = 7;

/// What became of a stream.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It has a complete response.
    Answered(Answer),
    /// It was refused before anything was processed.
    Refused,
    /// It was reset for another reason.
    Reset,
    /// It has a part of a response.
    Open,
}

/// The streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<u32, Stream>,
    /// The first error of the connection.
    error: Option<u32>,
}

#[derive(Debug)]
struct Stream {
    answer: Answer,
    outcome: Outcome,
}

/// A frame: its type, its flags, its stream and its payload.
type Frame<'a> = (u8, u8, u32, &'a [u8]);

impl Streams {
    /// Reads all that the service has sent.
    ///
    /// # Panics
    ///
    /// When it is not valid.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(usize::MAX);
        let mut block: Option<(u32, bool, Vec<u8>)> = None;
        while !bytes.is_empty() {
            let (frame, rest) = frame(bytes);
            bytes = rest;
            let (kind, flags, id, payload) = frame;
            if let Some((open, _, _)) = &block {
                assert_eq!((kind, id), (9, *open), "expected CONTINUATION");
            }
            match kind {
                0 => self.data(id, flags, payload),
                1 | 9 => {
                    assert!(flags & 0b10_1000 == 0, "padding or a priority: {frame:?}");
                    let (_, ends_stream, fragments) =
                        block.get_or_insert_with(|| (id, flags & 1 != 0, Vec::new()));
                    fragments.extend(payload);
                    let ends_stream = *ends_stream;
                    if flags & 4 != 0 {
                        let (_, _, fragments) = block.take().expect("it was begun");
                        let fields = decoder.decode(&fragments).expect("valid fields");
                        self.head(id, fields, ends_stream);
                    }
                }
                3 => self.reset(id, number(payload)),
                // SETTINGS, PING, GOAWAY, and WINDOW_UPDATE.
                4 => assert!(id == 0 && payload.len() % 6 == 0, "{frame:?}"),
                6 => assert!(id == 0 && payload.len() == 8, "{frame:?}"),
                7 => {
                    assert_eq!(id, 0, "{frame:?}");
                    let code = number(&payload[4..8]);
                    self.error = self.error.or((code != 0).then_some(code));
                }
                8 => assert!(number(payload) > 0, "{frame:?}"),
                other => panic!("a frame of type {other}: {frame:?}"),
            }
        }
        assert!(block.is_none(), "the last block is incomplete");
    }

    /// The streams that the service has answered or reset, and what became of them.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (u32, &Outcome)> {
        self.streams
            .iter()
            .map(|(id, stream)| (*id, &stream.outcome))
    }

    pub(crate) fn outcome(&self, id: u32) -> Option<&Outcome> {
        self.streams.get(&id).map(|stream| &stream.outcome)
    }

    pub(crate) fn error(&self) -> Option<u32> {
        self.error
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        assert_ne!(id, 0, "a frame of no stream");
        self.streams.entry(id).or_insert_with(|| Stream {
            answer: Answer::default(),
            outcome: Outcome::Open,
        })
    }

    fn head(&mut self, id: u32, fields: Vec<(Vec<u8>, Vec<u8>)>, ends_stream: bool) {
        let stream = self.stream(id);
        let mut fields = fields.into_iter().map(|(name, value)| {
            let text = |bytes| String::from_utf8(bytes).expect("ASCII");
            (text(name), text(value))
        });
        let (name, status) = fields.next().expect("a status");
        assert!(stream.answer.status == 0 && name == ":status", "{stream:?}");
        let is_lower = |name: &str| !name.starts_with(':') && *name == name.to_ascii_lowercase();
        stream.answer.status = status.parse().expect("a status");
        stream.answer.headers = fields.collect();
        assert!(
            stream.answer.headers.iter().all(|(name, _)| is_lower(name)),
            "{stream:?}"
        );
        if ends_stream {
            stream.complete();
        }
    }

    fn data(&mut self, id: u32, flags: u8, payload: &[u8]) {
        let stream = self.stream(id);
        assert!(
            stream.answer.status > 0 && matches!(stream.outcome, Outcome::Open),
            "{stream:?}"
        );
        stream.answer.has_body = true;
        stream.answer.body.extend(payload);
        if flags & 1 != 0 {
            stream.complete();
        }
    }

    /// After a complete response, it only states that the rest of the request is not needed.
    fn reset(&mut self, id: u32, code: u32) {
        let stream = self.stream(id);
        if matches!(stream.outcome, Outcome::Open) {
            stream.outcome = match code {
                REFUSED_STREAM => Outcome::Refused,
                _ => Outcome::Reset,
            };
        }
    }
}

impl Stream {
    fn complete(&mut self) {
        assert!(matches!(self.outcome, Outcome::Open), "{self:?}");
        self.outcome = Outcome::Answered(std::mem::take(&mut self.answer));
    }
}

/// The first frame, and the bytes after it.
fn frame(bytes: &[u8]) -> (Frame<'_>, &[u8]) {
    let (head, rest) = bytes.split_first_chunk::<9>().expect("the head of a frame");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    assert!(length <= 16 << 10, "a frame of {length} bytes");
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let (payload, rest) = rest.split_at_checked(length).expect("a payload");
    ((head[3], head[4], id, payload), rest)
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.try_into().expect("four bytes"))
}
