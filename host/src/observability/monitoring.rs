//! What a team needs to watch a service: a dashboard for Grafana and alert rules for Prometheus.
//!
//! Both are made of the definitions of the metrics, so that a metric that is renamed or added is renamed or added in them.
//! They do not read the values of a service.

mod alerts;
mod dashboard;

pub use self::alerts::alerts;
pub use self::dashboard::dashboard;
use super::metrics::{Definition, Metrics};
use crate::model::ClientError;

/// The metrics by name.
struct Catalogue(Vec<Definition>);

impl Catalogue {
    fn new() -> Self {
        Self(Metrics::default().definitions().to_vec())
    }

    /// The name of the series of the metric `name`.
    fn series(&self, name: &str) -> String {
        let found = self.0.iter().find(|definition| definition.name == name);
        let definition = found.unwrap_or_else(|| panic!("expected a metric, got {name}"));
        definition.series_name()
    }
}

/// A pattern that matches the codes of errors that `select` selects.
fn codes(select: impl Fn(&str) -> bool) -> String {
    let selected = ClientError::CODES.iter().filter(|code| select(code));
    selected.copied().collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of metrics in a text.
    fn named(text: &str) -> BTreeSet<&str> {
        let words = text.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
        words
            .filter(|word| word.starts_with("oneflight_"))
            .collect()
    }

    #[test]
    fn the_dashboard_and_the_alerts_name_only_metrics_that_exist() {
        let metrics = Catalogue::new();
        let exist: BTreeSet<_> = metrics.0.iter().map(Definition::series_name).collect();
        let (dashboard, alerts) = (dashboard().to_string(), alerts());
        for name in named(&dashboard).union(&named(&alerts)) {
            assert!(exist.contains(*name), "{name}");
        }
        assert_eq!(named(&dashboard).len(), exist.len());
    }

    #[test]
    fn panels_do_not_overlap() {
        let dashboard = dashboard();
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{panel}");
                }
            }
        }
    }
}
