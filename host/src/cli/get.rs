//! `oneflight get`: real calls from a terminal.

use std::borrow::Cow;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use futures_util::future::join_all;
use oneflight::client::Client;
use oneflight::printable::{Escape, escape};
use oneflight::{Call, ClientError, ClientMetrics, Items, Outcome, Reply, Stack};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client::ClientFlags;
use super::proxy;
use super::stderr::print_line;
use super::summary::Summary;

/// Gets the items of each KEY and prints one line per item: its id, a tab, its JSON. With several keys, each line
/// begins with the key. A summary of the calls goes to stderr.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Get {
    /// The keys of the calls.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,

    /// The number of concurrent callers of each key.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,

    /// Prints one JSON object with the answers and the summary.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientFlags,
}

const EXAMPLES: &str = "\
Examples:
  oneflight get 42 --base-url 'http://localhost:3000/items?id={x}' --callers 200
  oneflight get 42 --base-url https://api.example.com/items \\
      --set ITEMS_AT=/data --set-from-env HEADER_AUTHORIZATION
  oneflight get 42 --component my-client.wasm --allow https://api.example.com";

/// The replies to the callers of one key.
struct KeyReplies<'a> {
    key: &'a str,
    replies: Vec<Reply>,
}

impl KeyReplies<'_> {
    /// The first failure, if there was one. With coalescing all callers got the same result.
    fn outcome(&self) -> &Result<Outcome, ClientError> {
        let failed = self.replies.iter().find(|reply| reply.result.is_err());
        &failed.unwrap_or(&self.replies[0]).result
    }

    fn failures(&self) -> usize {
        self.replies
            .iter()
            .filter(|reply| reply.result.is_err())
            .count()
    }
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.client.has_proxy() {
            proxy::warn_of_unused();
        }
        let component = self.client.load().await?;
        let client = Stack::new(
            component.clone(),
            component.settings(),
            ClientMetrics::default(),
        );
        let call_all = |key: &str| {
            let call = Call::from(key);
            join_all((0..self.callers).map(|_| client.call(call.clone().into())))
        };
        let began = Instant::now();
        let replies = join_all(self.keys.iter().map(|key| call_all(key))).await;
        let time = began.elapsed();
        let keys: Vec<KeyReplies<'_>> = self
            .keys
            .iter()
            .zip(replies)
            .map(|(key, replies)| KeyReplies { key, replies })
            .collect();
        let summary = {
            let replies = keys.iter().flat_map(|of| &of.replies);
            Summary::new(replies, component.usage().upstream_requests, time)
        };
        if self.json {
            writeln!(stdout(), "{}", visible(&as_json(&keys, &summary)?))?;
        } else {
            print(&keys)?;
            print_line!("{summary}");
        }
        let failed = keys.iter().any(|of| of.failures() > 0);
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn print(keys: &[KeyReplies<'_>]) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for of in keys {
        let key = of.key;
        match of.outcome() {
            Ok(items) if items.items().map_or(&[][..], Items::as_slice).is_empty() => {
                print_line!("{key:?}: no items")
            }
            Ok(items) => {
                let prefix = if keys.len() > 1 {
                    format!("{}\t", visible(key))
                } else {
                    String::new()
                };
                for item in items.items().map_or(&[][..], Items::as_slice) {
                    let body = without_spaces(item.body());
                    writeln!(out, "{prefix}{}\t{}", visible(item.id()), visible(&body))?;
                }
            }
            Err(error) => {
                let (failures, callers) = (of.failures(), of.replies.len());
                let some = if failures < callers {
                    format!(", {failures} of {callers} callers")
                } else {
                    String::new()
                };
                print_line!("error: {key:?}: {error} ({}{some})", error.code());
            }
        }
    }
    Ok(())
}

/// A JSON document without the white space outside of strings. It is not parsed, so numbers keep their digits.
fn without_spaces(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&char| {
            match char {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            in_string || !char.is_ascii_whitespace()
        })
        .collect()
}

/// Escapes characters as in JSON, so that an upstream can neither break a line nor control the terminal.
fn visible(text: &str) -> Cow<'_, str> {
    escape(text, Escape::Json, |_| true)
}

fn as_json(keys: &[KeyReplies<'_>], summary: &Summary) -> anyhow::Result<String> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry<'a> {
        Items {
            key: &'a str,
            items: Box<RawValue>,
        },
        Error {
            key: &'a str,
            code: &'static str,
            error: String,
        },
    }
    #[derive(Serialize)]
    struct Document<'a> {
        answers: Vec<Entry<'a>>,
        #[serde(flatten)]
        summary: &'a Summary,
    }
    let mut answers = Vec::with_capacity(keys.len());
    for of in keys {
        answers.push(match of.outcome() {
            Ok(items) => {
                let json = String::from_utf8(items.json().into())?;
                Entry::Items {
                    key: of.key,
                    items: RawValue::from_string(json)?,
                }
            }
            Err(error) => Entry::Error {
                key: of.key,
                code: error.code(),
                error: error.to_string(),
            },
        });
    }
    Ok(serde_json::to_string(&Document { answers, summary })?)
}

#[cfg(test)]
mod tests {
    use super::{visible, without_spaces};

    #[test]
    fn an_item_loses_its_white_space_and_keeps_its_strings_and_numbers() {
        let json = "{\n  \"a \\\" b\": [ 1.00, \"\\\\\" , true ]\r\n}";
        assert_eq!(without_spaces(json), r#"{"a \" b":[1.00,"\\",true]}"#);
    }

    #[test]
    fn an_upstream_can_neither_break_a_line_nor_control_the_terminal() {
        assert_eq!(
            visible("a\x1b[31m\nb\tü\u{9b}\u{202e}"),
            r"a\u001b[31m\u000ab\u0009ü\u009b\u202e"
        );
    }
}
