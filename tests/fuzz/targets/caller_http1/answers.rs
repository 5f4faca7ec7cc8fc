//! The responses of HTTP/1 on a connection.

use httparse::{EMPTY_HEADER, Response, Status};

pub(crate) use oneflight_fuzz::answer::Answer;

/// Reads all of `bytes` as responses to requests with these methods; there may be responses to others after them.
///
/// # Panics
///
/// When they are anything else.
pub(crate) fn answers(mut bytes: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (answer, length) = answer(bytes, methods.get(answers.len()).copied());
        bytes = &bytes[length..];
        let is_last = answer.header("connection") == Some("close");
        assert!(
            !is_last || bytes.is_empty(),
            "there is more after {answer:?}"
        );
        answers.push(answer);
    }
    answers
}

/// The first response, and its length.
fn answer(bytes: &[u8], method: Option<&str>) -> (Answer, usize) {
    let text = || String::from_utf8_lossy(bytes);
    let mut headers = [EMPTY_HEADER; 32];
    let mut response = Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        other => panic!("{other:?}: {}", text()),
    };
    let headers = response.headers.iter().map(|header| {
        let value = String::from_utf8(header.value.to_vec()).expect("ASCII");
        (header.name.to_ascii_lowercase(), value)
    });
    let mut answer = Answer {
        status: response.code.expect("a status"),
        headers: headers.collect(),
        ..Answer::default()
    };
    assert!(answer.header("transfer-encoding").is_none(), "{}", text());
    let length = answer.header("content-length").expect("a length");
    let length: usize = length.parse().expect("a length");
    let rest = &bytes[head..];
    answer.has_body = match method {
        Some(method) => method != "HEAD" || answer.is_of_library(),
        // No body begins like a response.
        None => !rest.is_empty() && !rest.starts_with(b"HTTP/"),
    };
    if !answer.has_body {
        return (answer, head);
    }
    let body = rest.get(..length);
    answer.body = body
        .unwrap_or_else(|| panic!("cut off: {}", text()))
        .to_vec();
    (answer, head + length)
}
