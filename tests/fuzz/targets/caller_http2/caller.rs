//! [`Caller`]: the frames of the steps, and what is certain of the requests in them.

use oneflight_fuzz::expected::{Expected, Request};
use oneflight_fuzz::service::{Action, CLIENT, MAX_HEADERS, NEVER, SLOW};

use super::steps::{Authority, Field, Method, RequestSpec, Step, Stream, Target};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY_FLAG: u8 = 32;

/// The most steps that count, so that no input takes long.
const MAX_STEPS: usize = 64;

/// The most bytes of fields of a request that is certainly not too large.
const MAX_FIELDS_BYTES: usize = 4 << 10;

/// A caller, after some steps.
#[derive(Debug)]
pub(crate) struct Caller {
    steps: usize,
    actions: Vec<Action>,
    /// Frames that are sent together.
    frames: Vec<u8>,
    /// The last stream that was opened.
    last: u32,
    /// The largest stream of any frame.
    largest: u32,
    /// Requests, by their streams.
    requests: Vec<(u32, Request)>,
    /// The responses that are certain to arrive, or have arrived.
    certain: Vec<Certain>,
    /// Whether all frames were valid, and none can keep responses from arriving.
    is_valid: bool,
    /// Whether all that can be executed is in `requests`.
    is_known: bool,
    resets: usize,
    increments: u32,
}

/// A response that is certain to arrive.
#[derive(Debug)]
struct Certain {
    stream: u32,
    expected: Expected,
    /// Whether it has arrived.
    has_arrived: bool,
}

impl Default for Caller {
    fn default() -> Self {
        let mut caller = Self {
            steps: 0,
            actions: Vec::new(),
            frames: PREFACE.to_vec(),
            last: 0,
            largest: 0,
            requests: Vec::new(),
            certain: Vec::new(),
            is_valid: true,
            is_known: true,
            resets: 0,
            increments: 0,
        };
        caller.frame(SETTINGS, 0, 0, &[]);
        caller
    }
}

impl Caller {
    /// All that it does.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        self.flush();
        std::mem::take(&mut self.actions)
    }

    /// The keys of all requests; `None` if there can be others.
    pub(crate) fn keys(&self) -> Option<Vec<String>> {
        if !self.is_known {
            return None;
        }
        let mut keys = Vec::new();
        for (_, request) in &self.requests {
            keys.extend(request.expected()?.key);
        }
        Some(keys)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn certain(&self) -> impl Iterator<Item = (u32, &Expected)> {
        self.certain
            .iter()
            .map(|certain| (certain.stream, &certain.expected))
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.is_valid
    }

    /// Whether the stream may have been opened.
    pub(crate) fn has_opened(&self, stream: u32) -> bool {
        stream % 2 == 1 && stream <= self.largest
    }

    pub(crate) fn take(&mut self, step: Step) {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return;
        }
        match step {
            Step::Request(request) => self.request(request),
            Step::Headers {
                stream,
                flags,
                fragment,
            } => {
                let id = self.id(stream);
                self.unknown();
                self.frame(HEADERS, flags, id, &fragment);
            }
            Step::Continuation {
                stream,
                flags,
                fragment,
            } => {
                let id = self.id(stream);
                self.unknown();
                self.frame(CONTINUATION, flags, id, &fragment);
            }
            Step::Data {
                stream,
                flags,
                length,
            } => {
                let id = self.id(stream);
                self.is_valid = false;
                self.frame(DATA, flags, id, &vec![0; length.into()]);
            }
            Step::Reset { stream, code } => {
                let id = self.id(stream);
                self.resets += 1;
                // Many are an attack, and end the connection.
                self.is_valid &=
                    self.requests.iter().any(|(open, _)| *open == id) && self.resets < 8;
                self.certain.retain(|certain| certain.stream != id);
                self.frame(RST_STREAM, 0, id, &u32::from(code).to_be_bytes());
            }
            Step::Settings { is_ack, values } => self.settings(is_ack, &values),
            Step::Ping { is_ack } => {
                self.is_valid &= !is_ack;
                self.frame(PING, u8::from(is_ack), 0, &[7; 8]);
            }
            Step::WindowUpdate { stream, increment } => {
                let id = self.id(stream);
                self.increments = self.increments.saturating_add(increment);
                self.is_valid &= id == 0 && increment > 0 && self.increments < 1 << 30;
                self.frame(WINDOW_UPDATE, 0, id, &increment.to_be_bytes());
            }
            Step::GoAway { last, code } => {
                let last = self.id(last);
                self.is_valid = false;
                let payload = [last.to_be_bytes(), u32::from(code).to_be_bytes()].concat();
                self.frame(GOAWAY, 0, 0, &payload);
            }
            Step::Priority { stream, on } => {
                let (id, on) = (self.id(stream), self.id(on));
                self.is_valid &= id != 0 && id != on;
                let payload = [&on.to_be_bytes()[..], &[15]].concat();
                self.frame(PRIORITY, 0, id, &payload);
            }
            Step::Frame {
                kind,
                flags,
                stream,
                excess,
                payload,
            } => {
                // Unknown types are ignored.
                if kind <= CONTINUATION || excess != 0 {
                    self.unknown();
                    self.largest = self.largest.max(stream & (u32::MAX >> 1));
                }
                self.frame_of_length(kind, flags, stream, &payload, i64::from(excess));
            }
            Step::Bytes(bytes) => {
                self.unknown();
                self.largest = u32::MAX;
                self.frames.extend(&*bytes);
            }
            Step::Turn => self.flush(),
            Step::Pass(steps) => {
                self.flush();
                // The connection may be closed meanwhile.
                self.is_valid = false;
                self.actions.push(Action::Pass(steps % 16));
            }
        }
        if !self.is_valid {
            // The connection may end with all that waits.
            self.certain.retain(|certain| certain.has_arrived);
        }
    }

    /// Anything may follow.
    fn unknown(&mut self) {
        self.is_valid = false;
        self.is_known = false;
    }

    fn flush(&mut self) {
        let waits = |key: &String| key.starts_with([SLOW, NEVER]);
        for certain in &mut self.certain {
            certain.has_arrived = !certain.expected.key.as_ref().is_some_and(waits);
        }
        let frames = std::mem::take(&mut self.frames);
        self.actions.push(Action::Send(frames));
    }

    fn id(&mut self, stream: Stream) -> u32 {
        let id = match stream {
            Stream::Connection => 0,
            Stream::Last => self.last,
            Stream::Next => self.last + 2,
            Stream::Before(count) => self.last.saturating_sub(count.into()),
            Stream::After(count) => self.last + u32::from(count),
        };
        self.largest = self.largest.max(id);
        id
    }

    fn settings(&mut self, is_ack: bool, values: &[(u8, u32)]) {
        // HEADER_TABLE_SIZE and MAX_CONCURRENT_STREAMS may have any value, and an unknown setting, too. All others can
        // be wrong, or keep responses from arriving.
        let is_harmless = |(id, _): &(u8, u32)| [1, 3].contains(id) || *id > 16;
        self.is_valid &= !is_ack && values.iter().all(is_harmless);
        let pair = |(id, value): &(u8, u32)| [&[0, *id][..], &value.to_be_bytes()].concat();
        let payload: Vec<u8> = values.iter().flat_map(pair).collect();
        self.frame(SETTINGS, if is_ack { ACK } else { 0 }, 0, &payload);
    }

    /// A request on the next stream.
    fn request(&mut self, spec: RequestSpec) {
        if self.largest > u32::MAX / 4 {
            return;
        }
        self.last = self.largest + 1 + self.largest % 2;
        self.largest = self.last;
        let id = self.last;
        let (request, pseudo) = parts(&spec);
        let mut block = Vec::new();
        for (name, value) in pseudo.iter().chain(&request.headers) {
            field(&mut block, name, value, spec.is_indexed);
        }
        let flags = if spec.body.is_none() { END_STREAM } else { 0 };
        self.block(id, flags, &block, &spec);
        if let Some(length) = spec.body {
            self.frame(DATA, END_STREAM, id, &vec![b'x'; length.into()]);
        }

        let fields = pseudo.iter().chain(&request.headers);
        let size: usize = fields
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum();
        if is_malformed(&request, &pseudo) || size > MAX_FIELDS_BYTES {
            // The request is refused, the stream is reset, or the connection ends: h2 closes it for a block of some
            // times the limit.
            self.is_valid = false;
        } else if let Some(expected) = request.expected().filter(|_| self.is_valid) {
            self.certain.push(Certain {
                stream: id,
                expected,
                has_arrived: false,
            });
        }
        self.requests.push((id, request));
    }

    /// A block of fields in HEADERS, and in CONTINUATION where it is divided.
    fn block(&mut self, id: u32, flags: u8, block: &[u8], spec: &RequestSpec) {
        const LARGEST: usize = 16 << 10;
        let split = spec.split.map_or(block.len(), usize::from);
        let (first, mut rest) = block.split_at(split.min(block.len()).min(LARGEST - 512));
        let mut payload = Vec::new();
        let mut flags = flags;
        if let Some(padding) = spec.padding {
            flags |= PADDED;
            payload.push(padding);
        }
        if spec.has_priority {
            flags |= PRIORITY_FLAG;
            payload.extend([0, 0, 0, 0, 15]);
        }
        payload.extend(first);
        payload.extend(vec![0; spec.padding.unwrap_or(0).into()]);
        if rest.is_empty() {
            flags |= END_HEADERS;
        }
        self.frame(HEADERS, flags, id, &payload);
        while !rest.is_empty() {
            let (next, after) = rest.split_at(rest.len().min(LARGEST));
            let flags = if after.is_empty() { END_HEADERS } else { 0 };
            self.frame(CONTINUATION, flags, id, next);
            rest = after;
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        self.frame_of_length(kind, flags, id, payload, 0);
    }

    fn frame_of_length(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8], excess: i64) {
        let length = i64::try_from(payload.len()).expect("a short payload") + excess;
        let length = u32::try_from(length.max(0))
            .expect("a short payload")
            .to_be_bytes();
        self.frames.extend(&length[1..]);
        self.frames.extend([kind, flags]);
        self.frames.extend(id.to_be_bytes());
        self.frames.extend(payload);
    }
}

type Fields = Vec<(String, String)>;

/// The request, and its pseudo-header fields.
fn parts(spec: &RequestSpec) -> (Request, Fields) {
    let method = match &spec.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Connect => "CONNECT",
        Method::Other(method) => method,
    };
    let target = match &spec.target {
        Target::Items(key) => format!("/v1/{CLIENT}/items?x={}", escaped(key)),
        Target::ItemsOf { name, query } => format!("/v1/{}/items?{}", &**name, &**query),
        Target::Live => "/livez".to_owned(),
        Target::Ready => "/readyz".to_owned(),
        Target::Other(path) => path.to_string(),
    };
    let mut pseudo = vec![
        (":method".to_owned(), method.to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":path".to_owned(), target.clone()),
    ];
    let mut headers = Vec::new();
    match &spec.authority {
        Authority::Usual => pseudo.push((":authority".to_owned(), "a".to_owned())),
        Authority::Missing => {}
        Authority::InHost => headers.push(("host".to_owned(), "a".to_owned())),
        Authority::Other(authority) => {
            pseudo.push((":authority".to_owned(), authority.to_string()))
        }
    }
    headers.extend(spec.fields.iter().flat_map(fields));
    let request = Request {
        method: method.to_owned(),
        target,
        headers,
        needs_host: false,
    };
    (request, pseudo)
}

fn fields(field: &Field) -> Fields {
    let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    match field {
        Field::Id(id) => one("x-request-id", id),
        Field::Wait(seconds) => one("prefer", &format!("wait={seconds}")),
        Field::Prefer(value) => one("prefer", value),
        Field::Fresh => one("cache-control", "no-cache"),
        Field::Trace(value) => one("traceparent", value),
        Field::Many(count) => {
            vec![("a".to_owned(), "b".to_owned()); usize::from(*count) % (2 * MAX_HEADERS)]
        }
        Field::Large(size) => one("a", &"b".repeat(64 * usize::from(*size))),
        Field::Other { name, value } => one(name, value),
    }
}

/// Whether HTTP/2, or the library, may refuse the request by itself.
fn is_malformed(request: &Request, pseudo: &Fields) -> bool {
    let is_name = |name: &str| {
        let connection = [
            "connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "content-length",
            "cookie",
        ];
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && !connection.contains(&name)
            && !name.contains("connection")
    };
    let is_value = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
    let is_upper = |method: &str| method.bytes().all(|byte| byte.is_ascii_uppercase());
    let authority = pseudo.get(3).map_or("a", |(_, authority)| authority);
    request.method.is_empty()
        || request.method == "CONNECT"
        || !is_upper(&request.method)
        || !request.target.starts_with('/')
        || authority != "a"
        || !request
            .headers
            .iter()
            .all(|(name, value)| is_name(name) && is_value(value))
}

/// A field of HPACK, as a literal: RFC 7541, section 6.2.
fn field(block: &mut Vec<u8>, name: &str, value: &str, is_indexed: bool) {
    block.push(if is_indexed { 0x40 } else { 0 });
    for text in [name, value] {
        // An integer with a prefix of seven bits: RFC 7541, section 5.1.
        let mut length = text.len();
        if length < 127 {
            block.push(u8::try_from(length).expect("seven bits"));
        } else {
            block.push(127);
            length -= 127;
            while length >= 128 {
                block.push(u8::try_from(length % 128).expect("seven bits") | 128);
                length /= 128;
            }
            block.push(u8::try_from(length).expect("seven bits"));
        }
        block.extend(text.as_bytes());
    }
}

/// A key as it is written in a URL.
fn escaped(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'!' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02x}"),
        })
        .collect()
}
