//! Calls of typed functions beside those of the interface `items`, with the same answers from the same guest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::join_all;
use harness::report::Mark;
use harness::turns::{Participant, in_turns};
use oneflight::{
    Call, Client, ClientMetrics, ComponentClient, Engine, Instances, Limits, Settings, Stack,
    Unshared,
};
use tokio::runtime::Runtime;

use crate::effort::Effort;
use crate::group::Group;

const ITEMS: &str = "items";
const TYPED: &str = "typed";
const TEXT: &str = "string";
const BYTES: &str = "list<u8>";
const ZERO: &str = "items, no item";
const NUMBER: &str = "typed, u32 -> u32";

/// How many callers share a flight.
const CALLERS: u32 = 1_000;

/// The guest, with its decorators and without.
struct Guest {
    component: Arc<Unshared<ComponentClient>>,
    client: Arc<Stack<ComponentClient>>,
}

impl Guest {
    async fn load(instances: Instances) -> anyhow::Result<Self> {
        let limits = Limits {
            max_cpu_time: Duration::from_secs(60),
            ..Limits::default()
        };
        let engine = Engine::new(&limits)?;
        let settings = Settings {
            instances,
            limits,
            ..Settings::new("bench").share("*")?
        };
        let binary = std::fs::read(env!("SAMPLES_COMPONENT"))?;
        let component = ComponentClient::load(&engine, binary, settings.clone()).await?;
        let client = Stack::new(component.clone(), &settings, ClientMetrics::default());
        Ok(Self {
            component: Arc::new(Unshared::new(component)),
            client: Arc::new(client),
        })
    }

    fn call(&self, text: &str) -> anyhow::Result<Call> {
        Ok(self.client.functions().call(text)?)
    }
}

/// Whether the answer is rendered as JSON, as over HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Value,
    Json,
}

/// Calls one after the other, and returns the microseconds of each.
fn calls<C: Client>(
    runtime: &Runtime,
    client: &C,
    call: &Call,
    used: Use,
    turn: Duration,
) -> anyhow::Result<f64> {
    runtime.block_on(async {
        let (began, mut answers) = (Instant::now(), 0_u32);
        while began.elapsed() < turn {
            let outcome = client.call(call.clone().into()).await.result?;
            if used == Use::Json {
                ensure!(!outcome.json().is_empty());
            }
            answers += 1;
        }
        Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(answers))
    })
}

/// Callers that share one flight, again and again: the microseconds of each caller.
fn joins<C: Client>(
    runtime: &Runtime,
    client: &C,
    call: &Call,
    turn: Duration,
) -> anyhow::Result<f64> {
    runtime.block_on(async {
        let (began, mut flights) = (Instant::now(), 0_u32);
        while began.elapsed() < turn {
            let callers = (0..CALLERS).map(|_| client.call(call.clone().into()));
            let replies = join_all(callers).await;
            let first = replies[0].flight.map(|info| info.flight);
            ensure!(
                replies
                    .iter()
                    .all(|reply| reply.flight.map(|info| info.flight) == first)
            );
            flights += 1;
        }
        Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(flights * CALLERS))
    })
}

/// Measures all of them in turns.
pub(crate) fn run(effort: &Effort) -> anyhow::Result<(Vec<Group>, Vec<Mark>)> {
    // On one thread all callers have called before their flight starts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut groups, mut marks) = (Vec::new(), Vec::new());
    for (name, instances) in [("reused", Instances::REUSED), ("fresh", Instances::Fresh)] {
        let guest = runtime.block_on(Guest::load(instances))?;
        let component = &*guest.component;
        let participant = |id, call: &str, used| {
            let call = guest.call(call)?;
            let turn = effort.turn;
            anyhow::Ok(Participant {
                id,
                turn: Box::new({
                    let runtime = &runtime;
                    move || calls(runtime, component, &call, used, turn)
                }),
            })
        };
        for number in [20, 1_000] {
            for (what, used) in [("", Use::Value), (" as JSON", Use::Json)] {
                let participants = [
                    participant(ITEMS, &format!("get-items(\"{number}\")"), used)?,
                    participant(TYPED, &format!("items({number})"), used)?,
                ];
                let rounds = in_turns(effort.rounds, &participants)?;
                if number == 20 && used == Use::Value {
                    let aim = format!(
                        "{name}: a typed function takes at most 1.5 times as long as items, for 20 records"
                    );
                    marks.push(Mark::at_most(aim, rounds.ratio(TYPED, ITEMS), 1.5, ""));
                }
                groups.push(Group {
                    name: format!("{name}, {number} records{what}"),
                    rounds,
                    absent: None,
                });
            }
        }
        let participants = [
            participant(ZERO, "get-items(\"0\")", Use::Value)?,
            participant(NUMBER, "next(1)", Use::Value)?,
        ];
        groups.push(Group {
            name: format!("{name}, nothing"),
            rounds: in_turns(effort.rounds, &participants)?,
            absent: None,
        });
        let participants = [
            participant(TEXT, "text(100000)", Use::Value)?,
            participant(BYTES, "bytes(100000)", Use::Value)?,
        ];
        let rounds = in_turns(effort.rounds, &participants)?;
        let aim = format!("{name}: 100 KB as list<u8> take at most 3 times as long as as a string");
        marks.push(Mark::at_most(aim, rounds.ratio(BYTES, TEXT), 3.0, ""));
        groups.push(Group {
            name: format!("{name}, 100 KB"),
            rounds,
            absent: None,
        });
    }
    let guest = runtime.block_on(Guest::load(Instances::REUSED))?;
    let client = &*guest.client;
    let participant = |id, call: &str| {
        let call = guest.call(call)?;
        let turn = effort.turn;
        anyhow::Ok(Participant {
            id,
            turn: Box::new({
                let runtime = &runtime;
                move || joins(runtime, client, &call, turn)
            }),
        })
    };
    let participants = [
        participant(ITEMS, "get-items(\"20\")")?,
        participant(TYPED, "items(20)")?,
    ];
    let rounds = in_turns(effort.rounds, &participants)?;
    let aim = "a caller that joins a typed call takes at most 1.1 times as long as one of items";
    marks.push(Mark::at_most(
        aim.to_owned(),
        rounds.ratio(TYPED, ITEMS),
        1.1,
        "",
    ));
    groups.push(Group {
        name: format!("{CALLERS} callers of one flight, each"),
        rounds,
        absent: None,
    });
    Ok((groups, marks))
}
