//! Functions of every type, and functions that misbehave.

use std::env;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

use bindings::exports::test::typed::{faults, handles, samples, values};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "typed", generate_all });
    export!(Typed with_types_in self);
    use super::Typed;
}

struct Typed;

struct File;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl values::Guest for Typed {
    fn echo(value: values::All) -> values::All {
        value
    }

    fn echo_list(values: Vec<values::All>) -> Vec<values::All> {
        values
    }

    fn no_result() {}

    fn no_parameters() -> u32 {
        7
    }
}

impl faults::Guest for Typed {
    fn trap(key: String) -> String {
        panic!("trapped for {key}")
    }

    fn spin(key: String) -> String {
        loop {
            black_box(&key);
        }
    }

    fn grow(mebibytes: u32) -> u32 {
        let memory = vec![1_u8; (mebibytes as usize) << 20];
        black_box(&memory).len() as u32
    }

    fn long(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn many(number: u32) -> Vec<u64> {
        (0..number.into()).collect()
    }

    fn wait(path: String) -> Result<u16, String> {
        let url = env::var("BASE_URL").map_err(|error| error.to_string())?;
        let request = OutgoingRequest::new(Fields::new());
        request
            .set_scheme(Some(&Scheme::Http))
            .and_then(|()| request.set_authority(url.strip_prefix("http://")))
            .and_then(|()| request.set_path_with_query(Some(&path)))
            .map_err(|()| "refused".to_owned())?;
        let response = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
        response.subscribe().block();
        match response.get() {
            Some(Ok(Ok(response))) => Ok(response.status()),
            Some(Ok(Err(code))) => Err(code.to_string()),
            _ => Err("no response".to_owned()),
        }
    }

    fn fail(number: u32) -> Result<u8, faults::Error> {
        Err(match number {
            0 => faults::Error::NotFound,
            1 => faults::Error::RateLimited,
            2 => faults::Error::InvalidKey("it is odd".to_owned()),
            3 => faults::Error::Internal,
            4 => faults::Error::GuestTrap,
            number => faults::Error::Custom(number),
        })
    }

    fn fail_plainly(number: u32) -> Result<(), faults::Plain> {
        match number {
            0 => Ok(()),
            1 => Err(faults::Plain::NotFound),
            2 => Err(faults::Plain::Other),
            _ => Err(faults::Plain::SoldOut),
        }
    }

    fn count() -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl samples::Guest for Typed {
    fn next(number: u32) -> u32 {
        number + 1
    }

    fn items(number: u32) -> Vec<samples::Item> {
        let body = format!("\"{}\"", "b".repeat(90));
        let item = |number: u32| samples::Item {
            id: number.to_string(),
            body: body.clone(),
        };
        (0..number).map(item).collect()
    }

    fn text(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn bytes(bytes: u32) -> Vec<u8> {
        vec![b'x'; bytes as usize]
    }
}

impl handles::GuestFile for File {
    fn read(&self) -> String {
        String::new()
    }
}

impl handles::Guest for Typed {
    type File = File;

    fn open(_: String) -> handles::File {
        handles::File::new(File)
    }

    fn plain() -> u8 {
        1
    }
}
