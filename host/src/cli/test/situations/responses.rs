//! Complete responses: statuses, and bodies that are not what the client expects.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use oneflight::{ClientError, Item};

use crate::cli::format::count;
use crate::cli::test::finding::{Judgement, Verdict};
use crate::cli::test::good_answer::{GoodAnswer, JSON, LONG_NUMBER, response};
use crate::cli::test::kit::{Kit, Observed, PLAIN_KEY, Situation};
use crate::cli::test::kit_upstream::Answering;

pub(super) const SITUATIONS: usize = RESPONSES.len();

/// The body of a login page or of an error page.
const HTML: &[u8] = b"<!doctype html><html><body><h1>Please log in</h1></body></html>";

/// 20 MB, of which the default limit permits the first 8 MiB.
const MANY_BYTES: usize = 20_000_000;

/// The time that a response with 429 states, in seconds.
const WAIT: u64 = 7;

struct ResponseCase {
    situation: Situation,
    /// `None` if the good answer is of a form for which there is none.
    answering: fn(&GoodAnswer) -> Option<Answering>,
    judge: fn(&Observed) -> Judgement,
}

macro_rules! responses {
    ($($id:literal, $title:literal, $answering:expr, $judge:expr;)+) => {
        [$(ResponseCase {
            situation: Situation { id: $id, title: $title },
            answering: $answering,
            judge: $judge,
        }),+]
    };
}

const RESPONSES: [ResponseCase; 16] = responses![
    "status-404", "404", |_| status(404, ""), not_found;
    "status-429-seconds", "429 with Retry-After in seconds", |_| status(429, "retry-after: 7\r\n"), |observed| limited(observed, true);
    "status-429-date", "429 with Retry-After as a date", |_| status(429, &retry_at()), |observed| limited(observed, true);
    "status-429", "429 without Retry-After", |_| status(429, ""), |observed| limited(observed, false);
    "status-503", "503", |_| status(503, ""), |observed| has_status(observed, 503);
    "status-401", "401", |_| status(401, "www-authenticate: Bearer\r\n"), |observed| has_status(observed, 401);
    "status-204", "204, without a body", |_| whole(response(204, "", b"")), no_items;
    "redirect", "a redirect", |_| status(302, "location: /elsewhere\r\n"), |observed| has_status(observed, 302);
    "body-html", "HTML with 200", |_| whole(response(200, "content-type: text/html\r\n", HTML)), |observed| malformed(observed, false);
    "body-not-utf8", "a body that is not UTF-8", |good| whole(good.not_utf8()), |observed| malformed(observed, true);
    "body-bom", "a body after a byte-order mark", |good| whole(good.with_byte_order_mark()), byte_order_mark;
    "body-other-form", "one object instead of a list", |good| whole(good.other_form()), other_form;
    "body-no-id", "an object without its id", |good| whole(good.without_id()), other_form;
    "body-empty", "an empty list", |good| whole(good.empty()?), no_items;
    "body-digits", "a number of 22 digits", |good| whole(good.with_long_number()?), digits;
    "body-20-mb", "a body of 20 MB", padded, too_large;
];

fn whole(response: Bytes) -> Option<Answering> {
    Some(Answering::Response(response))
}

fn status(status: u16, headers: &str) -> Option<Answering> {
    let headers = format!("{JSON}{headers}");
    whole(response(status, &headers, br#"{"error":"as requested"}"#))
}

fn retry_at() -> String {
    let at = SystemTime::now() + Duration::from_secs(WAIT);
    format!("retry-after: {}\r\n", httpdate::fmt_http_date(at))
}

fn padded(good: &GoodAnswer) -> Option<Answering> {
    Some(Answering::Padded(good.announcing(MANY_BYTES), MANY_BYTES))
}

pub(super) async fn run(kit: &mut Kit) -> anyhow::Result<()> {
    for case in &RESPONSES {
        let began = kit.begin(case.situation);
        let answering = (case.answering)(&kit.good);
        let is_derived = answering.is_some();
        let answering = answering.unwrap_or_else(|| kit.good_response());
        let observed = kit.observe(PLAIN_KEY, answering).await?;
        let judgement = match is_derived {
            true => once(kit, &observed, (case.judge)(&observed)),
            false => Judgement::pass("not tried: the usual answer is of another form"),
        };
        kit.keep(case.situation, began, Some(&observed), judgement);
    }
    Ok(())
}

/// The judgement of a call that made as many requests as others do. More of them are a retry, or a redirect that was
/// followed, which also explains an answer.
pub(super) fn once(kit: &Kit, observed: &Observed, judgement: Judgement) -> Judgement {
    let (sent, usual) = (observed.requests.number, kit.plain.number);
    let is_explained = judgement.verdict == Verdict::Pass || observed.code() == "ok";
    if sent <= usual || !is_explained {
        return judgement;
    }
    Judgement::advice(
        format!("the client sent {sent} requests for one call instead of {usual}"),
        "request once, and return what came of it: callers retry, and a redirect may point anywhere",
    )
}

/// The judgement of a call that cannot have an answer: it passes with the error `expected`. Otherwise the client has
/// crashed, or returned something as an answer, or another error, of which `judge` says what it means.
pub(super) fn expect(
    observed: &Observed,
    expected: &str,
    change: &str,
    judge: fn(String, String) -> Judgement,
) -> Judgement {
    let code = observed.code();
    if code == expected {
        return if observed.has_crashed() {
            let found =
                format!("{code}, although the client crashed: the host has recorded the failure");
            Judgement::advice(found, change)
        } else {
            Judgement::pass(code)
        };
    }
    match code {
        _ if observed.has_crashed() => Judgement::fail("the client crashed", change),
        "ok" => Judgement::fail("the caller gets an answer", change),
        // The host refuses what the client returned.
        "guest-malformed" => Judgement::fail("the client returned what is no answer", change),
        _ => judge(format!("{code} instead of {expected}"), change.to_owned()),
    }
}

/// Another error is worth a hint.
pub(super) fn hint(found: String, change: String) -> Judgement {
    Judgement::advice(found, change)
}

fn not_found(observed: &Observed) -> Judgement {
    const CHANGE: &str =
        "return not-found for 404: callers see that there is nothing, instead of a failure";
    match observed.code() {
        // Functions of one's own may have another way to say so.
        "client-error" => Judgement::advice(
            "client-error",
            "name the case of the error not-found, and callers get 404 and not 502",
        ),
        "ok" if observed
            .result
            .as_ref()
            .is_ok_and(|ok| ok.items().is_none()) =>
        {
            Judgement::advice(
                "a value",
                "make sure that the value says that there is nothing",
            )
        }
        _ => expect(observed, "not-found", CHANGE, Judgement::fail),
    }
}

fn limited(observed: &Observed, is_stated: bool) -> Judgement {
    const CHANGE: &str = "return rate-limited for 429, without a number: callers then get the upstream's Retry-After";
    match observed.error() {
        Some(ClientError::RateLimited { retry_after }) => match (retry_after, is_stated) {
            (Some(wait), true) if wait.as_secs() <= WAIT => {
                Judgement::pass(format!("rate-limited, Retry-After: {}", wait.as_secs()))
            }
            (None, false) => Judgement::pass("rate-limited"),
            (Some(wait), _) => {
                let found = format!("rate-limited, Retry-After: {}", wait.as_secs());
                Judgement::advice(
                    found,
                    "return the seconds that the upstream states, or none",
                )
            }
            (None, true) => Judgement::advice("rate-limited, without Retry-After", CHANGE),
        },
        _ => expect(observed, "rate-limited", CHANGE, hint),
    }
}

fn has_status(observed: &Observed, expected: u16) -> Judgement {
    const CHANGE: &str =
        "return upstream-status with the status, and do not read the body as an answer";
    match observed.error() {
        Some(ClientError::UpstreamStatus { status, .. }) if *status != expected => {
            let found = format!("upstream-status {status} instead of {expected}");
            Judgement::advice(found, CHANGE)
        }
        // Functions of one's own may have no case for each status.
        _ if matches!(observed.result, Err(ClientError::Client(_))) && !observed.has_crashed() => {
            Judgement::pass(observed.code())
        }
        _ => expect(observed, "upstream-status", CHANGE, hint),
    }
}

/// No items is an answer.
fn no_items(observed: &Observed) -> Judgement {
    const CHANGE: &str = "return an empty list, or not-found if your upstream means that";
    if observed.has_crashed() {
        return Judgement::fail("the client crashed", CHANGE);
    }
    let items = observed.result.as_ref().ok().and_then(|ok| ok.items());
    match (observed.code(), items.map(|items| items.as_slice().len())) {
        ("ok", Some(0)) => Judgement::pass("no items"),
        ("ok", None) => Judgement::pass("a value"),
        ("not-found", _) => Judgement::pass("not-found"),
        ("ok", Some(number)) => Judgement::advice(count(number as u64, "item"), CHANGE),
        ("guest-malformed", _) => Judgement::fail("the client returned what is no answer", CHANGE),
        (code, _) => Judgement::advice(code, CHANGE),
    }
}

fn malformed(observed: &Observed, may_be_replaced: bool) -> Judgement {
    const CHANGE: &str = "catch the failure of decoding or parsing, and return upstream-malformed";
    if may_be_replaced && observed.code() == "ok" {
        return Judgement::advice(
            "the caller gets an answer in which bytes were replaced or passed over",
            "decode UTF-8 strictly, and return upstream-malformed if that fails",
        );
    }
    expect(observed, "upstream-malformed", CHANGE, hint)
}

fn byte_order_mark(observed: &Observed) -> Judgement {
    const CHANGE: &str = "skip the bytes EF BB BF at the beginning of a body";
    match observed.code() {
        "ok" => Judgement::pass("ok"),
        _ if observed.has_crashed() => Judgement::fail("the client crashed", CHANGE),
        "guest-malformed" => Judgement::fail("the client returned what is no answer", CHANGE),
        code => Judgement::advice(code, CHANGE),
    }
}

/// JSON of another form. A client may take it for an answer, but not with an id that is none.
fn other_form(observed: &Observed) -> Judgement {
    const CHANGE: &str =
        "check the types of what was parsed, and return upstream-malformed if one is another";
    let items = observed.result.as_ref().ok().and_then(|ok| ok.items());
    let ids = items
        .into_iter()
        .flat_map(|items| items.as_slice())
        .map(Item::id);
    if let Some(id) = ids.into_iter().find(|id| is_no_id(id)) {
        return Judgement::fail(format!("an item has the id {id:?}"), CHANGE);
    }
    match observed.code() {
        "ok" => Judgement::pass("taken as it is"),
        _ => expect(observed, "upstream-malformed", CHANGE, hint),
    }
}

/// Whether this is what languages make of a value that is absent, or is no text.
fn is_no_id(id: &str) -> bool {
    let nothing = ["", "undefined", "null", "none", "nil", "<nil>", "nan", "{}"];
    nothing.contains(&&*id.to_ascii_lowercase()) || id.starts_with("[object")
}

fn digits(observed: &Observed) -> Judgement {
    const CHANGE: &str =
        "copy numbers as they are written: as a float, one of more than 15 digits is rounded";
    if observed.has_crashed() {
        return Judgement::fail("the client crashed", CHANGE);
    }
    match &observed.result {
        Err(error) => {
            Judgement::advice(error.code(), "ignore members that the client does not need")
        }
        Ok(outcome) => match outcome.items() {
            None => Judgement::pass("a value"),
            Some(items)
                if items
                    .as_slice()
                    .iter()
                    .any(|item| item.body().contains(LONG_NUMBER)) =>
            {
                Judgement::pass("copied")
            }
            Some(items) => {
                let with = items
                    .as_slice()
                    .iter()
                    .find(|item| item.body().contains("oneflight-test"));
                match with {
                    Some(_) => Judgement::advice("rounded", CHANGE),
                    None => Judgement::pass("not a part of an item"),
                }
            }
        },
    }
}

fn too_large(observed: &Observed) -> Judgement {
    const CHANGE: &str = "return upstream-unavailable when reading the body fails";
    let limit = observed
        .log
        .iter()
        .find(|line| line.is_crash() && line.text.contains("; raise max_"));
    if let Some(line) = limit {
        // Engines of some languages keep a resource for each part of a body.
        return Judgement::advice(
            format!("the client reached another limit first: {}", line.text),
            "read bodies of up to max_body_bytes within the other limits, or raise the one that is named",
        );
    }
    expect(observed, "upstream-response-too-large", CHANGE, hint)
}
