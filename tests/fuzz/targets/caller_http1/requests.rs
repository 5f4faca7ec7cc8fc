//! A strict reading of requests of HTTP/1, which shares no code with the service: it reads only what every correct
//! reader reads in the same way, and stops at anything else.

use oneflight_fuzz::expected::{Request, is_plain};
use oneflight_fuzz::service::MAX_HEADERS;

/// What a caller has sent.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// The requests that were read.
    pub(crate) requests: Vec<Request>,
    /// How many of them certainly get a response.
    pub(crate) certain: usize,
    /// Whether there are certainly no others.
    pub(crate) is_all: bool,
}

/// The longest head that certainly fits into the buffer of the service.
const MAX_HEAD_BYTES: usize = 6 << 10;

/// What follows the head of a request.
enum Next {
    /// The next request.
    Request,
    /// The end of the connection.
    End,
    /// A body of that many bytes.
    Body(usize),
    /// A body in chunks.
    Chunks,
}

impl Requests {
    /// Whether `bytes` are one request, with nothing after it.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        matches!(head(bytes), Some((request, length))
            if length == bytes.len() && matches!(next(&request), Some(Next::Request | Next::End)))
    }

    pub(crate) fn read(mut rest: &[u8]) -> Self {
        let mut read = Self::default();
        let mut is_certain = true;
        loop {
            if rest.is_empty() || is_incomplete_head(rest) {
                read.is_all = true;
                return read;
            }
            let Some((request, length)) = head(rest) else {
                return read;
            };
            let Some(next) = next(&request) else {
                return read;
            };
            rest = &rest[length..];
            read.requests.push(request);
            read.certain += usize::from(is_certain);
            let body = match next {
                Next::Request => continue,
                Next::End => {
                    read.is_all = true;
                    return read;
                }
                Next::Body(length) => Some(length),
                Next::Chunks => match chunks(rest) {
                    Ok(length) => length,
                    Err(()) => return read,
                },
            };
            // The service reads no body. It may close the connection instead of skipping it.
            is_certain = false;
            match body.and_then(|length| rest.get(length..)) {
                Some(after) => rest = after,
                None => {
                    read.is_all = true;
                    return read;
                }
            }
        }
    }
}

/// Whether these bytes are the beginning of a head, in which nothing could be taken for its end.
fn is_incomplete_head(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n');
    let count = lines.clone().count();
    lines
        .take(count - 1)
        .all(|line| line.len() > 1 && line.ends_with(b"\r"))
}

/// A head, with its length.
fn head(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let length = end + 4;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    if length > MAX_HEAD_BYTES {
        return None;
    }
    let mut lines = text.split("\r\n");
    let mut start = lines.next()?.split(' ');
    let (method, target, version) = (start.next()?, start.next()?, start.next()?);
    let is_readable = start.next().is_none()
        && !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && method != "CONNECT"
        && target.starts_with('/')
        && target.chars().all(is_plain)
        && ["HTTP/1.0", "HTTP/1.1"].contains(&version);
    if !is_readable {
        return None;
    }
    let headers = lines.map(header).collect::<Option<_>>()?;
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        needs_host: version == "HTTP/1.1",
    };
    Some((request, length))
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let value = value.trim_matches([' ', '\t']);
    let is_value = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

/// What follows the head; `None` for something that readers may disagree about.
fn next(request: &Request) -> Option<Next> {
    // They are refused before the body is looked for.
    if request.headers.len() > MAX_HEADERS {
        return Some(Next::End);
    }
    let has = |name| request.values(name).next().is_some();
    if ["upgrade", "expect", "http2-settings", "te", "trailer"]
        .into_iter()
        .any(has)
    {
        return None;
    }
    let values = |name| request.values(name).collect::<Vec<_>>();
    let is_kept = match *values("connection") {
        [] => request.needs_host,
        ["keep-alive"] if request.needs_host => true,
        ["close"] => false,
        _ => return None,
    };
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) if is_kept => Some(Next::Request),
        ([], []) => Some(Next::End),
        ([length], []) if is_kept => {
            let is_number =
                (1..6).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse().ok().filter(|_| is_number)? {
                0 => Some(Next::Request),
                length => Some(Next::Body(length)),
            }
        }
        ([], ["chunked"]) if is_kept => Some(Next::Chunks),
        _ => None,
    }
}

/// The length of a body in chunks; `Ok(None)` if it is incomplete.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let mut read = 0;
    loop {
        let rest = &bytes[read..];
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            let digits = rest.strip_suffix(b"\r").unwrap_or(rest);
            return if is_size(digits) || digits.is_empty() {
                Ok(None)
            } else {
                Err(())
            };
        };
        let digits = &rest[..end];
        if !is_size(digits) {
            return Err(());
        }
        let digits = std::str::from_utf8(digits).map_err(drop)?;
        let size = usize::from_str_radix(digits, 16).map_err(drop)?;
        let data = read + end + 2;
        read = data + size + 2;
        match bytes.get(data + size..read) {
            Some(b"\r\n") if size == 0 => return Ok(Some(read)),
            Some(b"\r\n") => {}
            Some(_) => return Err(()),
            // The rest of a chunk may be missing. After the last one it may be anything.
            None if size > 0 && bytes.len() <= data + size => return Ok(None),
            None => return Err(()),
        }
    }
}

fn is_size(digits: &[u8]) -> bool {
    (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit)
}
