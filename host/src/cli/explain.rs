//! `oneflight explain`: predicts what would happen to a caller of a running service now.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use http::Method;
use oneflight::admin_types::{Explanation, FlightStatus, FlightsReport, NextCall};
use oneflight::printable::{Escape, escape, escape_lines};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::admin_client::AdminClient;
use super::format::{self, count};

/// Predicts what would happen to a caller of KEY now: whether it would join an open flight of the running service,
/// open one or be refused, and which limits decide. It calls no client.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The key of the call.
    #[arg(required_unless_present = "call")]
    key: Option<String>,

    /// The call of a typed function, as WAVE: 'get-order("42")'.
    #[arg(long, value_name = "CALL", conflicts_with = "key")]
    call: Option<String>,

    /// The client; may be omitted if the service has only one.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,

    #[command(flatten)]
    admin: AdminClient,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  oneflight explain 42
  oneflight explain 42 --client orders --admin 127.0.0.1:9001
  oneflight explain --call 'get-order(\"42\")'
  oneflight explain 42 --json | jq .next.what        joins, opens or refused";

impl Explain {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let client = match &self.client {
            Some(client) => encoded(client),
            None => encoded(&self.only_client().await?),
        };
        // One of the two is there.
        let (parameter, text) = match (&self.key, &self.call) {
            (_, Some(call)) => ("call", call.as_str()),
            (key, None) => ("x", key.as_deref().unwrap_or_default()),
        };
        let path = format!("/v1/{client}/explain?{parameter}={}", encoded(text));
        let explanation: Explanation = self.admin.request(Method::GET, &path).await?;
        if self.json {
            writeln!(
                stdout(),
                "{}",
                escape(&serde_json::to_string(&explanation)?, Escape::Json, |_| {
                    true
                })
            )?;
        } else {
            write!(
                stdout(),
                "{}",
                escape_lines(&describe(parameter, text, &explanation), Escape::Rust)
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The name of the client of a service that has one.
    async fn only_client(&self) -> anyhow::Result<String> {
        let FlightsReport { clients } = self.admin.request(Method::GET, "/v1/flights").await?;
        // A load that was replaced and still has callers is listed, too.
        let names: BTreeSet<_> = clients.into_iter().map(|of| of.client).collect();
        let mut names = names.into_iter();
        match (names.next(), names.len()) {
            (Some(name), 0) => Ok(name),
            (first, _) => {
                let names: Vec<_> = first.into_iter().chain(names).collect();
                bail!(
                    "expected a service with one client, got {}: {}; choose one with --client",
                    names.len(),
                    names.join(", ")
                )
            }
        }
    }
}

/// The explanation for people: first what happens, then the reasons. `text` is what the `parameter` of the request has.
fn describe(parameter: &str, text: &str, explanation: &Explanation) -> String {
    // WAVE has quotes of its own.
    let key = if parameter == "call" {
        text.to_owned()
    } else {
        format!("{text:?}")
    };
    let Explanation { limits, .. } = explanation;
    let mut text = format!("A caller now {}.\n\n", next(explanation));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    let (client, generation) = (&explanation.client, &explanation.generation);
    line("client", format!("{client}, generation {generation}"));
    line("key", format!("{key}, hash {}", explanation.key));
    line("sharing", sharing(explanation));
    if explanation.flights_of_key.is_empty() {
        line("this key", "no open flight".to_owned());
    }
    for (place, flight) in explanation.flights_of_key.iter().enumerate() {
        let name = if place == 0 { "this key" } else { "" };
        line(name, of_key(flight, explanation));
    }
    let at_most =
        |limit: Option<usize>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    line(
        "flights",
        format!(
            "{}{} open, {} of {} running, {} waiting (each at most {})",
            explanation.flights,
            at_most(limits.flights),
            explanation.running,
            limits.running,
            explanation.waiting,
            format::milliseconds(limits.queue_ms),
        ),
    );
    let of_key = limits.flights_of_key.map_or(String::new(), |limit| {
        format!(", {} of one key", count(limit as u64, "flight"))
    });
    line(
        "limits",
        format!(
            "{} for a flight, {} of one flight{of_key}",
            format::milliseconds(limits.flight_ms),
            count(limits.callers as u64, "caller"),
        ),
    );
    text
}

fn next(explanation: &Explanation) -> String {
    match &explanation.next {
        NextCall::Joins { flight, within_ms } => {
            let within = format::milliseconds(*within_ms);
            format!("joins flight {flight}, and gets its reply within {within}")
        }
        NextCall::Opens {
            waits,
            would_have_joined,
            within_ms,
        } => {
            let within = format::milliseconds(*within_ms);
            let wait = if *waits {
                " that waits for its turn"
            } else {
                ""
            };
            let would = would_have_joined.as_ref().map_or(String::new(), |flight| {
                format!("; if flights were shared, it would join flight {flight}")
            });
            format!("opens a flight{wait}, and gets its reply within {within}{would}")
        }
        NextCall::Refused { code, reason } => format!("is refused: {reason} ({code})"),
    }
}

fn sharing(explanation: &Explanation) -> String {
    if !explanation.shares {
        return "observed only: every caller has its own flight".to_owned();
    }
    let window = explanation.join_window_ms.map_or_else(
        || "of any age".to_owned(),
        |window| format!("up to {} old", format::milliseconds(window)),
    );
    let fresh = if explanation.allow_fresh {
        "; with Cache-Control: no-cache they open one"
    } else {
        ""
    };
    format!("callers join a flight {window}{fresh}")
}

fn of_key(flight: &FlightStatus, explanation: &Explanation) -> String {
    let age = flight.age_ms.map_or(String::new(), |age| {
        format!(", {} old", format::milliseconds(age))
    });
    let joined = match (flight.joinable, explanation.shares) {
        (true, _) => ", joinable",
        (false, true) => ", no longer joinable",
        (false, false) => "",
    };
    let callers = count(flight.callers as u64, "caller");
    format!("flight {}{age}, {callers}{joined}", flight.flight)
}

#[cfg(test)]
mod tests {
    use oneflight::admin_types::ExplainedLimits;

    use super::*;

    fn explanation(next: NextCall) -> Explanation {
        Explanation {
            client: "orders".to_owned(),
            generation: "3".to_owned(),
            key: "00ff".to_owned(),
            shares: true,
            join_window_ms: Some(2_000),
            allow_fresh: true,
            flights_of_key: vec![FlightStatus {
                flight: "17".to_owned(),
                age_ms: Some(1_240),
                callers: 12,
                joinable: true,
            }],
            flights: 3,
            running: 2,
            waiting: 1,
            limits: ExplainedLimits {
                flights: Some(1_024),
                callers: 100,
                flights_of_key: Some(8),
                running: 256,
                queue_ms: 1_000,
                flight_ms: 10_000,
            },
            next,
        }
    }

    #[test]
    fn the_prediction_comes_first_and_then_its_reasons() {
        let joins = NextCall::Joins {
            flight: "17".to_owned(),
            within_ms: 8_760,
        };
        assert_eq!(
            describe("x", "42", &explanation(joins)),
            "A caller now joins flight 17, and gets its reply within 8.76 s.\n\
             \n\
             client     orders, generation 3\n\
             key        \"42\", hash 00ff\n\
             sharing    callers join a flight up to 2 s old; with Cache-Control: no-cache they open one\n\
             this key   flight 17, 1.24 s old, 12 callers, joinable\n\
             flights    3 of 1024 open, 2 of 256 running, 1 waiting (each at most 1 s)\n\
             limits     10 s for a flight, 100 callers of one flight, 8 flights of one key\n"
        );
    }

    #[test]
    fn if_nothing_is_shared_it_names_the_flight_that_would_be_joined() {
        let opens = NextCall::Opens {
            waits: true,
            would_have_joined: Some("17".to_owned()),
            within_ms: 10_000,
        };
        assert_eq!(
            next(&explanation(opens)),
            "opens a flight that waits for its turn, and gets its reply within 10 s; if flights were shared, it \
             would join flight 17"
        );
    }
}
