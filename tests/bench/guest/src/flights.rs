//! Flights in this process: through the built-in client, with fresh and with reused instances, and natively.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::report::Mark;
use harness::turns::{Participant, in_turns};
use oneflight::{
    BUILTIN, Client, ClientMetrics, ComponentClient, Engine, Instances, Limits, Settings, Stack,
    Unshared,
};
use tokio::runtime::Runtime;

use crate::callers::{Caller, InvalidKeyCaller, ItemsCaller, drive};
use crate::effort::Effort;
use crate::group::Group;
use crate::native::Native;
use crate::upstream;

/// Longer than a flight takes on a busy machine, where the default limits could end it.
const FLIGHT_LIMIT: Duration = Duration::from_secs(60);
const NATIVE: &str = "native";
const REUSED: &str = "reused instance";
const FRESH: &str = "fresh instance";
const OTHER_REUSED: &str = "other client, reused instance";
const OTHER_FRESH: &str = "other client, fresh instance";

/// A client, with its decorators and without.
struct Guest {
    client: Arc<Stack<ComponentClient>>,
    component: Arc<Unshared<ComponentClient>>,
}

impl Guest {
    async fn load(
        binary: &[u8],
        address: SocketAddr,
        instances: Instances,
    ) -> anyhow::Result<Self> {
        let limits = Limits {
            max_cpu_time: FLIGHT_LIMIT,
            ..Limits::default().with_flight_timeout(FLIGHT_LIMIT)
        };
        let engine = Engine::new(&limits)?;
        let settings = Settings::new("bench")
            .env("BASE_URL", &upstream::immediate_url(address))
            .allow(&format!("http://{address}"))?;
        let settings = Settings {
            instances,
            limits,
            ..settings
        };
        let component = ComponentClient::load(&engine, binary, settings).await?;
        let metrics = ClientMetrics::default();
        let client = Stack::new(component.clone(), component.settings(), metrics);
        Ok(Self {
            client: Arc::new(client),
            component: Arc::new(Unshared::new(component)),
        })
    }
}

/// Measures all of them in turns, and another client `beside` them if there is one.
pub(crate) fn run(
    runtime: &Runtime,
    effort: &Effort,
    address: SocketAddr,
    beside: Option<&[u8]>,
) -> anyhow::Result<(Vec<Group>, Vec<Mark>)> {
    let native = Arc::new(Unshared::new(Native::new(&upstream::immediate_url(
        address,
    ))));
    let load = |binary, instances| runtime.block_on(Guest::load(binary, address, instances));
    let reused = load(BUILTIN, Instances::REUSED)?;
    let fresh = load(BUILTIN, Instances::Fresh)?;
    let other = match beside {
        Some(binary) => Some((
            load(binary, Instances::REUSED)?,
            load(binary, Instances::Fresh)?,
        )),
        None => None,
    };
    let turn = Turn {
        runtime,
        length: effort.turn,
    };
    let (mut groups, mut marks) = (Vec::new(), Vec::new());
    for at_once in [1, 32, 256] {
        let mut participants = vec![
            turn.participant(NATIVE, at_once, &native, ItemsCaller),
            turn.participant(REUSED, at_once, &reused.client, ItemsCaller),
            turn.participant(FRESH, at_once, &fresh.client, ItemsCaller),
        ];
        if let Some((reused, fresh)) = &other {
            participants.extend([
                turn.participant(OTHER_REUSED, at_once, &reused.client, ItemsCaller),
                turn.participant(OTHER_FRESH, at_once, &fresh.client, ItemsCaller),
            ]);
        }
        let rounds = in_turns(effort.rounds, &participants)?;
        let aim = format!(
            "{at_once} at once: a reused instance takes at most twice the time of a native request"
        );
        marks.push(Mark::at_most(aim, rounds.ratio(REUSED, NATIVE), 2.0, ""));
        if at_once == 32 {
            for (least, grade) in [(0.6, "required"), (0.75, "desired")] {
                let aim = format!(
                    "{at_once} at once: rate of fresh instances / rate of reused ones, {grade}"
                );
                marks.push(Mark::at_least(aim, rounds.ratio(REUSED, FRESH), least, ""));
            }
        }
        groups.push(Group {
            name: format!("{at_once} at once"),
            rounds,
            absent: None,
        });
    }
    let mut participants = vec![
        turn.participant(REUSED, 1, &reused.component, InvalidKeyCaller),
        turn.participant(FRESH, 1, &fresh.component, InvalidKeyCaller),
    ];
    if let Some((reused, fresh)) = &other {
        participants.extend([
            turn.participant(OTHER_REUSED, 1, &reused.component, InvalidKeyCaller),
            turn.participant(OTHER_FRESH, 1, &fresh.component, InvalidKeyCaller),
        ]);
    }
    let rounds = in_turns(effort.rounds, &participants)?;
    groups.push(Group {
        name: "a call without a request".to_owned(),
        rounds,
        absent: None,
    });
    Ok((groups, marks))
}

/// What all turns share.
#[derive(Clone, Copy)]
struct Turn<'a> {
    runtime: &'a Runtime,
    length: Duration,
}

impl<'a> Turn<'a> {
    /// `at_once` callers of `client`.
    fn participant<C: Client, A: Caller>(
        self,
        id: &'static str,
        at_once: usize,
        client: &'a Arc<C>,
        caller: impl Fn(Arc<C>) -> A + 'a,
    ) -> Participant<'a, f64, &'static str> {
        let turn = move || {
            let callers = (0..at_once).map(|_| caller(Arc::clone(client))).collect();
            self.runtime.block_on(drive(callers, self.length))
        };
        Participant {
            id,
            turn: Box::new(turn),
        }
    }
}
