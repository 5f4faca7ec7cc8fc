//! `oneflight get`: real calls from a terminal.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use oneflight::client::Client;
use oneflight::{Answer, ClientError, Items, Key};
use serde_json::value::RawValue;

use super::client::ClientFlags;
use super::count;

/// Asks for the items of each KEY, and prints them: id, tab, item; before them the key, where there
/// are several.
#[derive(Args, Debug)]
pub(super) struct Get {
    /// What to ask for.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,

    #[command(flatten)]
    client: ClientFlags,

    /// How many callers ask for each key, all at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,

    /// Prints one JSON object with the answers and the summary.
    #[arg(long)]
    json: bool,
}

/// What the calls came to.
struct Summary {
    callers: usize,
    flights: usize,
    upstream_requests: u64,
    time: Duration,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.client.load().await?;
        let began = Instant::now();
        let answers: Vec<Vec<Answer>> = join_all(self.keys.iter().map(|key| {
            let key = Key::from(key.as_str());
            join_all(
                (0..self.callers)
                    .map(move |_| key.clone())
                    .map(|key| loaded.client.get_items(key)),
            )
        }))
        .await;
        let time = began.elapsed();
        let seats = answers.iter().flatten().filter_map(|answer| answer.seat);
        let summary = Summary {
            callers: answers.iter().map(Vec::len).sum(),
            flights: seats.map(|seat| seat.flight).collect::<HashSet<_>>().len(),
            upstream_requests: loaded.component.usage().upstream_requests,
            time,
        };
        let results: Vec<(&str, &Result<Items, ClientError>)> = self
            .keys
            .iter()
            .map(String::as_str)
            .zip(answers.iter().map(|of_key| outcome(of_key)))
            .collect();
        if self.json {
            println!("{}", as_json(&results, &summary)?);
        } else {
            self.print(&results);
            eprintln!("{summary}");
        }
        let ok = answers.iter().flatten().all(|answer| answer.result.is_ok());
        Ok(if ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print(&self, results: &[(&str, &Result<Items, ClientError>)]) {
        for (key, result) in results {
            match result {
                Ok(items) if items.as_slice().is_empty() => eprintln!("{key:?}: no items"),
                Ok(items) => {
                    for item in items.as_slice() {
                        let body = without_spaces(item.body());
                        let prefix = if self.keys.len() > 1 {
                            format!("{key}\t")
                        } else {
                            String::new()
                        };
                        println!("{prefix}{}\t{body}", item.id());
                    }
                }
                Err(error) => eprintln!("error: {key:?}: {error} ({})", error.code()),
            }
        }
    }
}

/// A JSON document on one line, without the white space between its parts. What stands in strings
/// stays, and so do the digits of numbers: it is not read and written anew.
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

/// What the callers of one key got: the first failure, where there was one. With coalescing they got
/// the same; without, each its own.
fn outcome(answers: &[Answer]) -> &Result<Items, ClientError> {
    let failed = answers.iter().find(|answer| answer.result.is_err());
    &failed.unwrap_or(&answers[0]).result
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            callers,
            flights,
            upstream_requests,
            time,
        } = self;
        write!(
            f,
            "{}, {}, {}, {:.3} s",
            count(*callers as u64, "caller"),
            count(*flights as u64, "flight"),
            count(*upstream_requests, "upstream request"),
            time.as_secs_f64()
        )
    }
}

fn as_json(
    results: &[(&str, &Result<Items, ClientError>)],
    summary: &Summary,
) -> anyhow::Result<String> {
    #[derive(serde::Serialize)]
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
    #[derive(serde::Serialize)]
    struct Document<'a> {
        answers: Vec<Entry<'a>>,
        callers: usize,
        flights: usize,
        upstream_requests: u64,
        seconds: f64,
    }
    fn entry<'a>(
        &(key, result): &(&'a str, &Result<Items, ClientError>),
    ) -> anyhow::Result<Entry<'a>> {
        match result {
            Ok(items) => {
                let json = String::from_utf8(items.json().into())?;
                Ok(Entry::Items {
                    key,
                    items: RawValue::from_string(json)?,
                })
            }
            Err(error) => Ok(Entry::Error {
                key,
                code: error.code(),
                error: error.to_string(),
            }),
        }
    }
    let document = Document {
        answers: results.iter().map(entry).collect::<Result<_, _>>()?,
        callers: summary.callers,
        flights: summary.flights,
        upstream_requests: summary.upstream_requests,
        seconds: summary.time.as_secs_f64(),
    };
    Ok(serde_json::to_string(&document)?)
}

#[cfg(test)]
mod tests {
    use super::without_spaces;

    #[test]
    fn an_item_stands_on_one_line_with_its_strings_and_numbers_as_they_were() {
        let json = "{\n  \"a \\\" b\": [ 1.00, \"\\\\\" , true ]\r\n}";
        assert_eq!(without_spaces(json), r#"{"a \" b":[1.00,"\\",true]}"#);
    }
}
