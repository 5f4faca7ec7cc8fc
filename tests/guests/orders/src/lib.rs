//! A client with an interface of its own: each function makes one request to `BASE_URL` and converts the answer.

use std::env;

use serde::Deserialize;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

use bindings::Guest as Client;
use bindings::exports::acme::orders::orders::{
    Error, Guest, Line, Money, Order, Parts, Payment, Region,
};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "orders-client", generate_all });
    export!(Orders with_types_in self);
    use super::Orders;
}

struct Orders;

/// An order as the upstream has it.
#[derive(Deserialize)]
struct Found {
    id: String,
    #[serde(default)]
    lines: Vec<FoundLine>,
    card: Option<String>,
    transfer: Option<(String, u64)>,
    #[serde(default)]
    history: Vec<i64>,
}

#[derive(Deserialize)]
struct FoundLine {
    sku: String,
    quantity: u32,
    currency: String,
    minor: i64,
}

impl Client for Orders {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}

impl Guest for Orders {
    fn get_order(
        tenant: String,
        id: String,
        parts: Parts,
        region: Option<Region>,
    ) -> Result<Order, Error> {
        let place = match region {
            None => "any",
            Some(Region::Eu) => "eu",
            Some(Region::Us) => "us",
            Some(Region::Ap) => "ap",
        };
        let path = format!(
            "/{}/orders/{}?region={place}",
            segment(&tenant)?,
            segment(&id)?
        );
        let found: Found = parsed(&send(&Method::Get, &path, "")?)?;
        let payment = match (found.card, found.transfer) {
            (Some(digits), _) if parts.contains(Parts::PAYMENT) => Payment::Card(digits),
            (_, Some(transfer)) if parts.contains(Parts::PAYMENT) => Payment::Transfer(transfer),
            _ => Payment::Unpaid,
        };
        let lines = found
            .lines
            .into_iter()
            .filter(|_| parts.contains(Parts::LINES));
        let history = found
            .history
            .into_iter()
            .filter(|_| parts.contains(Parts::HISTORY));
        // The upstream has a failure as a negative code.
        let step = |step: i64| u64::try_from(step).map_err(|_| step.unsigned_abs() as u16);
        Ok(Order {
            id: found.id,
            region,
            lines: lines.map(FoundLine::into_line).collect(),
            payment,
            history: history.map(step).collect(),
        })
    }

    fn list_open(tenant: String) -> Result<Vec<String>, Error> {
        parsed(&send(
            &Method::Get,
            &format!("/{}/open", segment(&tenant)?),
            "",
        )?)
    }

    fn place_order(tenant: String, lines: Vec<Line>) -> Result<String, Error> {
        let skus: Vec<_> = lines.iter().map(|line| line.sku.as_str()).collect();
        let body = serde_json::to_string(&skus).map_err(|error| malformed(&error))?;
        let path = format!("/{}/orders", segment(&tenant)?);
        parsed(&send(&Method::Post, &path, &body)?)
    }
}

impl FoundLine {
    fn into_line(self) -> Line {
        let (currency, minor) = (self.currency, self.minor);
        Line {
            sku: self.sku,
            quantity: self.quantity,
            price: Money { currency, minor },
        }
    }
}

/// Sends a request, and returns the body of the answer.
fn send(method: &Method, path: &str, body: &str) -> Result<Vec<u8>, Error> {
    let unavailable = |why: &str| Error::UpstreamUnavailable(why.to_owned());
    let url = env::var("BASE_URL").map_err(|_| unavailable("expected BASE_URL, got none"))?;
    let (scheme, authority) = match url.split_once("://") {
        Some(("https", authority)) => (Scheme::Https, authority),
        Some((_, authority)) => (Scheme::Http, authority),
        None => return Err(unavailable("expected a URL in BASE_URL")),
    };
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_method(method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority.trim_end_matches('/'))))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| unavailable("the host refused the request"))?;
    let outgoing = request.body().map_err(|()| unavailable("no body"))?;
    let response =
        outgoing_handler::handle(request, None).map_err(|code| unavailable(&code.to_string()))?;
    let stream = outgoing.write().map_err(|()| unavailable("no stream"))?;
    stream
        .blocking_write_and_flush(body.as_bytes())
        .map_err(|error| unavailable(&error.to_string()))?;
    drop(stream);
    OutgoingBody::finish(outgoing, None).map_err(|code| unavailable(&code.to_string()))?;
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(unavailable(&code.to_string())),
        _ => return Err(unavailable("no response")),
    };
    match response.status() {
        200 => read(&response),
        404 => Err(Error::NotFound),
        429 => Err(Error::RateLimited),
        409 => Err(Error::SoldOut(parsed(&read(&response)?)?)),
        status => Err(unavailable(&format!("status {status}"))),
    }
}

fn read(response: &IncomingResponse) -> Result<Vec<u8>, Error> {
    let cut = |why: &str| Error::UpstreamUnavailable(why.to_owned());
    let body = response.consume().map_err(|()| cut("no body"))?;
    let stream = body.stream().map_err(|()| cut("no stream"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(cut(&error.to_string())),
        }
    }
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::UpstreamMalformed(error.to_string())
}

/// RFC 3986, section 2.3: all but the unreserved characters are encoded. Servers resolve the segments `.` and `..` even
/// if they are encoded, and an empty one may stand for all orders.
fn segment(text: &str) -> Result<String, Error> {
    if matches!(text, "" | "." | "..") {
        return Err(Error::NotFound);
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    Ok(encoded)
}
