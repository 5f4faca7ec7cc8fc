//! Passes a request on to `UPSTREAM` (`host:port`) and the answer's body back: what a guest of
//! `wasi:http/proxy` cannot do with less.

use std::env;
use std::io::{self, Read, Write};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};

wasip2::http::proxy::export!(Proxy);

struct Proxy;

impl Guest for Proxy {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let body = ask(request.path_with_query().as_deref()).expect("an upstream that answers");
        let answer = OutgoingResponse::new(Fields::new());
        let out = answer.body().expect("the first to ask for it");
        ResponseOutparam::set(response, Ok(answer));
        let mut stream = out.write().expect("the first to ask for it");
        stream.write_all(&body).expect("a caller that stays");
        drop(stream);
        OutgoingBody::finish(out, None).expect("a body without trailers");
    }
}

fn ask(path: Option<&str>) -> io::Result<Vec<u8>> {
    let request = OutgoingRequest::new(Fields::new());
    let upstream = env::var("UPSTREAM").map_err(io::Error::other)?;
    request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(&upstream)))
        .and_then(|()| request.set_path_with_query(path))
        .map_err(|()| io::Error::other("no address"))?;
    let response = outgoing_handler::handle(request, None).map_err(io::Error::other)?;
    response.subscribe().block();
    let response = response.get().expect("it is ready").expect("asked once");
    let body = response.map_err(io::Error::other)?.consume();
    let body = body.expect("the first to ask for it");
    let mut bytes = Vec::new();
    let mut stream = body.stream().expect("the first to ask for it");
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}
