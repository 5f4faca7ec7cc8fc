//! [`SecretValue`]: a string that may be a secret, and so is best kept outside the file.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::located::SECRET;
use super::text;

/// A string and its origin. A line end at the end of a value from elsewhere is not a part of it: editors and `echo` add
/// one, and no header may have one. [`fmt::Debug`] and [`Serialize`] have the origin only.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretValue {
    /// Empty until a value from elsewhere is [read](SecretValue::resolve).
    pub(super) text: String,
    origin: ValueOrigin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueOrigin {
    /// The file or the flag itself.
    Written,
    /// This variable of oneflight's own environment.
    Environment(String),
    /// This file.
    File(PathBuf),
}

/// Why a value cannot be read from its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// This environment variable does not exist, or is not UTF-8.
    NoVariable(String),
    /// This file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        why: String,
    },
}

impl Display for OriginError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVariable(variable) => write!(
                f,
                "expected a UTF-8 value in the environment variable {variable}, got none; export it, or write \
                 the value itself"
            ),
            Self::Unreadable { file, why } => write!(f, "could not read {}: {why}", file.display()),
        }
    }
}

impl std::error::Error for OriginError {}

/// What a written value is printed as.
pub(super) const HIDDEN: &str = "hidden";

const FORM: &str = "a string in quotes, { env = \"NAME\" } or { file = \"PATH\" }";

impl SecretValue {
    pub(super) fn written(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: ValueOrigin::Written,
        }
    }

    pub(super) fn from_environment(variable: &str) -> Result<Self, OriginError> {
        let mut value = Self {
            text: String::new(),
            origin: ValueOrigin::Environment(variable.to_owned()),
        };
        value.resolve(Path::new(""))?;
        Ok(value)
    }

    /// Reads the text from its origin. Paths are relative to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) -> Result<(), OriginError> {
        match &mut self.origin {
            ValueOrigin::Written => {}
            ValueOrigin::Environment(variable) => {
                let text = std::env::var(&*variable);
                let missing = |_| OriginError::NoVariable(variable.clone());
                without_line_end(&text.map_err(missing)?).clone_into(&mut self.text);
            }
            ValueOrigin::File(file) => {
                *file = folder.join(&*file);
                let text = std::fs::read_to_string(&*file);
                let text = text.map_err(|why| OriginError::Unreadable {
                    file: file.clone(),
                    why: why.to_string(),
                })?;
                without_line_end(&text).clone_into(&mut self.text);
            }
        }
        Ok(())
    }
}

/// `text` without one line end at its end, of any system.
fn without_line_end(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Unwraps the newtype, within which the deserializer keeps values out of its errors.
        struct Outer;
        struct Inner;

        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Elsewhere {
            env: Option<String>,
            #[serde(default, with = "text::optional")]
            file: Option<PathBuf>,
        }

        impl<'de> Visitor<'de> for Outer {
            type Value = SecretValue;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<SecretValue, D::Error> {
                deserializer.deserialize_any(Inner)
            }
        }

        impl<'de> Visitor<'de> for Inner {
            type Value = SecretValue;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretValue, E> {
                Ok(SecretValue::written(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretValue, A::Error> {
                let read = Elsewhere::deserialize(MapAccessDeserializer::new(map))?;
                let origin = match (read.env, read.file) {
                    (Some(variable), None) => ValueOrigin::Environment(variable),
                    (None, Some(file)) => ValueOrigin::File(file),
                    (None, None) => {
                        return Err(A::Error::custom(format!("expected {FORM}, got {{}}")));
                    }
                    _ => return Err(A::Error::custom(format!("expected {FORM}, got both"))),
                };
                let text = String::new();
                Ok(SecretValue { text, origin })
            }
        }

        deserializer.deserialize_newtype_struct(SECRET, Outer)
    }
}

/// Values by their names. A table of another form is refused without what stands in its place, which may be a
/// secret, too.
pub(super) fn table<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, SecretValue>, D::Error> {
    struct Table;

    impl<'de> Visitor<'de> for Table {
        type Value = BTreeMap<String, SecretValue>;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("a table of names and values")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                values.insert(name, value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_newtype_struct(SECRET, Table)
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &self.origin {
            ValueOrigin::Written => map.serialize_entry(HIDDEN, &true)?,
            ValueOrigin::Environment(variable) => map.serialize_entry("env", variable)?,
            ValueOrigin::File(file) => map.serialize_entry("file", &file.display().to_string())?,
        }
        map.end()
    }
}

impl JsonSchema for SecretValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let from = |name: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { name: { "type": "string" } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({ "anyOf": [{ "type": "string" }, from("env"), from("file")] })
    }
}
