//! Keys with characters that have a meaning in a URL: the upstream must get each as one part of the URL, or no request.

use crate::cli::test::finding::Judgement;
use crate::cli::test::kit::{Kit, Observed, PLAIN_KEY, Situation};
use crate::cli::test::seen_request::SeenRequest;

pub(super) const SITUATIONS: usize = KEYS.len();

const ENCODE: &str = "percent-encode every byte of the key except letters, digits, `-`, `.`, `_` and `~` when it becomes a \
                      part of the URL, or return invalid-key";

/// What a client may do with a key instead of requesting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyRefusal {
    /// Refuse it: such keys seldom exist.
    Fine,
    /// Only if its upstream has no such keys.
    Questionable,
}

struct KeyCase {
    situation: Situation,
    key: Key,
    refusal: KeyRefusal,
}

enum Key {
    Text(&'static str),
    /// This many letters.
    Long(usize),
}

impl Key {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Long(length) => "k".repeat(*length),
        }
    }
}

macro_rules! keys {
    ($($id:literal, $title:literal, $key:expr, $refusal:ident;)+) => {
        [$(KeyCase {
            situation: Situation { id: $id, title: $title },
            key: $key,
            refusal: KeyRefusal::$refusal,
        }),+]
    };
}

const KEYS: [KeyCase; 11] = keys![
    "key-reserved", "a key of all reserved characters",
        Key::Text("a b!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~z"), Questionable;
    "key-path", "a key that climbs to another path", Key::Text("../admin/delete?all=1"), Fine;
    "key-query", "a key with another parameter", Key::Text("a&role=admin&id=b"), Questionable;
    "key-fragment", "a key with a fragment", Key::Text("a#b"), Questionable;
    "key-encoded", "a key that is percent-encoded already", Key::Text("%2e%2e%2fadmin"), Questionable;
    "key-plus", "a key with a plus sign and a space", Key::Text("a+b c"), Questionable;
    "key-dots", "the key ..", Key::Text(".."), Fine;
    "key-lines", "a key with line breaks", Key::Text("a\r\nx-injected: 1\r\n\r\nb"), Fine;
    "key-unicode", "a key that is not ASCII", Key::Text("Zoë/東京 🛩"), Questionable;
    "key-long", "a key of 2,000 letters", Key::Long(2_000), Questionable;
    "key-empty", "the empty key", Key::Text(""), Fine;
];

pub(super) async fn run(kit: &mut Kit) -> anyhow::Result<()> {
    for case in &KEYS {
        let began = kit.begin(case.situation);
        let key = case.key.text();
        let answering = kit.good_response();
        let observed = kit.observe(&key, answering).await?;
        let judgement = judge(kit, &observed, &key, case.refusal);
        kit.keep(case.situation, began, Some(&observed), judgement);
    }
    Ok(())
}

fn judge(kit: &Kit, observed: &Observed, key: &str, refusal: KeyRefusal) -> Judgement {
    if observed.has_crashed() {
        return Judgement::fail(
            "the client crashed",
            "return invalid-key for a key that cannot be requested",
        );
    }
    if observed.requests.number == 0 {
        return unrequested(observed, refusal);
    }
    let plain = &kit.plain.first;
    let requests = &observed.requests.first;
    let differs = requests
        .iter()
        .zip(plain)
        .find(|(request, plain)| !request.is_for(key, plain, PLAIN_KEY));
    if let Some((request, plain)) = differs {
        let expected = SeenRequest::expected(plain, PLAIN_KEY, key);
        return Judgement::fail(
            format!(
                "the upstream got {request} instead of {expected}: the key decides what is requested"
            ),
            ENCODE,
        );
    }
    if let Some(dots) = requests.iter().find(|request| request.has_dot_segment()) {
        return Judgement::fail(
            format!(
                "the upstream got {dots}, and servers resolve `.` and `..`, also if they are encoded"
            ),
            "return invalid-key for the keys `.` and `..`, or put the key into the query",
        );
    }
    if observed.requests.number != kit.plain.number {
        return Judgement::fail(
            format!(
                "the upstream got {} requests instead of {}",
                observed.requests.number, kit.plain.number
            ),
            ENCODE,
        );
    }
    if key.is_empty() && plain.iter().any(|request| request.has_in_path(PLAIN_KEY)) {
        return Judgement::advice(
            format!(
                "the upstream got {}, which many servers answer with a list of everything",
                observed.first_request()
            ),
            "return invalid-key for the empty key, unless your upstream has it",
        );
    }
    let request = observed.first_request();
    match observed.code() {
        _ if !plain.iter().any(|request| request.has(PLAIN_KEY)) => Judgement::advice(
            format!("the upstream got {request}, which does not have the key"),
            "make sure that the key is escaped where the client puts it, in the header section or the body",
        ),
        "ok" => Judgement::pass(request),
        code => Judgement::advice(
            format!("the upstream got {request} and answered, and the caller got {code}"),
            "return the answer, or return invalid-key before anything is requested",
        ),
    }
}

/// The client has requested nothing.
fn unrequested(observed: &Observed, refusal: KeyRefusal) -> Judgement {
    match (observed.code(), refusal) {
        // Functions of one's own may have no case for invalid keys.
        ("invalid-key" | "not-found", KeyRefusal::Fine) => {
            Judgement::pass("refused, without a request")
        }
        ("invalid-key", KeyRefusal::Questionable) => Judgement::advice(
            "refused, without a request",
            "this is right if your upstream has no such keys; otherwise percent-encode them",
        ),
        ("ok", _) => Judgement::fail(
            "answered, without a request",
            "request each key: what an earlier call has returned can be old, and belongs to another flight",
        ),
        (code, _) => Judgement::advice(
            format!("no request, and {code}"),
            "return invalid-key for a key that cannot be requested",
        ),
    }
}
