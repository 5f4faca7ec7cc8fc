//! [`RegistryConfig`]: how registries of components are reached.

use std::fmt::{self, Formatter};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::text::{self, TextSetting};
use crate::model::setting::{LimitTable, NameSeed, Stated};
use crate::oci::RegistryHost;
use crate::settings::RegistryLimits;

/// The registries of components whose references begin with `oci://`. Their credentials are those of docker login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub struct RegistryConfig {
    /// Registries that are reached by plain HTTP, without TLS: `host[:port]`. Anyone on the way can read the credentials
    /// and change what a tag stands for. One on this machine needs no entry.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<RegistryHost>")]
    pub plain_http: Vec<RegistryHost>,
    /// The times of registries.
    #[serde(flatten)]
    pub limits: RegistryLimits,
}

impl TextSetting for RegistryHost {
    const FORM: &'static str = "the host of a registry, as in registry.example:5000";
    const PATTERN: Option<&'static str> = Some(r"^([0-9A-Za-z.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|()| None)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

// By hand, since serde's own way to read one table into two structs loses the place of an error.
impl<'de> Deserialize<'de> for RegistryConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const PLAIN_HTTP: &str = "plain_http";
        static NAMES: LazyLock<Vec<&str>> =
            LazyLock::new(|| [&[PLAIN_HTTP], RegistryLimits::names()].concat());

        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Hosts(#[serde(with = "text::list")] Vec<RegistryHost>);

        struct Registry;

        impl<'de> Visitor<'de> for Registry {
            type Value = RegistryConfig;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a table, as in [registry]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RegistryConfig, A::Error> {
                let (mut plain_http, mut limits) = (Vec::new(), Stated::new());
                while let Some(name) = map.next_key_seed(NameSeed(&NAMES))? {
                    if name == PLAIN_HTTP {
                        Hosts(plain_http) = map.next_value()?;
                    } else {
                        limits.read(name, &mut map)?;
                    }
                }
                let limits = limits.over(RegistryLimits::default());
                Ok(RegistryConfig { plain_http, limits })
            }
        }

        deserializer.deserialize_map(Registry)
    }
}
