//! Several calls: with two keys at once, with one key at once, and one after the other on one instance.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use oneflight::{Engine, InstanceReuse, Instances};

use crate::cli::format::count;
use crate::cli::test::finding::Judgement;
use crate::cli::test::good_answer::{JSON, response};
use crate::cli::test::kit::{Kit, Observed, PLAIN_KEY, Situation};
use crate::cli::test::kit_upstream::Answering;
use crate::cli::test::tested_client::{ClientSpec, TestedClient};

pub(super) const SITUATIONS: usize = 3;

/// Callers of one key.
const CALLERS: usize = 50;

/// Calls of one instance, one after the other.
const CALLS: usize = 2_000;

/// The time that these calls may take. A slower client makes fewer.
const MAX_TIME: Duration = Duration::from_secs(10);

const TWO_KEYS: Situation = Situation {
    id: "two-keys",
    title: "two keys at the same time",
};

const SHARED: Situation = Situation {
    id: "shared",
    title: "50 callers of one key",
};

const REUSED: Situation = Situation {
    id: "reused",
    title: "2,000 calls of one instance",
};

pub(super) async fn run(kit: &mut Kit, spec: &ClientSpec, engine: &Engine) -> anyhow::Result<()> {
    two_keys(kit).await?;
    shared(kit).await?;
    let began = kit.begin(REUSED);
    let origins = kit.upstream.origins();
    let reused = spec.load(engine, &origins, |settings| {
        settings.instances = Instances::Reused(InstanceReuse {
            max_calls: u32::MAX,
            max_age: Duration::from_secs(3_600),
        });
    });
    let reused = reused.await?;
    let (observed, judgement) = sequence(kit, &reused).await?;
    kit.keep(REUSED, began, Some(&observed), judgement);
    Ok(())
}

/// One of two keys exists. Each caller must learn that of its own.
async fn two_keys(kit: &mut Kit) -> anyhow::Result<()> {
    const OTHER: &str = "oneflight-test-two";
    const CHANGE: &str = "keep nothing of a call in variables that another call sees";
    let began = kit.begin(TWO_KEYS);
    let missing = response(404, JSON, b"{}");
    let good = kit.good.response(200, JSON);
    kit.upstream
        .answer(Answering::ByText(OTHER.to_owned(), missing, good));
    let first = kit.client.call(kit.client.call_with(PLAIN_KEY)?);
    let second = kit.client.call(kit.client.call_with(OTHER)?);
    let (first, second) = join(first, second).await;
    let (Some(first), Some(second)) = (first, second) else {
        anyhow::bail!("expected two calls that end, got one that does not; report this");
    };
    let (first, second) = (kit.observed(first), kit.observed(second));
    let judgement = if !kit.plain.first.iter().any(|request| request.has(PLAIN_KEY)) {
        Judgement::pass("not tried: the requests do not have the key in their URLs")
    } else if first.has_crashed() || second.has_crashed() {
        Judgement::fail("the client crashed", CHANGE)
    } else if first.code() == "ok" && second.code() != "ok" {
        Judgement::pass(format!("{} and {}", first.code(), second.code()))
    } else if first.code() == "ok" && second.result.as_ref().is_ok_and(|ok| ok.items().is_none()) {
        Judgement::advice(
            "two values",
            "make sure that the value for 404 says that there is nothing",
        )
    } else {
        let found = format!(
            "{} for the key that exists, {} for the one that does not",
            first.code(),
            second.code()
        );
        Judgement::fail(found, CHANGE)
    };
    kit.keep(TWO_KEYS, began, Some(&first), judgement);
    Ok(())
}

async fn shared(kit: &mut Kit) -> anyhow::Result<()> {
    let began = kit.begin(SHARED);
    let good = kit.good.response(200, JSON);
    kit.upstream.answer(Answering::Held(good));
    let call = kit.client.call_with(PLAIN_KEY)?;
    let results = {
        let kit = &*kit;
        let calls = join_all((0..CALLERS).map(|_| kit.client.call(call.clone())));
        // Bounded by the deadline of the flight, which ends all calls.
        let release = async {
            while kit.client.callers() < CALLERS {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            kit.upstream.release();
            pending::<Infallible>().await
        };
        tokio::select! {
            results = calls => results,
            never = release => match never {},
        }
    };
    let requests = kit.upstream.seen().number;
    let answers = results.iter().flatten().filter(|result| result.is_ok());
    let answers = answers.count();
    let mut results: Vec<_> = results.into_iter().flatten().collect();
    results.sort_by_key(Result::is_ok);
    let observed = results.into_iter().next();
    let observed = observed.map(|result| kit.observed(result));
    let found = format!(
        "{answers} answers, {}",
        count(requests as u64, "upstream request")
    );
    let judgement = if answers == CALLERS && requests == kit.plain.number {
        Judgement::pass(found)
    } else {
        Judgement::fail(
            found,
            "return an answer for each call that the upstream answers",
        )
    };
    kit.keep(SHARED, began, observed.as_ref(), judgement);
    Ok(())
}

/// Calls one after the other on one instance, until one fails, and counts how often the host has replaced it.
async fn sequence(kit: &mut Kit, client: &TestedClient) -> anyhow::Result<(Observed, Judgement)> {
    const KEEP: &str = "release what a call has opened before it returns: response bodies, streams, requests, and memory";
    let good = kit.good.response(200, JSON);
    kit.upstream.answer(Answering::KeepAlive(good));
    let (began, mut replaced) = (Instant::now(), 0);
    let mut observed = kit.observe_by(Some(client), PLAIN_KEY).await?;
    let mut calls = 1;
    while calls < CALLS && observed.result.is_ok() && began.elapsed() < MAX_TIME {
        replaced += usize::from(client.idle_instances() == 0);
        observed = kit.observe_by(Some(client), PLAIN_KEY).await?;
        calls += 1;
    }
    let calls = match calls {
        CALLS => "2,000".to_owned(),
        calls => format!("after {} s, {calls}", MAX_TIME.as_secs()),
    };
    let judgement = match observed.code() {
        "ok" if replaced == 0 => Judgement::pass(format!("{calls} answers")),
        "ok" => Judgement::advice(
            format!(
                "{calls} answers, from {} instances: each was replaced when it held half of its memory or resources",
                replaced + 1
            ),
            KEEP,
        ),
        code => Judgement::fail(
            format!("{calls} calls, of which the last one got {code}"),
            KEEP,
        ),
    };
    Ok((observed, judgement))
}
