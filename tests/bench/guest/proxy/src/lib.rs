//! Passes a request on to `UPSTREAM` (`host:port`) and the body of the answer back: the least that a guest of
//! `wasi:http/proxy` can do to get an answer from an upstream.

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
        let body = fetch(request.path_with_query().as_deref()).expect("the upstream answers");
        let answer = OutgoingResponse::new(Fields::new());
        let out = answer.body().expect("it is taken once");
        ResponseOutparam::set(response, Ok(answer));
        let mut stream = out.write().expect("it is taken once");
        stream.write_all(&body).expect("the caller is connected");
        drop(stream);
        OutgoingBody::finish(out, None).expect("a body can end without trailers");
    }
}

fn fetch(path: Option<&str>) -> io::Result<Vec<u8>> {
    let request = OutgoingRequest::new(Fields::new());
    let upstream = env::var("UPSTREAM").map_err(io::Error::other)?;
    request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(&upstream)))
        .and_then(|()| request.set_path_with_query(path))
        .map_err(|()| io::Error::other("expected UPSTREAM=HOST:PORT"))?;
    let response = outgoing_handler::handle(request, None).map_err(io::Error::other)?;
    response.subscribe().block();
    let response = response
        .get()
        .expect("it is ready")
        .expect("it is taken once");
    let body = response.map_err(io::Error::other)?.consume();
    let body = body.expect("it is taken once");
    let mut bytes = Vec::new();
    let mut stream = body.stream().expect("it is taken once");
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}
