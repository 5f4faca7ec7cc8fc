//! A configuration as it is in effect, in the form of its file: what nobody chose is marked, and no value
//! of a guest's setting is shown.

use std::fmt::{self, Display, Formatter};

use super::client::{ClientConfig, Component};
use super::fields::{Field, Fields};
use super::file::{CacheConfig, Config, LogFormat};
use super::traces::{HEADERS, TracesConfig};
use super::units::{show_bytes, show_duration};
use super::value::ValueOrigin;
use crate::model::{Abandoned, Limits, Sharing};
use crate::settings::{CompileLimits, Instances, ServerLimits};

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let admin = |config: &Self| config.admin.map_or("false".to_owned(), quoted);
        line(f, "listen", &quoted(self.listen), &quoted(default.listen))?;
        line(f, "admin", &admin(self), &admin(&default))?;
        if let Some(tls) = &self.tls {
            writeln!(f, "\n[tls]")?;
            chosen(f, "certificate", &quoted(tls.certificate.display()))?;
            chosen(f, "key", &quoted(tls.key.display()))?;
        }
        writeln!(f, "\n[limits]")?;
        let (mut limits, mut defaults) = (self.limits.clone(), ServerLimits::default());
        fields(f, limits.fields(), defaults.fields())?;
        writeln!(f, "\n[log]")?;
        let level = |config: &Self| quoted(config.log.level);
        let format = |config: &Self| match config.log.format {
            LogFormat::Text => quoted("text"),
            LogFormat::Json => quoted("json"),
        };
        line(f, "level", &level(self), &level(&default))?;
        line(f, "format", &format(self), &format(&default))?;
        if let Some(traces) = &self.traces {
            print_traces(f, traces)?;
        }
        writeln!(f, "\n[compile]")?;
        match &self.compile.cache {
            CacheConfig::Home => writeln!(f, "# cache: in the user's own folder # default")?,
            CacheConfig::Folder(folder) => chosen(f, "cache", &quoted(folder.display()))?,
            CacheConfig::Off => chosen(f, "cache", "false")?,
        }
        let memory = |limits: &CompileLimits| {
            quoted(show_bytes(
                usize::try_from(limits.max_memory_bytes).unwrap_or(usize::MAX),
            ))
        };
        let cpu = |limits: &CompileLimits| quoted(show_duration(limits.max_cpu_time));
        let (limits, defaults) = (&self.compile.limits, &default.compile.limits);
        line(f, "max_memory_bytes", &memory(limits), &memory(defaults))?;
        line(f, "max_cpu_time", &cpu(limits), &cpu(defaults))?;
        self.clients.iter().try_for_each(|client| print(f, client))
    }
}

fn print_traces(f: &mut Formatter<'_>, traces: &TracesConfig) -> fmt::Result {
    writeln!(f, "\n[traces]")?;
    chosen(f, "otlp", &quoted(&traces.otlp))?;
    line(f, "sample", &traces.sample.to_string(), "1")?;
    if !traces.headers.is_empty() {
        writeln!(f, "\n[{HEADERS}]")?;
    }
    for (name, _, from) in &traces.headers {
        origin(f, name.as_str(), from)?;
    }
    Ok(())
}

fn print(f: &mut Formatter<'_>, client: &ClientConfig) -> fmt::Result {
    let settings = &client.effective();
    let name = &settings.name;
    let default = ClientConfig::new(name);
    writeln!(f, "\n[clients.{}]", key(name))?;
    match &client.component {
        Component::Builtin => line(f, "component", &quoted("builtin"), &quoted("builtin"))?,
        Component::File(file) => chosen(f, "component", &quoted(file.display()))?,
    }
    let policy = &settings.policy;
    list(f, "allow", &policy.allow)?;
    list(f, "allow_net", &policy.nets)?;
    list(f, "trace_to", &policy.trace)?;
    if let Some(file) = client.ca_file() {
        chosen(f, "ca_file", &quoted(file.display()))?;
    }
    let instances = |instances| match instances {
        Instances::Fresh => quoted("fresh"),
        Instances::Reused { calls, age } => {
            format!(
                "{{ max_calls = {calls}, max_age = {} }}",
                quoted(show_duration(age))
            )
        }
    };
    let defaults = &default.settings;
    line(
        f,
        "instances",
        &instances(settings.instances),
        &instances(defaults.instances),
    )?;
    match settings.sharing {
        Sharing::Observed => chosen(f, "sharing", &quoted("observed"))?,
        Sharing::Coalesced {
            join_window,
            allow_fresh,
        } => {
            line(f, "sharing", &quoted("coalesced"), &quoted("coalesced"))?;
            match join_window {
                None => writeln!(f, "# join_window: any age # default")?,
                Some(window) => chosen(f, "join_window", &quoted(show_duration(window)))?,
            }
            line(f, "allow_fresh", &allow_fresh.to_string(), "false")?;
        }
    }
    let abandoned = |abandoned| match abandoned {
        Abandoned::Cancel => quoted("cancel"),
        Abandoned::Finish => quoted("finish"),
    };
    line(
        f,
        "abandoned",
        &abandoned(settings.abandoned),
        &abandoned(defaults.abandoned),
    )?;
    if !settings.env.is_empty() {
        writeln!(f, "\n[clients.{}.settings]", key(name))?;
    }
    for (variable, _) in &settings.env {
        let from = client.origin_of(variable);
        origin(f, variable, from.unwrap_or(&ValueOrigin::Written))?;
    }
    writeln!(f, "\n[clients.{}.limits]", key(name))?;
    let (mut limits, mut defaults) = (settings.limits.clone(), Limits::default());
    fields(f, limits.fields(), defaults.fields())
}

fn fields(f: &mut Formatter<'_>, values: Fields<'_>, defaults: Fields<'_>) -> fmt::Result {
    let show = |field| match field {
        Field::Time(value) => quoted(show_duration(*value)),
        Field::Bytes(value) => quoted(show_bytes(*value)),
        Field::Count(value) => value.to_string(),
    };
    for ((name, value, _), (_, default, _)) in values.into_iter().zip(defaults) {
        line(f, name, &show(value), &show(default))?;
    }
    Ok(())
}

/// Where a value comes from, and not what it is.
fn origin(f: &mut Formatter<'_>, name: &str, from: &ValueOrigin) -> fmt::Result {
    let name = key(name);
    match from {
        ValueOrigin::Environment(from) => writeln!(f, "{name} = {{ env = {} }}", quoted(from)),
        ValueOrigin::File(from) => {
            writeln!(f, "{name} = {{ file = {} }}", quoted(from.display()))
        }
        ValueOrigin::Written => writeln!(f, "{name} = \"...\" # hidden"),
    }
}

/// A value, marked where it is the default.
fn line(f: &mut Formatter<'_>, name: &str, value: &str, default: &str) -> fmt::Result {
    let mark = if value == default { " # default" } else { "" };
    writeln!(f, "{name} = {value}{mark}")
}

/// A value that has no default.
fn chosen(f: &mut Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name} = {value}")
}

fn list(f: &mut Formatter<'_>, name: &str, values: &[impl Display]) -> fmt::Result {
    let values: Vec<_> = values.iter().map(quoted).collect();
    line(f, name, &format!("[{}]", values.join(", ")), "[]")
}

/// A TOML text. What JSON escapes, TOML does in the same way.
fn quoted(text: impl Display) -> String {
    serde_json::Value::from(text.to_string()).to_string()
}

/// A TOML key: bare where it can be.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}
