//! [`Config`]: a service's configuration file, read and validated before anything runs.
//!
//! A setting is declared once, by the field that holds it: a limit by `limits!` of
//! [`model::setting`](crate::model::setting), any other by serde's and schemars' attributes. Parsing, `config print`,
//! the JSON Schema, the commented example, the table of the documentation and the help of flags follow from that declaration.

mod builtin;
mod client;
mod existing_file;
mod file;
mod host_name;
mod instances;
mod listen_address;
mod located;
mod policy_file;
mod print;
mod reference;
mod registry;
mod renamed;
mod text;
mod toml_text;
mod traces;
mod value;
mod value_error;

#[cfg(test)]
mod tests;

pub use client_settings::SettingError;

pub use self::client::{ClientConfig, ClientConfigError, Component, SharingSetting};
pub use self::existing_file::file_kind;
pub use self::file::{
    CacheConfig, CompileConfig, Config, ConfigError, LogConfig, LogFormat, TlsFiles,
};
pub use self::host_name::HostName;
pub use self::listen_address::{A_LISTEN_ADDRESS, ListenAddress};
pub use self::policy_file::PolicyFile;
pub use self::reference::{describe, example, schema, summarize, table};
pub use self::registry::RegistryConfig;
pub use self::text::AN_ADDRESS;
pub use self::traces::{OtlpUrl, OtlpUrlError, TracesConfig};
pub use self::value::OriginError;
