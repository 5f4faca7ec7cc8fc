//! [`dashboard`]: a dashboard for Grafana.

use serde_json::{Value, json};

use super::{Catalogue, codes};
use crate::observability::metrics::{Definition, Series};

/// The width of the dashboard, in Grafana's units.
const WIDTH: usize = 24;

/// Selects the processes and clients that are chosen at the top of the dashboard.
const CHOSEN: &str = "instance=~\"$instance\"";
const CHOSEN_CLIENT: &str = "instance=~\"$instance\",client=~\"$client\"";

/// A dashboard for Grafana, in the JSON that it imports: what sharing saves, and one panel for each metric.
///
/// # Panics
///
/// Never: a unit test checks that every metric that it names is defined.
#[must_use]
pub fn dashboard() -> Value {
    let metrics = Catalogue::new();
    let mut panels = Panels::default();
    panels.row("Overview");
    for overview in overview(&metrics) {
        panels.add(overview, 6, 7);
    }
    panels.row("Every metric");
    for definition in &metrics.0 {
        panels.add(panel(definition), 12, 8);
    }
    let tasks = metrics.series("tasks");
    let callers = metrics.series("callers");
    json!({
        "title": "Oneflight",
        "description": "Printed by `oneflight metrics dashboard`.",
        "uid": "oneflight",
        "tags": ["oneflight"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" },
            variable("instance", &format!("label_values({tasks}, instance)")),
            variable("client", &format!("label_values({callers}, client)")),
        ] },
        "panels": panels.panels,
    })
}

/// A variable with the values that a query returns, of which several can be chosen.
fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name,
        "type": "query",
        "datasource": data_source(),
        "query": { "query": query, "refId": name },
        "refresh": 2,
        "includeAll": true,
        "multi": true,
        "allValue": ".*",
        "current": { "text": "All", "value": "$__all" },
    })
}

fn data_source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// What a panel shows.
struct Panel {
    title: String,
    /// A panel of one number, or a graph.
    kind: &'static str,
    unit: &'static str,
    /// Expressions and their legends.
    queries: Vec<(String, String)>,
}

/// The panels that combine metrics.
fn overview(metrics: &Catalogue) -> Vec<Panel> {
    let rate = |name: &str| {
        format!(
            "sum(rate({}{{{CHOSEN_CLIENT}}}[$__rate_interval]))",
            metrics.series(name)
        )
    };
    let increase = |name: &str| {
        format!(
            "sum(increase({}{{{CHOSEN_CLIENT}}}[$__range]))",
            metrics.series(name)
        )
    };
    let (sent, saved) = (rate("upstream_requests"), rate("upstream_requests_saved"));
    let callers = metrics.series("callers");
    let failures = codes(|_| true);
    let failed = format!(
        "sum by (client) (rate({callers}{{{CHOSEN_CLIENT},outcome=~\"{failures}\"}}[$__rate_interval])) / \
         sum by (client) (rate({callers}{{{CHOSEN_CLIENT}}}[$__rate_interval]))"
    );
    let one = |title: &str, expression: String| Panel {
        title: title.to_owned(),
        kind: "stat",
        unit: "short",
        queries: vec![(expression, String::new())],
    };
    vec![
        one(
            "Upstream requests saved by sharing",
            increase("upstream_requests_saved"),
        ),
        one(
            "Upstream requests that sharing would have saved",
            increase("upstream_requests_would_have_saved"),
        ),
        Panel {
            title: "Share of upstream requests saved".to_owned(),
            kind: "timeseries",
            unit: "percentunit",
            queries: vec![(format!("{saved} / ({sent} + {saved})"), "saved".to_owned())],
        },
        Panel {
            title: "Share of callers with an error".to_owned(),
            kind: "timeseries",
            unit: "percentunit",
            queries: vec![(failed, "{{client}}".to_owned())],
        },
    ]
}

/// The panel of one metric.
fn panel(definition: &Definition) -> Panel {
    let name = definition.series_name();
    let by = definition.labels.join(", ");
    let of_client = definition.labels.contains(&"client");
    let chosen = if of_client { CHOSEN_CLIENT } else { CHOSEN };
    let sum = if by.is_empty() {
        "sum by (instance)".to_owned()
    } else {
        format!("sum by ({by})")
    };
    let legend = match definition.labels {
        [] => "{{instance}}".to_owned(),
        labels => labels
            .iter()
            .map(|label| format!("{{{{{label}}}}}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let rate = format!("rate({name}{{{chosen}}}[$__rate_interval])");
    let quantile = |quantile: &str| {
        (
            format!("histogram_quantile({quantile}, sum by (le, {by}) ({rate}))"),
            format!("{legend} p{}", quantile.trim_start_matches("0.")),
        )
    };
    let (title, queries) = match definition.series {
        Series::Counter => {
            let unit = if definition.in_seconds {
                "seconds per second"
            } else {
                "per second"
            };
            (
                format!("{}, {unit}", definition.help),
                vec![(format!("{sum} ({rate})"), legend)],
            )
        }
        Series::Gauge => (
            definition.help.to_owned(),
            vec![(format!("{sum} ({name}{{{chosen}}})"), legend)],
        ),
        Series::Buckets => (
            definition.help.to_owned(),
            vec![quantile("0.50"), quantile("0.99")],
        ),
    };
    let unit = match definition.series {
        Series::Gauge if definition.name.ends_with("_bytes") => "bytes",
        Series::Buckets if definition.in_seconds => "s",
        _ => "short",
    };
    Panel {
        title,
        kind: "timeseries",
        unit,
        queries,
    }
}

/// Panels from left to right, and from top to bottom.
#[derive(Default)]
struct Panels {
    panels: Vec<Value>,
    x: usize,
    y: usize,
    /// The height of the current line.
    height: usize,
}

impl Panels {
    fn row(&mut self, title: &str) {
        self.place(
            WIDTH,
            1,
            json!({ "type": "row", "title": title, "panels": [] }),
        );
    }

    fn add(&mut self, panel: Panel, width: usize, height: usize) {
        let targets = panel.queries.into_iter().zip('A'..).map(|((expression, legend), id)| {
            json!({ "refId": id.to_string(), "expr": expression, "legendFormat": legend, "datasource": data_source() })
        });
        let value = json!({
            "type": panel.kind,
            "title": panel.title,
            "datasource": data_source(),
            "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
            "targets": targets.collect::<Vec<_>>(),
        });
        self.place(width, height, value);
    }

    fn place(&mut self, width: usize, height: usize, mut panel: Value) {
        if self.x + width > WIDTH {
            (self.x, self.y) = (0, self.y + self.height);
        }
        panel["id"] = json!(self.panels.len() + 1);
        panel["gridPos"] = json!({ "x": self.x, "y": self.y, "w": width, "h": height });
        self.panels.push(panel);
        self.x += width;
        self.height = height;
    }
}
