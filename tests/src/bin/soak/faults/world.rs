//! The upstreams that misbehave, and the file of the service in front of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use oneflight_tests::artifacts;
use oneflight_tests::folder::Folder;
use oneflight_tests::frames::{Frames, NO_ERROR, REFUSED_STREAM, Reply};
use oneflight_tests::tls::Identity;
use oneflight_tests::uploads::{Upload, Uploads};
use oneflight_tests::upstream::{Answer, ITEMS, Upstream};

/// All upstreams, each with a client of its own.
pub(super) struct World {
    _upstreams: Vec<(&'static str, Upstream)>,
    _refusing: Frames,
    uploads: Mutex<[Uploads; 2]>,
    /// The requests that `uploads` took for whole.
    whole_uploads: AtomicUsize,
    /// The origins of `uploads`.
    upload_origins: [String; 2],
    file: String,
    _folder: Folder,
}

impl World {
    pub(super) async fn start() -> Self {
        let identity = Identity::new(&["127.0.0.1"]);
        let mut upstreams = Vec::new();
        for (name, answer) in answers() {
            upstreams.push((name, Upstream::start(answer).await));
        }
        let refusing = Frames::start(&identity, refusals()).await;
        let uploads = [
            Uploads::start(None).await,
            Uploads::start(Some(&identity)).await,
        ];
        let upload_origins = uploads.each_ref().map(Uploads::origin);
        let folder = Folder::new();
        folder.write("ca.pem", identity.pem().as_bytes());
        let mut text = "[limits]\nidle_timeout = '2s'\nmax_connections = 200\n".to_owned();
        for (name, upstream) in &upstreams {
            let base_url = format!("{}/{{x}}", upstream.origin());
            text += &client(name, &format!("base_url = '{base_url}'"), "fresh");
        }
        let base_url = format!(
            "base_url = '{}/{{x}}'\nca_file = 'ca.pem'",
            refusing.origin()
        );
        text += &client("refusing", &base_url, "fresh");
        for (name, instances) in GUESTS.into_iter().chain(HASTY_GUESTS) {
            let guest = format!(
                "component = '{}'\nallow = {upload_origins:?}\nca_file = 'ca.pem'",
                artifacts::MISBEHAVING
            );
            text += &client(name, &guest, instances);
        }
        Self {
            _upstreams: upstreams,
            _refusing: refusing,
            uploads: Mutex::new(uploads),
            whole_uploads: AtomicUsize::new(0),
            upload_origins,
            file: folder.write("oneflight.toml", text.as_bytes()),
            _folder: folder,
        }
    }

    /// The path of the service's file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// An origin that takes uploads, over HTTP/1.1 or HTTP/2.
    pub(super) fn upload_origin(&self, number: u64) -> &str {
        &self.upload_origins[(number % 2) as usize]
    }

    /// The requests so far that an upstream took for whole. The guests finish none.
    pub(super) fn whole_uploads(&self) -> usize {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let events = uploads.iter_mut().flat_map(Uploads::seen);
        let whole = events.filter(|event| matches!(event, Upload::Whole(..)));
        let whole = whole.count();
        self.whole_uploads.fetch_add(whole, Ordering::Relaxed) + whole
    }
}

/// The clients of the guest that misbehaves, with fresh and with reused instances.
pub(super) const GUESTS: [(&str, &str); 2] = [("guest", "fresh"), ("reused", "reused")];

/// The same, with a deadline that comes soon.
pub(super) const HASTY_GUESTS: [(&str, &str); 2] = [("hasty", "fresh"), ("hasty-reused", "reused")];

/// The clients whose flights run into their deadline. Flights of the others do not, even on a busy machine.
const HASTY: [&str; 3] = ["silent", HASTY_GUESTS[0].0, HASTY_GUESTS[1].0];

fn client(name: &str, settings: &str, instances: &str) -> String {
    let timeout = if HASTY.contains(&name) { "500ms" } else { "1m" };
    format!(
        "[clients.{name}]\n{settings}\ninstances = '{instances}'\nlimits.idle_timeout = '1s'\n\
         limits.flight_timeout = '{timeout}'\nlimits.request_timeout = '1m'\nlimits.first_byte_timeout = '1m'\n"
    )
}

/// The upstreams over HTTP/1.1, by the names of their clients.
fn answers() -> Vec<(&'static str, Answer)> {
    let marked = [b"\xef\xbb\xbf", ITEMS.as_bytes()].concat();
    vec![
        ("closing", Answer::OneEach("")),
        ("broken", Answer::BrokenBody),
        ("endless-body", Answer::EndlessBody),
        ("endless-head", Answer::EndlessHead),
        ("silent", Answer::NoHead),
        ("busy", Answer::Status(429, "retry-after: 1\r\n")),
        ("marked", Answer::Bytes("", marked)),
        (
            "compressed",
            Answer::Bytes("content-encoding: gzip\r\n", vec![0x1f, 0x8b]),
        ),
    ]
}

/// Each refused request is followed by one that is answered, on another connection.
fn refusals() -> impl Iterator<Item = Reply> {
    let turn = [
        Reply::Items,
        Reply::Reset(REFUSED_STREAM),
        Reply::Items,
        Reply::GoAwayBefore(NO_ERROR),
        Reply::Items,
        Reply::GoAwayAndItems,
    ];
    turn.into_iter().cycle().take(6_000_000)
}
