//! Flights within this process: through the built-in client, its instances fresh or reused, and natively.

use std::sync::Arc;
use std::time::Duration;

use harness::report::Mark;
use harness::turns::{Entry, in_turns};
use oneflight::{
    BUILTIN, Client, ComponentClient, Decorated, Engine, Instances, Limits, Settings, decorate,
};
use tokio::runtime::Runtime;

use crate::load::{Caller, ForItems, ForNothing, drive};
use crate::native::Native;
use crate::{Effort, Group, upstream};

const PATIENCE: Duration = Duration::from_secs(60);
const NATIVE: &str = "native";
const REUSED: &str = "reused instance";
const FRESH: &str = "fresh instance";

/// The built-in client, whole and bare.
struct Guest {
    client: Arc<Decorated<ComponentClient>>,
    component: Arc<ComponentClient>,
}

impl Guest {
    async fn load(address: &str, instances: Instances) -> anyhow::Result<Self> {
        // On a busy machine a flight can be kept waiting for longer than callers would put up with.
        let limits = Limits {
            cpu: PATIENCE,
            ..Limits::default().with_flight(PATIENCE)
        };
        let engine = Engine::new(&limits)?;
        let settings = Settings::new("bench")
            .env("BASE_URL", &upstream::prompt(address))
            .allow(&format!("http://{address}"))?;
        let settings = Settings {
            instances,
            limits,
            ..settings
        };
        let component = ComponentClient::load(&engine, BUILTIN, settings).await?;
        let client = decorate(component.clone(), component.settings());
        Ok(Self {
            client: Arc::new(client),
            component: Arc::new(component),
        })
    }
}

/// Measures them against each other.
pub(crate) fn run(
    runtime: &Runtime,
    effort: &Effort,
    address: &str,
) -> anyhow::Result<(Vec<Group>, Vec<Mark>)> {
    let native = Arc::new(Native::new(&upstream::prompt(address)));
    let reused = runtime.block_on(Guest::load(address, Instances::REUSED))?;
    let fresh = runtime.block_on(Guest::load(address, Instances::Fresh))?;
    let turn = Turn {
        runtime,
        length: effort.turn,
    };
    let (mut groups, mut marks) = (Vec::new(), Vec::new());
    for at_once in [1, 32, 256] {
        let entries = [
            turn.entry(NATIVE, at_once, &native, ForItems),
            turn.entry(REUSED, at_once, &reused.client, ForItems),
            turn.entry(FRESH, at_once, &fresh.client, ForItems),
        ];
        let rounds = in_turns(effort.rounds, &entries)?;
        let aim =
            format!("{at_once} at once: a reused instance takes at most twice a native request");
        marks.push(Mark::at_most(aim, rounds.ratio(REUSED, NATIVE), 2.0, ""));
        if at_once == 32 {
            for (least, aim) in [(0.6, "fresh instances do enough"), (0.75, "better")] {
                let aim = format!("{at_once} at once: {aim} of what reused ones do in a second");
                marks.push(Mark::at_least(aim, rounds.ratio(REUSED, FRESH), least, ""));
            }
        }
        groups.push(Group {
            name: format!("{at_once} at once"),
            rounds,
            absent: None,
        });
    }
    let entries = [
        turn.entry(REUSED, 1, &reused.component, ForNothing),
        turn.entry(FRESH, 1, &fresh.component, ForNothing),
    ];
    let rounds = in_turns(effort.rounds, &entries)?;
    groups.push(Group {
        name: "a call without a request".to_owned(),
        rounds,
        absent: None,
    });
    Ok((groups, marks))
}

/// What all turns have in common.
#[derive(Clone, Copy)]
struct Turn<'a> {
    runtime: &'a Runtime,
    length: Duration,
}

impl<'a> Turn<'a> {
    /// `at_once` callers of `client`.
    fn entry<C: Client, A: Caller>(
        self,
        entrant: &'static str,
        at_once: usize,
        client: &'a Arc<C>,
        caller: impl Fn(Arc<C>) -> A + 'a,
    ) -> Entry<'a, f64, &'static str> {
        let turn = move || {
            let callers = (0..at_once).map(|_| caller(Arc::clone(client))).collect();
            self.runtime.block_on(drive(callers, self.length))
        };
        Entry {
            entrant,
            turn: Box::new(turn),
        }
    }
}
