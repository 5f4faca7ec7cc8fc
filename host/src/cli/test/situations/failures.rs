//! Requests that get no complete response, or none at all.

use std::time::Duration;

use bytes::Bytes;

use oneflight::{Engine, Limits};

use super::responses::{expect, hint, once};
use crate::cli::test::good_answer::GoodAnswer;
use crate::cli::test::kit::{Kit, PLAIN_KEY, Situation};
use crate::cli::test::kit_upstream::Answering;
use crate::cli::test::tested_client::ClientSpec;

pub(super) const SITUATIONS: usize = CUT.len() + SLOW.len() + 2;

/// The deadline of a flight whose upstream takes too long. Each of these situations takes four fifths of it.
const SHORT_FLIGHT: Duration = Duration::from_millis(1_500);

const INCOMPLETE: &str = "treat the end of a body as complete only if reading it has ended without an error, and return \
                          upstream-unavailable otherwise";
const UNAVAILABLE: &str =
    "return upstream-unavailable when the request fails, or denied if the host says so";

struct FailureCase {
    situation: Situation,
    answering: fn(&GoodAnswer) -> Answering,
    change: &'static str,
}

const fn failure(
    id: &'static str,
    title: &'static str,
    answering: fn(&GoodAnswer) -> Answering,
    change: &'static str,
) -> FailureCase {
    FailureCase {
        situation: Situation { id, title },
        answering,
        change,
    }
}

/// What arrives of a body that is cut is a complete JSON document: only the length, or the last chunk, shows the cut.
const CUT: [FailureCase; 3] = [
    failure(
        "cut-length",
        "a body shorter than its Content-Length",
        |good| Answering::Response(good.announcing(10)),
        INCOMPLETE,
    ),
    failure(
        "cut-chunked",
        "a body without its last chunk",
        |good| Answering::Response(good.without_last_chunk()),
        INCOMPLETE,
    ),
    failure(
        "closed",
        "a connection that closes without an answer",
        |_| Answering::Response(Bytes::new()),
        UNAVAILABLE,
    ),
];

const SLOW: [FailureCase; 2] = [
    failure(
        "slow",
        "an upstream that does not answer in time",
        |_| Answering::Silence,
        UNAVAILABLE,
    ),
    failure(
        "drip",
        "a body that arrives byte by byte",
        |good| Answering::Drip(good.announcing(1_000)),
        INCOMPLETE,
    ),
];

const DENIED: Situation = Situation {
    id: "denied",
    title: "an upstream that the policy does not allow",
};

const REFUSED: Situation = Situation {
    id: "refused",
    title: "an upstream that does not listen",
};

pub(super) async fn run(kit: &mut Kit, spec: &ClientSpec, engine: &Engine) -> anyhow::Result<()> {
    for case in &CUT {
        let began = kit.begin(case.situation);
        let answering = (case.answering)(&kit.good);
        let observed = kit.observe(PLAIN_KEY, answering).await?;
        let judgement = expect(&observed, "upstream-unavailable", case.change, hint);
        let judgement = once(kit, &observed, judgement);
        kit.keep(case.situation, began, Some(&observed), judgement);
    }
    let origins = kit.upstream.origins();
    let hasty = spec.load(engine, &origins, |settings| {
        let limits: Limits = settings.limits.clone();
        settings.limits = limits.with_flight_timeout(SHORT_FLIGHT);
    });
    let hasty = hasty.await?;
    for case in &SLOW {
        let began = kit.begin(case.situation);
        kit.upstream.answer((case.answering)(&kit.good));
        let observed = kit.observe_by(Some(&hasty), PLAIN_KEY).await?;
        let judgement = expect(&observed, "upstream-timeout", case.change, hint);
        let judgement = once(kit, &observed, judgement);
        kit.keep(case.situation, began, Some(&observed), judgement);
    }
    let began = kit.begin(DENIED);
    let denied = spec.load(engine, &origins, |settings| settings.policy.allow.clear());
    let denied = denied.await?;
    let answering = kit.good_response();
    kit.upstream.answer(answering);
    let observed = kit.observe_by(Some(&denied), PLAIN_KEY).await?;
    let judgement = expect(&observed, "upstream-denied", UNAVAILABLE, hint);
    kit.keep(DENIED, began, Some(&observed), judgement);

    let began = kit.begin(REFUSED);
    kit.upstream.stop().await;
    let observed = kit.observe_by(None, PLAIN_KEY).await?;
    let judgement = expect(&observed, "upstream-unavailable", UNAVAILABLE, hint);
    kit.keep(REFUSED, began, Some(&observed), judgement);
    Ok(())
}
