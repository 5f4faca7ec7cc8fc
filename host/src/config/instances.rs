//! [`InstancesSetting`]: how [`Instances`] are written.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::settings::{InstanceReuse, Instances};

/// How [`Instances`] are written.
pub(super) struct InstancesSetting;

impl InstancesSetting {
    pub(super) fn serialize<S: Serializer>(
        instances: &Instances,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match instances {
            Instances::Fresh => serializer.serialize_str("fresh"),
            Instances::Reused(reuse) => reuse.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Instances, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for InstancesSetting {
    type Value = Instances;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"fresh\", \"reused\" or { max_calls = 1_000, max_age = \"60s\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Instances, E> {
        match text {
            "fresh" => Ok(Instances::Fresh),
            "reused" => Ok(Instances::REUSED),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instances, A::Error> {
        let reuse = InstanceReuse::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Instances::Reused(reuse))
    }
}

impl JsonSchema for InstancesSetting {
    fn schema_name() -> Cow<'static, str> {
        "Instances".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reuse = generator.subschema_for::<InstanceReuse>();
        json_schema!({ "anyOf": [{ "enum": ["fresh", "reused"] }, reuse] })
    }
}
