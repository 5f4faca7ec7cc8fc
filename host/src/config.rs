//! [`Config`]: a service's configuration file, read and validated before anything runs. What it describes is
//! [`settings`](crate::settings)'s.

mod client;
mod fields;
mod file;
mod print;
mod section;
mod traces;
mod units;
mod value;

pub use self::client::{ClientConfig, Component};
pub use self::file::{
    AN_ADDRESS, CacheConfig, CompileConfig, Config, LogConfig, LogFormat, TlsFiles,
};
pub use self::section::ConfigError;
pub use self::traces::{OtlpUrl, TracesConfig};
pub use self::units::{A_DURATION, duration};
