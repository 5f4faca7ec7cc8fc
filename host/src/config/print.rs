//! The effective configuration, in the format of its file: defaults are marked, and no value of a guest's setting is
//! shown. The names and their order are those of the schema.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::file::Config;
use super::reference::{is_table, properties, schema};
use super::toml_text::{dotted, key, toml};

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut config = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        for client in &self.clients {
            // With the upstream, which the file does not repeat here.
            let allow = client.effective().policy.allow;
            let allow: Value = allow.iter().map(ToString::to_string).collect();
            config["clients"][client.name()]["allow"] = allow;
        }
        table(f, "", &config, schema())
    }
}

/// The entries of a table, those that are tables last.
fn table(f: &mut Formatter<'_>, path: &str, values: &Value, schema: &Value) -> fmt::Result {
    let (tables, entries): (Vec<_>, Vec<_>) =
        properties(schema).partition(|(_, schema)| is_table(schema));
    for (name, schema) in entries {
        match values.get(name) {
            Some(value) => {
                let mark = match schema.get("default") {
                    Some(default) if default == value => " # default",
                    _ => "",
                };
                writeln!(f, "{name} = {}{mark}", toml(value))?;
            }
            None => writeln!(f, "# {name} is not set # default")?,
        }
    }
    for (name, schema) in tables {
        let path = dotted(path, name);
        let Some(values) = values.get(name) else {
            continue;
        };
        match schema.get("additionalProperties") {
            Some(schema @ Value::Object(_)) if is_table(schema) => {
                for (name, values) in values.as_object().into_iter().flatten() {
                    let path = dotted(&path, name);
                    writeln!(f, "\n[{path}]")?;
                    table(f, &path, values, schema)?;
                }
            }
            Some(Value::Object(_)) => named(f, &path, values)?,
            _ => {
                writeln!(f, "\n[{path}]")?;
                table(f, &path, values, schema)?;
            }
        }
    }
    Ok(())
}

/// Values under names that the file chooses.
fn named(f: &mut Formatter<'_>, path: &str, values: &Value) -> fmt::Result {
    let values = values.as_object().filter(|values| !values.is_empty());
    let Some(values) = values else {
        return Ok(());
    };
    writeln!(f, "\n[{path}]")?;
    values
        .iter()
        .try_for_each(|(name, value)| writeln!(f, "{} = {}", key(name), toml(value)))
}
