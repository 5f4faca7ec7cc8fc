//! What is generated from the declarations of the settings: the JSON Schema, and from it the commented example, the
//! table for the documentation, and the help of flags.

use std::fmt::Write;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::file::Config;
use super::toml_text::{dotted, toml};

/// The JSON Schema of a configuration file, for editors. The names are in the order of their declaration.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        // Editors of TOML support this draft. Without references they show each setting's own description.
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Config>();
        let mut schema = schema.to_value();
        without_defaults_of_tables(&mut schema);
        schema
    });
    &SCHEMA
}

/// Removes the defaults of whole tables, which repeat those of their entries.
fn without_defaults_of_tables(schema: &mut Value) {
    let table = is_table(schema);
    let Value::Object(schema) = schema else {
        return;
    };
    if table {
        schema.remove("default");
    }
    for (_, properties) in schema.iter_mut() {
        without_defaults_of_tables(properties);
    }
}

/// The name of a client in the example.
const CLIENT: &str = "orders";

/// The setting that the example does set: the built-in client needs it.
const NEEDED: &str = "clients.orders.base_url";

const HEAD: &str = "\
#:schema oneflight.schema.json

# A configuration of `oneflight serve --config oneflight.toml`, with every setting. `oneflight config example`
# prints this file.
#
# `#name = value`, without a space, shows a default; `# name = value`, with a space, shows an example.
# `oneflight config check FILE` checks a file, `oneflight config print FILE` prints the effective configuration.
# SIGHUP reloads the file. Paths are relative to the folder of the file. A time is a number with ms, s, m or h, a size
# a number with B, KiB, MiB or GiB.
";

/// A configuration file with every setting: its reason, and its default or an example.
#[must_use]
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    example_of(&mut text, "", schema(), "");
    text
}

/// The entries of a table. `comment` precedes a header that is absent by default.
fn example_of(text: &mut String, path: &str, schema: &Value, comment: &str) {
    let (tables, entries): (Vec<_>, Vec<_>) =
        properties(schema).partition(|(_, schema)| is_table(schema));
    for (place, (name, schema)) in entries.into_iter().enumerate() {
        if place > 0 || path.is_empty() {
            text.push('\n');
        }
        explain(text, schema);
        if let Some(default) = schema.get("default") {
            let mark = if comment.is_empty() { "#" } else { comment };
            line(text, &format!("{mark}{name} = {}", toml(default)));
            continue;
        }
        let mark = if dotted(path, name) == NEEDED {
            ""
        } else {
            "# "
        };
        for example in examples(schema) {
            line(text, &format!("{mark}{name} = {}", toml(example)));
        }
    }
    for (name, schema) in tables {
        text.push('\n');
        explain(text, schema);
        let path = dotted(path, name);
        let more = schema.get("additionalProperties");
        match (more.filter(|more| is_table(more)), examples(schema).first()) {
            (Some(client), _) => {
                let path = dotted(&path, CLIENT);
                line(text, &format!("[{path}]"));
                example_of(text, &path, client, "");
            }
            (None, Some(Value::Object(examples))) => {
                line(text, &format!("{comment}[{path}]"));
                for (name, value) in examples {
                    line(text, &format!("# {name} = {}", toml(value)));
                }
            }
            _ => {
                let is_left_out = comment == "# " || has_no_default(schema);
                let comment = if is_left_out { "# " } else { "" };
                line(text, &format!("{comment}[{path}]"));
                example_of(text, &path, schema, comment);
            }
        }
    }
}

/// Every setting as a table in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = "| setting | default | meaning |\n|---|---|---|\n".to_owned();
    rows(&mut text, "", schema());
    text
}

fn rows(text: &mut String, path: &str, schema: &Value) {
    for (name, schema) in properties(schema) {
        let path = dotted(path, name);
        match schema.get("additionalProperties") {
            Some(more) if is_table(more) => rows(text, &format!("{path}.NAME"), more),
            None | Some(Value::Bool(_)) if is_table(schema) => rows(text, &path, schema),
            _ => {
                let default = match schema.get("default") {
                    Some(default) => format!("`{}`", toml(default)),
                    None => {
                        let examples = examples(schema).iter();
                        let examples: Vec<_> = examples
                            .map(|example| format!("`{}`", toml(example)))
                            .collect();
                        format!("not set; for example {}", examples.join(" or "))
                    }
                };
                let meaning = description(schema).replace('|', "\\|");
                line(text, &format!("| `{path}` | {default} | {meaning} |"));
            }
        }
    }
}

/// The description of the setting at `path`, as in `clients.NAME.allow`, with its default: for the long help of a
/// flag.
#[must_use]
pub fn describe(path: &str) -> String {
    let (text, default) = described(path);
    text + &default
}

/// Its first sentence, with its default: for the short help of a flag.
#[must_use]
pub fn summarize(path: &str) -> String {
    let (text, default) = described(path);
    let sentence = text.split_once(". ").map_or(&*text, |(first, _)| first);
    sentence.to_owned() + &default
}

fn described(path: &str) -> (String, String) {
    let setting = path.split('.').try_fold(schema(), |schema, name| {
        let more = schema.get("additionalProperties");
        properties(schema)
            .find(|(known, _)| *known == name)
            .map(|(_, schema)| schema)
            .or(more.filter(|more| more.is_object()))
    });
    let Some(setting) = setting else {
        return (String::new(), String::new());
    };
    let default = match setting.get("default") {
        Some(Value::String(default)) => format!(" [default: {default}]"),
        _ => String::new(),
    };
    let text = description(setting);
    (text.trim_end_matches('.').replace('`', ""), default)
}

/// The description in a schema, with that of each value where there are only a few.
fn description(schema: &Value) -> String {
    let text = |schema: &Value| {
        let text = schema.get("description").and_then(Value::as_str);
        text.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let values = schema.get("oneOf").and_then(Value::as_array);
    let values = values.into_iter().flatten().filter_map(|value| {
        let name = value.get("const")?;
        Some(format!(" {name}: {}", lower_case(&text(value))))
    });
    text(schema) + &values.collect::<String>()
}

/// The sentence in the form that follows a colon.
fn lower_case(sentence: &str) -> String {
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// Writes the description as a comment.
fn explain(text: &mut String, schema: &Value) {
    const WIDTH: usize = 100;
    let mut comment = String::from("#");
    for word in description(schema).split(' ') {
        if comment.len() + 1 + word.len() > WIDTH {
            line(text, &comment);
            comment = String::from("#");
        }
        comment.push(' ');
        comment += word;
    }
    line(text, &comment);
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String does not fail");
}

fn examples(schema: &Value) -> &[Value] {
    let examples = schema.get("examples").and_then(Value::as_array);
    examples.map_or(&[], Vec::as_slice)
}

/// Whether a table needs an entry that has no default, so that it is left out by default.
fn has_no_default(schema: &Value) -> bool {
    schema.get("required").is_some()
}

/// The names of a table that the schema has, in the order of their declaration.
pub(super) fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let entries = properties.into_iter().flat_map(Map::iter);
    entries.map(|(name, schema)| (name.as_str(), schema))
}

/// Whether this is the schema of a table, and of nothing else.
pub(super) fn is_table(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}
