//! `oneflight call`: calls of any function from a terminal.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use futures_util::future::join_all;
use oneflight::client::Client;
use oneflight::model::{Function, SharePattern};
use oneflight::printable::{Escape, escape};
use oneflight::{ClientError, ClientMetrics, Outcome, Stack};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client::ClientFlags;
use super::proxy;
use super::stderr::print_line;
use super::summary::Summary;

/// How many bytes of an answer are printed as WAVE.
const MAX_PRINTED_BYTES: usize = 64 << 20;

/// Calls a function of a component, and prints its answer as WAVE. A summary of the calls goes to stderr.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CallCommand {
    /// The function and its arguments as WAVE, as in 'get-order("42", some(eu))'. Its interface, if that is needed, is
    /// before it: 'acme:orders/orders#get-order("42")'.
    #[arg(value_name = "CALL")]
    call: String,

    /// The number of concurrent callers. They share a flight, if the function is listed by --share.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,

    /// A function whose callers share a flight if their arguments are equal, as in the client's setting share. `*` at its
    /// end stands for anything.
    #[arg(long, value_name = "FUNCTION")]
    share: Vec<SharePattern>,

    /// Prints one JSON object with the answer and the summary.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientFlags,
}

const EXAMPLES: &str = "\
Examples:
  oneflight call 'get-order(\"42\", some(eu))' --component orders.wasm --allow https://api.example.com
  oneflight call 'get-order(\"42\")' --component orders.wasm --share 'get-*' --callers 200
  oneflight check orders.wasm                        lists the functions, with a call of each";

impl CallCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.client.has_proxy() {
            proxy::warn_of_unused();
        }
        let component = self.client.load_sharing(&self.share).await?;
        let call = component.functions().call(&self.call)?;
        if *call.function() == Function::GetItems {
            bail!("expected a typed function, got get-items; run oneflight get KEY");
        }
        let metrics = ClientMetrics::default();
        let client = Stack::new(component.clone(), component.settings(), metrics);
        let began = Instant::now();
        let calls = (0..self.callers).map(|_| client.call(call.clone().into()));
        let replies = join_all(calls).await;
        let summary = Summary::new(
            &replies,
            component.usage().upstream_requests,
            began.elapsed(),
        );
        let failed = replies.iter().find(|reply| reply.result.is_err());
        let result = &failed.unwrap_or(&replies[0]).result;
        if self.json {
            let json = as_json(result, &summary)?;
            writeln!(stdout(), "{}", escape(&json, Escape::Json, |_| true))?;
        } else {
            print(result)?;
            print_line!("{summary}");
        }
        Ok(if result.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn print(result: &Result<Outcome, ClientError>) -> anyhow::Result<()> {
    match result {
        Ok(outcome) => {
            let wave = outcome.value().map(|value| value.wave(MAX_PRINTED_BYTES));
            writeln!(stdout(), "{}", wave.unwrap_or_default())?;
        }
        Err(error) => {
            let err = error
                .err()
                .map(|err| format!(": {}", err.value().wave(MAX_PRINTED_BYTES)));
            print_line!(
                "error: {error}{} ({})",
                err.unwrap_or_default(),
                error.code()
            );
        }
    }
    Ok(())
}

fn as_json(result: &Result<Outcome, ClientError>, summary: &Summary) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        answer: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        err: Option<Box<RawValue>>,
        #[serde(flatten)]
        summary: &'a Summary,
    }
    let raw =
        |json: bytes::Bytes| anyhow::Ok(RawValue::from_string(String::from_utf8(json.into())?)?);
    let error = result.as_ref().err();
    let answer = result.as_ref().ok().map(|outcome| raw(outcome.json()));
    let err = error
        .and_then(ClientError::err)
        .map(|err| err.json().clone());
    Ok(serde_json::to_string(&Document {
        answer: answer.transpose()?,
        code: error.map(ClientError::code),
        error: error.map(ToString::to_string),
        err: err.map(raw).transpose()?,
        summary,
    })?)
}
