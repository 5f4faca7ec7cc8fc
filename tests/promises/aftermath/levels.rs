//! The resources that a service holds, read from the operating system and from the service's metrics.

use oneflight_tests::FAILSAFE;
use oneflight_tests::caller::Http2;
use oneflight_tests::process::{Service, is_child_of, processes};
use tokio::net::TcpStream;

/// Counts of resources that must be the same after a fault as before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    descriptors: usize,
    /// Without the runtime's worker threads, which come and go.
    threads: usize,
    tasks: usize,
    children: usize,
    open: Open,
}

/// Counts that are zero if no caller waits and all idle instances and connections have exceeded their maximum age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Open {
    flights: usize,
    callers_waiting: usize,
    flights_waiting: usize,
    flights_running: usize,
    instances_idle: usize,
    upstream_connections: usize,
}

/// Reads the levels of a service over one connection: reading opens and closes nothing.
pub(super) struct Observer {
    operator: Http2,
}

impl Observer {
    pub(super) async fn of(service: &Service) -> Self {
        let stream = TcpStream::connect(service.admin).await.unwrap();
        let operator = Http2::over(stream).await;
        Self { operator }
    }

    pub(super) async fn levels(&self, service: &Service) -> Levels {
        let metrics = self.get("/metrics").await;
        let sum = |name: &str| {
            let values = metrics.lines().filter_map(|line| {
                let rest = line.strip_prefix("oneflight_")?.strip_prefix(name)?;
                let (labels, value) = rest.split_once(' ')?;
                let is_series = labels.is_empty() || labels.starts_with('{');
                is_series.then(|| value.parse::<usize>().unwrap())
            });
            let values: Vec<_> = values.collect();
            assert!(!values.is_empty(), "no {name} in {metrics}");
            values.iter().sum()
        };
        let flights_report = self.get("/v1/flights").await;
        let flights_report: serde_json::Value = serde_json::from_str(&flights_report).unwrap();
        let flights = flights_report["clients"].as_array().unwrap().iter();
        let flights = flights.map(|client| client["flights"].as_array().unwrap().len());
        let open = Open {
            flights: flights.sum(),
            callers_waiting: sum("callers_waiting"),
            flights_waiting: sum("flights_waiting"),
            flights_running: sum("flights_running"),
            instances_idle: sum("instances_idle"),
            upstream_connections: sum("upstream_connections"),
        };
        let threads = service.threads().into_iter();
        Levels {
            descriptors: service.descriptors(),
            threads: threads.filter(|name| name != "tokio-rt-worker").count(),
            tasks: sum("tasks"),
            children: processes(|_, stat| is_child_of(service.id(), stat)).len(),
            open,
        }
    }

    /// The levels of an idle service: waits until nothing is open and a hundred readings in a row are equal, which takes
    /// longer than what the service is still closing.
    pub(super) async fn at_rest(&self, service: &Service) -> Levels {
        let (mut levels, mut equal) = (self.levels(service).await, 0);
        while levels.open != Open::default() || equal < 100 {
            let now = self.levels(service).await;
            equal = if now == levels { equal + 1 } else { 0 };
            levels = now;
        }
        levels
    }

    /// Waits until the levels are `before` again, after `what`.
    pub(super) async fn back(&self, service: &Service, before: &Levels, what: &str) {
        let mut now = self.levels(service).await;
        let back = async {
            while now != *before {
                now = self.levels(service).await;
            }
        };
        let back = tokio::time::timeout(FAILSAFE, back).await;
        assert!(back.is_ok(), "{what}: {now:?} rather than {before:?}");
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.operator.get(path).await;
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }
}
