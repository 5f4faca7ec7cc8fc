//! Formats values and names as TOML.

use serde_json::Value;

use super::value::HIDDEN;

/// A value as TOML. What JSON escapes in a text, TOML escapes in the same way.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Object(map) if map.contains_key(HIDDEN) => format!("\"...\" # {HIDDEN}"),
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(name, value)| format!("{} = {}", key(name), toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(toml).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

/// The path of a table within another one, as its header has it.
pub(super) fn dotted(path: &str, name: &str) -> String {
    if path.is_empty() {
        key(name)
    } else {
        format!("{path}.{}", key(name))
    }
}

/// A TOML key: a bare key if possible.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}
