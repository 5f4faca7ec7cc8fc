//! A client that misbehaves as its key requests, to test that the host contains it.
//!
//! Amounts are in bytes unless stated otherwise. A key that is not in the table is `invalid-key`.
//!
//! | key | what it does |
//! |---|---|
//! | `echo:TEXT` | one item whose id is TEXT, and whose body is TEXT as a JSON string |
//! | `body:TEXT` | one item with TEXT as its body, JSON or not |
//! | `bad-json` | one item whose body is not JSON |
//! | `same-id` | two items with one id |
//! | `huge:BYTES` | one item with a body of BYTES, a JSON string |
//! | `many:N` | N small items, with ids from 0 |
//! | `alias:N:BYTES` | N items that all have the same BYTES of memory as their body |
//! | `error:CASE` | the error CASE; `upstream-status:STATUS` and `rate-limited:SECONDS` take a number |
//! | `trap` | the `unreachable` instruction |
//! | `panic` | a panic, with a message on standard error |
//! | `last-words:N` | a line on standard error, N more, and a panic with a message |
//! | `exit:CODE` | exits; codes other than 0 arrive as 1 |
//! | `spin` | an endless loop without host calls |
//! | `recurse` | endless recursion |
//! | `grow:BYTES` | grows its memory to BYTES or until refused, and writes to it; an item with the size it reached |
//! | `slow:MILLISECONDS` | waits on the clock; an item |
//! | `log:BYTES` | writes BYTES to each of standard output and error, with terminal escapes |
//! | `env` | an item for each environment variable it sees |
//! | `args` | an item for each argument it sees |
//! | `files` | an item with the number of folders it was given |
//! | `stdin` | an item with the number of bytes on its standard input, or the error |
//! | `connect:ADDRESS` | an item with the outcome of a TCP connection to ADDRESS |
//! | `resolve:NAME` | an item with the number of addresses that NAME has, or the error |
//! | `random:BYTES` | requests that many random bytes at once; an item with their sum |
//! | `resources:N` | keeps N resources of the host; an item |
//! | `calls` | an item with the number of calls that this instance has had |
//! | `ask:URL` | one GET; an item with the outcome |
//! | `together:N:URL` | N GETs at the same time; an item each |
//! | `follow:URL` | a GET, and another of the URL in its `location`; an item each |
//! | `chase:URL` | the same, but the error `other` if the second GET got no response |
//! | `method:METHOD:URL` | a request with that method and no body; an item with the outcome |
//! | `finished:METHOD:URL` | the same, with an empty body that is finished first |
//! | `patient:URL` | a GET with timeouts of an hour; an item with the outcome |
//! | `hasty:URL` | a GET with timeouts of 100 s; an item with the outcome |
//! | `header:NAME=VALUE:URL` | a GET with that header; an item with the outcome |
//! | `path:PATH\|URL` | a GET with PATH, unchanged, in place of the URL's path; an item with the outcome |
//! | `post:LENGTH:BYTES:URL` | a POST with a `content-length` of LENGTH that sends BYTES; an item with the outcome |
//! | `abandon:LENGTH:BYTES:URL` | the same, but the body is dropped unfinished |
//! | `need:URL` | a GET; an item with the outcome, or the error `other` if it got no response |
//! | `blame:CASE:URL\|URL…` | a GET of each in turn, then the error CASE (without number) whatever the outcomes |
//! | `ask-trap:URL` | a GET, then a trap whatever its outcome |
//! | `leave:URL` | starts a GET and never reads its response; an item |
//! | `upload:FRAMING:END:URL` | a request with a body, as the module `upload` says; an item |
//! | `stream:BYTES:URL` | a POST of BYTES without a `content-length`; an item with the outcome |
//! | `unsent:N:BYTES` | creates N requests, queues BYTES of a body in each, and sends none; an item |
//! | `keep:N:BYTES` | the same, and keeps them beyond its call |
//! | `fields:N:BYTES` | creates N sets of header fields with a value of BYTES; an item |
//! | `lines:N:BYTES:PART` | creates N requests with a PART of BYTES: path, authority, both, method; an item |
//! | `unread:N:URL` | N GETs of which it reads the header sections; an item with their number |
//! | `open:N:URL` | N POSTs whose bodies it leaves open; an item |
//! | `control-id:N` | an item whose id is N control characters |
//! | `hold:URL` | a GET of which it reads the header section, then an endless wait |
//! | `fetch:REQUEST` | a request by `oneflight:client/fetch`; an item with the outcome |
//! | `fetch-need:REQUEST` | the same, or the error of `items` if it got no response |
//! | `fetches:N:REQUEST` | the same N times, one after another; items with the number of responses and the last outcome |
//! | `fetch-keep:N:REQUEST` | the same N times, and keeps all responses; an item |
//! | `fetch-grow:BYTES:REQUEST` | the same once, then grows its memory as `grow` does |
//! | `fetch-large:BYTES:URL` | a POST of BYTES by `fetch`; an item with the outcome |
//! | `fetch-trap:REQUEST` | a request by `fetch`, then a trap whatever its outcome |
//! | `fetch-both:URL` | a GET by `fetch` and one by wasi:http; an item each |
//!
//! A REQUEST is JSON, `{"method": "GET", "url": "…", "headers": [["name", "value"]], "text": "…"}`, with `"bytes": [0]`
//! for a body that is not text; or a URL. Its outcome has the same form, with `status`, or `error` and `text`.
//!
//! An outcome is the body `{"bytes":12,"status":200}`, or `{"error": "…"}` with wasi:http's error
//! code, or the part of the request that could not be set. Items of several requests have ids from 0.

mod alias;
mod ask;
mod fetching;
mod hoard;
mod upload;

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, io, iter, mem, process, thread};

use bindings::exports::oneflight::client::items::{Error, Guest, Item};
use serde_json::{Value, json};
use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::preopens;
use wasip2::random::random;

use ask::Ask;

#[expect(unsafe_code, reason = "generated by wit-bindgen")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "items-client" });
    export!(Misbehaving with_types_in self);
    use super::Misbehaving;
}

/// The size of a page of memory, in bytes.
const PAGE: usize = 64 * 1024;

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Misbehaving;

impl Guest for Misbehaving {
    fn get_items(x: String) -> Result<Vec<Item>, Error> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let (what, how) = x.split_once(':').unwrap_or((&x, ""));
        match answers(what, how)
            .or_else(|| failures(what, how))
            .or_else(|| environment(what, how))
            .or_else(|| hoarding(what, how))
            .or_else(|| fetching::requests(what, how))
        {
            Some(result) => result,
            None => requests(what, how).unwrap_or_else(|| Err(no_such(&x))),
        }
    }
}

type Answer = Option<Result<Vec<Item>, Error>>;

/// Results of every shape.
fn answers(what: &str, how: &str) -> Answer {
    Some(match what {
        "echo" => Ok(vec![item(how, &json!(how))]),
        "body" => Ok(vec![Item {
            id: "body".into(),
            body: how.into(),
        }]),
        "bad-json" => Ok(vec![Item {
            id: "bad".into(),
            body: "{\"broken\":".into(),
        }]),
        "same-id" => Ok(vec![item("same", &json!(1)), item("same", &json!(2))]),
        "huge" => {
            number(how).map(|bytes| vec![item("huge", &json!("x".repeat(bytes.saturating_sub(2))))])
        }
        "many" => number(how).map(|n| (0..n).map(|n| item(n, &json!(n))).collect()),
        "alias" => {
            pair(how, ':').and_then(|(n, bytes)| Ok(alias::items(number(n)?, number(bytes)?)))
        }
        "control-id" => number(how).map(|n| vec![item("\u{1}".repeat(n), &json!(n))]),
        "error" => Err(error(how)),
        _ => return None,
    })
}

/// Ways to fail, not to end, and to exhaust resources.
fn failures(what: &str, how: &str) -> Answer {
    Some(match what {
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("panicked on demand"),
        "last-words" => number(how).map(last_words),
        "exit" => number(how).map(|code| process::exit(i32::try_from(code).unwrap_or(i32::MAX))),
        "spin" => loop {
            black_box(());
        },
        "recurse" => Ok(vec![item("depth", &json!(recurse(0)))]),
        "grow" => number(how).map(|bytes| vec![item("memory", &json!(grow(bytes)))]),
        "slow" => number(how).map(|milliseconds| {
            thread::sleep(Duration::from_millis(milliseconds as u64));
            vec![item("slow", &json!(milliseconds))]
        }),
        "log" => number(how).map(log),
        "random" => number(how).map(|bytes| {
            let sum: u64 = random::get_random_bytes(bytes as u64)
                .into_iter()
                .map(u64::from)
                .sum();
            vec![item("sum", &json!(sum))]
        }),
        "resources" => number(how).map(|n| {
            mem::forget(
                (0..n)
                    .map(|_| monotonic_clock::subscribe_duration(0))
                    .collect::<Vec<_>>(),
            );
            vec![item("resources", &json!(n))]
        }),
        _ => return None,
    })
}

/// Ways to make the host hold much.
fn hoarding(what: &str, how: &str) -> Answer {
    let counts = || pair(how, ':').and_then(|(n, bytes)| Ok((number(n)?, number(bytes)?)));
    let hoarded = |done: Result<(), String>| match done {
        Ok(()) => Ok(vec![item(what, &json!("hoarded"))]),
        Err(reason) => Ok(vec![item(what, &json!(reason))]),
    };
    Some(match what {
        "unsent" => counts().and_then(|(n, bytes)| {
            mem::forget(hoard::unsent(n, bytes));
            hoarded(Ok(()))
        }),
        "keep" => counts().and_then(|(n, bytes)| {
            hoard::keep(n, bytes);
            hoarded(Ok(()))
        }),
        "fields" => counts().and_then(|(n, bytes)| hoarded(hoard::fields(n, bytes))),
        "lines" => pair(how, ':').and_then(|(n, rest)| {
            let (bytes, part) = pair(rest, ':')?;
            hoarded(hoard::lines(number(n)?, number(bytes)?, part))
        }),
        "unread" => pair(how, ':').and_then(|(n, url)| {
            let read = hoard::unread(number(n)?, url).map_err(Error::Other)?;
            Ok(vec![item("unread", &json!(read))])
        }),
        "open" => pair(how, ':').and_then(|(n, url)| hoarded(hoard::open(number(n)?, url))),
        _ => return None,
    })
}

/// What the guest can observe of its environment.
fn environment(what: &str, how: &str) -> Answer {
    Some(Ok(match what {
        "env" => env::vars()
            .map(|(name, value)| item(name, &json!(value)))
            .collect(),
        "args" => env::args()
            .enumerate()
            .map(|(n, arg)| item(n, &json!(arg)))
            .collect(),
        "files" => vec![item("files", &json!(preopens::get_directories().len()))],
        "stdin" => {
            let read = io::stdin().read_to_end(&mut Vec::new());
            vec![item(
                "stdin",
                &read.map_or_else(|error| json!(error.to_string()), |n| json!(n)),
            )]
        }
        "connect" => {
            let outcome = TcpStream::connect(how).map(|_| "connected".to_owned());
            vec![item(
                "connect",
                &json!(outcome.unwrap_or_else(|error| error.to_string())),
            )]
        }
        "resolve" => {
            let found = (how, 80).to_socket_addrs().map(Iterator::count);
            vec![item(
                "addresses",
                &found.map_or_else(|error| json!(error.to_string()), |n| json!(n)),
            )]
        }
        "calls" => vec![item("calls", &json!(CALLS.load(Ordering::Relaxed)))],
        _ => return None,
    }))
}

/// Requests of every kind.
fn requests(what: &str, how: &str) -> Answer {
    Some(match what {
        "ask" => Ok(vec![item(0, &ask::outcome(Ask::get(how).send()))]),
        "leave" => {
            mem::forget(Ask::get(how).start());
            Ok(vec![item(0, &json!("left"))])
        }
        "together" => pair(how, ':').and_then(|(n, url)| {
            let asks: Vec<_> = (0..number(n)?).map(|_| Ask::get(url).start()).collect();
            let responses = asks
                .into_iter()
                .map(|ask| ask.and_then(ask::finish))
                .enumerate();
            Ok(responses
                .map(|(n, response)| item(n, &ask::outcome(response)))
                .collect())
        }),
        "follow" => {
            let first = Ask::get(how).send();
            let location = first
                .as_ref()
                .ok()
                .and_then(|response| response.location.clone());
            let second = location.map(|location| Ask::get(&location).send());
            let all = iter::once(first).chain(second).enumerate();
            Ok(all
                .map(|(n, response)| item(n, &ask::outcome(response)))
                .collect())
        }
        "chase" => {
            let location = Ask::get(how).send().ok().and_then(|first| first.location);
            let second = Ask::get(&location.unwrap_or_default()).send();
            second
                .map(|response| vec![item(0, &ask::outcome(Ok(response)))])
                .map_err(Error::Other)
        }
        "method" | "finished" => pair(how, ':').map(|(method, url)| {
            let finished = what == "finished";
            let with_method = Ask::with_method(method, url, finished);
            vec![item(0, &ask::outcome(with_method.send()))]
        }),
        "patient" => Ok(timed(how, Duration::from_secs(3600))),
        "hasty" => Ok(timed(how, Duration::from_secs(100))),
        "header" => pair(how, ':').and_then(|(header, url)| {
            let with_header = Ask {
                header: Some(pair(header, '=')?),
                ..Ask::get(url)
            };
            Ok(vec![item(0, &ask::outcome(with_header.send()))])
        }),
        "path" => pair(how, '|').map(|(path, url)| {
            let with_path = Ask {
                path: Some(path),
                ..Ask::get(url)
            };
            vec![item(0, &ask::outcome(with_path.send()))]
        }),
        "post" | "abandon" => pair(how, ':').and_then(|(length, rest)| {
            let (bytes, url) = pair(rest, ':')?;
            let post = Ask {
                post: Some((Some(number(length)?), number(bytes)?)),
                abandon: what == "abandon",
                ..Ask::get(url)
            };
            Ok(vec![item(0, &ask::outcome(post.send()))])
        }),
        "upload" => pair(how, ':').and_then(|(framing, rest)| {
            let (end, url) = pair(rest, ':')?;
            let result = upload::run(framing, end, url).map_err(Error::Other)?;
            Ok(vec![item(0, &result)])
        }),
        "stream" => pair(how, ':').and_then(|(bytes, url)| {
            let post = Ask {
                post: Some((None, number(bytes)?)),
                ..Ask::get(url)
            };
            Ok(vec![item(0, &ask::outcome(post.send()))])
        }),
        "need" => match Ask::get(how).send() {
            Ok(response) => Ok(vec![item(0, &ask::outcome(Ok(response)))]),
            Err(reason) => Err(Error::Other(reason)),
        },
        "blame" => pair(how, ':').and_then(|(case, urls)| {
            for url in urls.split('|') {
                drop(Ask::get(url).send());
            }
            Err(error(case))
        }),
        "ask-trap" => {
            drop(Ask::get(how).send());
            core::arch::wasm32::unreachable()
        }
        "hold" => {
            let _held = Ask::get(how).start().and_then(ask::head);
            thread::sleep(Duration::MAX);
            Ok(vec![])
        }
        _ => return None,
    })
}

fn timed(url: &str, timeout: Duration) -> Vec<Item> {
    let timed = Ask {
        timeouts: Some(timeout),
        ..Ask::get(url)
    };
    vec![item(0, &ask::outcome(timed.send()))]
}

fn item(id: impl ToString, body: &Value) -> Item {
    Item {
        id: id.to_string(),
        body: body.to_string(),
    }
}

fn number(digits: &str) -> Result<usize, Error> {
    digits
        .parse()
        .map_err(|_| Error::InvalidKey(format!("`{digits}` is no number")))
}

fn pair(text: &str, separator: char) -> Result<(&str, &str), Error> {
    let missing = || Error::InvalidKey(format!("`{text}` lacks a `{separator}`"));
    text.split_once(separator).ok_or_else(missing)
}

fn error(how: &str) -> Error {
    let text = || "failed\n\x1b[7mon demand".to_owned();
    let (case, rest) = how.split_once(':').unwrap_or((how, ""));
    match case {
        "invalid-key" => Error::InvalidKey(text()),
        "not-found" => Error::NotFound,
        "upstream-status" => Error::UpstreamStatus(rest.parse().unwrap_or(500)),
        "upstream-unavailable" => Error::UpstreamUnavailable(text()),
        "upstream-malformed" => Error::UpstreamMalformed(text()),
        "denied" => Error::Denied(text()),
        "rate-limited" => Error::RateLimited(rest.parse().ok()),
        "other" => Error::Other(text()),
        _ => no_such(how),
    }
}

fn no_such(x: &str) -> Error {
    Error::InvalidKey(format!("`{x}` is not in the table of this client"))
}

/// Not tail recursion, which could be compiled to a loop: each call uses its frame after the inner call has returned.
#[expect(unconditional_recursion, reason = "the key requests it")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1)) + depth)
}

/// Grows the memory by single pages, to get as close to a limit as possible, and writes to every byte of each: the host
/// only allocates pages that are written to.
#[expect(unsafe_code, reason = "memory outside of the allocator")]
fn grow(bytes: usize) -> usize {
    use core::arch::wasm32::{memory_grow, memory_size};
    while memory_size::<0>() * PAGE < bytes {
        let page = memory_grow::<0>(1);
        if page == usize::MAX {
            break;
        }
        // SAFETY: the page is new, and the allocator uses only pages that it has added itself.
        unsafe { core::ptr::write_bytes((page * PAGE) as *mut u8, 1, PAGE) };
    }
    memory_size::<0>() * PAGE
}

/// Prints `lines` lines between the first words and the last ones.
fn last_words(lines: usize) -> Vec<Item> {
    eprintln!("the first words");
    for line in 0..lines {
        eprintln!("line {line} of those that hide the reason of a crash");
    }
    panic!("the last words");
}

fn log(bytes: usize) -> Vec<Item> {
    const LINE: &[u8] = b"\x1b[31mred\x1b[2J\x1b]0;title\x07\rover\x08\n";
    let flood: Vec<u8> = LINE.iter().copied().cycle().take(bytes).collect();
    let written = [
        io::stdout().write_all(&flood),
        io::stderr().write_all(&flood),
    ];
    let written = written.map(|result| result.map_err(|error| error.to_string()).err());
    vec![item("log", &json!(written))]
}
