//! [`Kit`]: calls the client in one situation after the other, and keeps what has been found.

use std::time::Instant;

use oneflight::{ClientError, Outcome};

use super::finding::{Finding, Judgement, Verdict};
use super::good_answer::{GoodAnswer, JSON};
use super::kit_upstream::{Answering, KitUpstream, SeenRequests};
use super::log_recorder::{LogRecorder, LoggedLine};
use super::seen_request::SeenRequest;
use super::tested_client::TestedClient;

/// A key without characters that have a meaning in a URL.
pub(super) const PLAIN_KEY: &str = "oneflight-test";

/// How many lines of the log a finding has.
const MAX_LOG_LINES: usize = 3;

/// What the situations share.
pub(super) struct Kit {
    pub(super) upstream: KitUpstream,
    pub(super) client: TestedClient,
    pub(super) good: GoodAnswer,
    pub(super) log: LogRecorder,
    /// The requests of a call with the plain key.
    pub(super) plain: SeenRequests,
    /// A crash of the guest in any situation, as it was logged.
    pub(super) crash: Option<String>,
    pub(super) findings: Vec<Finding>,
    /// Called with the title of each situation before it begins.
    pub(super) progress: Box<dyn FnMut(usize, &'static str) + Send>,
}

/// A situation: its stable name, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
}

/// What was observed of a call.
pub(super) struct Observed {
    pub(super) result: Result<Outcome, ClientError>,
    pub(super) requests: SeenRequests,
    pub(super) log: Vec<LoggedLine>,
}

impl Observed {
    /// `ok`, or the code of the error.
    pub(super) fn code(&self) -> &'static str {
        self.result.as_ref().err().map_or("ok", ClientError::code)
    }

    /// The error, by the case that names it.
    pub(super) fn error(&self) -> Option<&ClientError> {
        self.result.as_ref().err().map(ClientError::named)
    }

    /// Whether the guest crashed, also if the host's own code hides it.
    pub(super) fn has_crashed(&self) -> bool {
        self.code() == "guest-trap" || self.log.iter().any(LoggedLine::is_crash)
    }

    /// The first request of the upstream as text.
    pub(super) fn first_request(&self) -> String {
        let first = self.requests.first.first();
        first.map_or_else(|| "no request".to_owned(), SeenRequest::to_string)
    }
}

impl Kit {
    /// The usual response.
    pub(super) fn good_response(&self) -> Answering {
        Answering::Response(self.good.response(200, JSON))
    }

    /// Calls the client with `key`, while the upstream answers like this.
    pub(super) async fn observe(
        &mut self,
        key: &str,
        answering: Answering,
    ) -> anyhow::Result<Observed> {
        self.upstream.answer(answering);
        self.observe_by(None, key).await
    }

    /// Calls the client, or another load of it, with `key`, while the upstream answers as it does.
    pub(super) async fn observe_by(
        &mut self,
        other: Option<&TestedClient>,
        key: &str,
    ) -> anyhow::Result<Observed> {
        self.log.take();
        let client = other.unwrap_or(&self.client);
        let result = client.call(client.call_with(key)?).await;
        // A call that never returns is what the deadline of a flight excludes.
        let result = result.unwrap_or(Err(ClientError::Internal));
        Ok(self.observed(result))
    }

    /// What was observed until a call ended with `result`.
    pub(super) fn observed(&mut self, result: Result<Outcome, ClientError>) -> Observed {
        let log = self.log.take();
        if let Some(crash) = log.iter().find(|line| line.is_crash()) {
            self.crash.get_or_insert_with(|| crash.text.clone());
        }
        Observed {
            result,
            requests: self.upstream.seen(),
            log,
        }
    }

    /// Announces a situation, and returns when it began.
    pub(super) fn begin(&mut self, situation: Situation) -> Instant {
        (self.progress)(self.findings.len() + 1, situation.title);
        Instant::now()
    }

    /// Keeps what a situation, which `began` then, has shown.
    pub(super) fn keep(
        &mut self,
        situation: Situation,
        began: Instant,
        observed: Option<&Observed>,
        judgement: Judgement,
    ) {
        let Judgement {
            verdict,
            found,
            change,
        } = judgement;
        let lines = observed.map_or(&[][..], |observed| &observed.log);
        let log = match verdict {
            Verdict::Pass => Vec::new(),
            _ => {
                let texts = lines.iter().map(|line| line.text.clone());
                texts.take(MAX_LOG_LINES).collect()
            }
        };
        let error = observed.and_then(|observed| observed.result.as_ref().err());
        self.findings.push(Finding {
            id: situation.id,
            title: situation.title,
            verdict,
            found,
            code: error.map_or("ok", ClientError::code),
            message: error.map(ToString::to_string).unwrap_or_default(),
            change,
            log,
            seconds: began.elapsed().as_secs_f64(),
        });
    }
}
