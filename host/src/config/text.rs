//! Settings that are written as strings in a certain format, such as `"127.0.0.1:8080"`: for serde's `with`.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::Serializer;
use tracing::level_filters::LevelFilter;

use super::host_name::{A_HOST_NAME, HostName};
use super::listen_address::{A_LISTEN_ADDRESS, ListenAddress};
use crate::model::SharePattern;
use crate::model::units::{A_DURATION, duration, show_duration};
use crate::upstream::AllowRule;

/// The form of an address, for messages.
pub const AN_ADDRESS: &str = "an IP address and a port, as in 127.0.0.1:8080";

/// A value that is written as a string.
pub(super) trait TextSetting: Sized {
    /// Its form, for messages.
    const FORM: &'static str;
    /// The format as a regular expression, if there is one.
    const PATTERN: Option<&'static str> = None;

    /// All its values, where there are only a few.
    const VALUES: &'static [&'static str] = &[];

    /// Parses it. The error is `None` if [`TextSetting::FORM`] describes it completely.
    fn read(text: &str) -> Result<Self, Option<String>>;

    fn show(&self) -> String;
}

impl TextSetting for ListenAddress {
    const FORM: &'static str = A_LISTEN_ADDRESS;
    const PATTERN: Option<&'static str> =
        Some(r"^(\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-fA-F:.]+\]:\d+|unix:/.+)$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|()| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for IpNet {
    const FORM: &'static str = "a network, as in 10.0.0.0/8 or 10.1.2.3/32";
    const PATTERN: Option<&'static str> = Some(r"^[0-9a-fA-F:.]+/\d+$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for HostName {
    const FORM: &'static str = A_HOST_NAME;
    const PATTERN: Option<&'static str> = Some(r"^[0-9A-Za-z_.-]+$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|()| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for AllowRule {
    const FORM: &'static str = "[scheme://]host[:port]";
    const PATTERN: Option<&'static str> = Some(r"^(https?://)?[^/]+/?$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse()
            .map_err(|error: <Self as std::str::FromStr>::Err| Some(error.to_string()))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for SharePattern {
    const FORM: &'static str =
        "the name of a function, as in get-order or acme:orders/orders#list-*";
    const PATTERN: Option<&'static str> = Some(r"^([^#*\s]+#)?([^#*\s]+\*?|\*)$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for LevelFilter {
    const FORM: &'static str = "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    const VALUES: &'static [&'static str] = &["off", "error", "warn", "info", "debug", "trace"];

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for Duration {
    const FORM: &'static str = A_DURATION;
    const PATTERN: Option<&'static str> = Some("^[0-9]+ *(ms|s|m|h)$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        duration(text).ok_or(None)
    }

    fn show(&self) -> String {
        show_duration(*self)
    }
}

impl TextSetting for PathBuf {
    const FORM: &'static str = "a path in quotes";

    fn read(text: &str) -> Result<Self, Option<String>> {
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl TextSetting for String {
    const FORM: &'static str = "a string in quotes";

    fn read(text: &str) -> Result<Self, Option<String>> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

pub(super) fn serialize<T: TextSetting, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.show())
}

pub(super) fn deserialize<'de, T: TextSetting, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    TextSeed(PhantomData).deserialize(deserializer)
}

pub(super) fn schema<T: TextSetting>(_: &mut SchemaGenerator) -> Schema {
    text_schema::<T>()
}

fn text_schema<T: TextSetting>() -> Schema {
    let mut schema = json_schema!({ "type": "string" });
    if !T::VALUES.is_empty() {
        schema.insert("enum".to_owned(), T::VALUES.into());
    }
    if let Some(pattern) = T::PATTERN {
        schema.insert("pattern".to_owned(), pattern.into());
    }
    schema
}

struct TextSeed<T>(PhantomData<T>);

impl<'de, T: TextSetting> DeserializeSeed<'de> for TextSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T: TextSetting> Visitor<'_> for TextSeed<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(|why| match why {
            Some(why) => E::custom(why),
            None => E::invalid_value(Unexpected::Str(text), &self),
        })
    }
}

/// An optional string.
pub(super) mod optional {
    use super::{Deserializer, Serializer, TextSetting};

    pub(in crate::config) fn serialize<T: TextSetting, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, T: TextSetting, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// A string, or `false` for none.
pub(super) mod or_false {
    use super::{
        Deserializer, Error, Formatter, PhantomData, Schema, SchemaGenerator, Serializer, TextSeed,
        TextSetting, Unexpected, Visitor, fmt, json_schema, text_schema,
    };

    pub(in crate::config) fn serialize<T: TextSetting, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_bool(false),
        }
    }

    pub(in crate::config) fn deserialize<'de, T: TextSetting, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(OrFalse(PhantomData))
    }

    pub(in crate::config) fn schema<T: TextSetting>(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [text_schema::<T>(), { "const": false }] })
    }

    struct OrFalse<T>(PhantomData<T>);

    impl<T: TextSetting> Visitor<'_> for OrFalse<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write!(f, "{}, or false", T::FORM)
        }

        fn visit_bool<E: Error>(self, on: bool) -> Result<Option<T>, E> {
            if on {
                Err(E::invalid_value(Unexpected::Bool(on), &self))
            } else {
                Ok(None)
            }
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
            TextSeed(PhantomData).visit_str(text).map(Some)
        }
    }
}

/// An array of strings.
pub(super) mod list {
    use super::{
        Deserializer, Formatter, PhantomData, Schema, SchemaGenerator, SeqAccess, Serializer,
        TextSeed, TextSetting, Visitor, fmt, json_schema, text_schema,
    };

    pub(in crate::config) fn serialize<T: TextSetting, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(TextSetting::show))
    }

    pub(in crate::config) fn deserialize<'de, T: TextSetting, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(Texts(PhantomData))
    }

    pub(in crate::config) fn schema<T: TextSetting>(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": text_schema::<T>() })
    }

    struct Texts<T>(PhantomData<T>);

    impl<'de, T: TextSetting> Visitor<'de> for Texts<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write!(f, "an array of strings, each {}", T::FORM)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(value) = values.next_element_seed(TextSeed(PhantomData))? {
                list.push(value);
            }
            Ok(list)
        }
    }
}
