//! The situations, in the order in which they are tried.

mod failures;
mod keys;
mod responses;
mod together;

use oneflight::Engine;

use super::finding::{Judgement, Verdict};
use super::kit::{Kit, PLAIN_KEY, Situation};
use super::tested_client::ClientSpec;
use crate::cli::format::count;

/// How many situations there are.
pub(super) const NUMBER: usize =
    2 + keys::SITUATIONS + responses::SITUATIONS + failures::SITUATIONS + together::SITUATIONS;

const PLAIN: Situation = Situation {
    id: "plain-key",
    title: "a plain key, and the usual answer",
};

const CRASHES: Situation = Situation {
    id: "crashes",
    title: "what a crash leaves in the log",
};

/// Tries all of them. If the client does not even return the usual answer, the others would show nothing, and are left
/// out.
pub(super) async fn run(kit: &mut Kit, spec: &ClientSpec, engine: &Engine) -> anyhow::Result<()> {
    if plain(kit).await? == Verdict::Fail {
        return Ok(());
    }
    keys::run(kit).await?;
    responses::run(kit).await?;
    together::run(kit, spec, engine).await?;
    // The last one stops the upstream.
    failures::run(kit, spec, engine).await?;
    crashes(kit);
    Ok(())
}

async fn plain(kit: &mut Kit) -> anyhow::Result<Verdict> {
    let began = kit.begin(PLAIN);
    let answering = kit.good_response();
    let observed = kit.observe(PLAIN_KEY, answering).await?;
    let judgement = match (observed.requests.number, observed.code()) {
        (0, code) => Judgement::fail(
            format!("the upstream got no request, and the caller {code}"),
            "let the client read the upstream's URL from the setting that --base-url-setting names; if its URL is \
             fixed, choose its port with --port",
        ),
        (_, "ok") => {
            let request = observed.first_request();
            let items = observed.result.as_ref().ok().and_then(|ok| ok.items());
            match items.map(|items| items.as_slice().len()) {
                Some(0) => Judgement::fail(
                    format!("{request} was answered, and the client returned no items"),
                    "return an item for each element; if the upstream's answers have another form, pass one with --answer FILE",
                ),
                Some(number) => {
                    Judgement::pass(format!("{request}, {}", count(number as u64, "item")))
                }
                None => Judgement::pass(request),
            }
        }
        (_, code) => Judgement::fail(
            format!(
                "{} was answered, and the caller got {code}",
                observed.first_request()
            ),
            "if the upstream's answers have another form than [{\"id\": \"a\"}], pass one with --answer FILE",
        ),
    };
    let verdict = judgement.verdict;
    kit.plain = observed.requests.clone();
    kit.keep(PLAIN, began, Some(&observed), judgement);
    Ok(verdict)
}

/// Whether the log says why the guest crashed, if it did.
fn crashes(kit: &mut Kit) {
    let began = kit.begin(CRASHES);
    let judgement = match &kit.crash {
        None => Judgement::pass("no crash so far"),
        Some(text) if text.contains("stderr: ") || text.contains("; raise ") => {
            Judgement::pass(text.clone())
        }
        Some(text) => Judgement::advice(
            text.clone(),
            "print the reason on standard error before the client ends: the log then has it",
        ),
    };
    kit.keep(CRASHES, began, None, judgement);
}
