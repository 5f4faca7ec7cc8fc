//! [`Config`]: the configuration of a service, as its file states it. An error in the file is found when it is
//! read, before anything runs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

use super::client::ClientConfig;
use super::existing_file::expect_file;
use super::host_name::HostName;
use super::listen_address::ListenAddress;
use super::located::Located;
use super::registry::RegistryConfig;
use super::text;
use super::traces::TracesConfig;
use super::value_error::ValueError;
use crate::model::setting::{LimitTable, NameSeed, Stated};
use crate::settings::{CompileLimits, ServerLimits};

/// The configuration of a service.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Oneflight configuration")]
pub struct Config {
    /// The address to which callers connect: an IP address and a port, or the path of a Unix socket, to which the user
    /// and the group of the service may connect. On an address other than loopback, any host that can connect can use
    /// the credentials of every client.
    #[serde(with = "text")]
    #[schemars(schema_with = "text::schema::<ListenAddress>")]
    pub listen: ListenAddress,

    /// The address of the admin API, of either form: metrics, open flights and the dashboard; false disables it.
    #[serde(with = "text::or_false")]
    #[schemars(schema_with = "text::or_false::schema::<ListenAddress>")]
    pub admin: Option<ListenAddress>,

    /// Networks of proxies that send a header of the PROXY protocol, version 1 or 2, before the bytes of each caller, as
    /// HAProxy does with send-proxy. The log has the address that it states. A connection from there without a header is
    /// closed, and a header from elsewhere is refused.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<IpNet>")]
    pub proxy_protocol_from: Vec<IpNet>,

    /// Host names by which the admin API may be requested, for example by Prometheus; addresses of this machine always
    /// may. List no name that others can make resolve to this machine.
    #[serde(with = "text::list")]
    #[schemars(schema_with = "text::list::schema::<HostName>")]
    pub admin_hosts: Vec<HostName>,

    /// TLS on the address for callers. Without this table they connect by plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TlsFiles")]
    pub tls: Option<TlsFiles>,

    /// The limits of the service's connections, and the times of its shutdown.
    pub limits: ServerLimits,

    /// The log, on stderr.
    pub log: LogConfig,

    /// Exports the spans of callers, flights and upstream requests by OTLP over HTTP. Keys are exported as hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TracesConfig")]
    pub traces: Option<TracesConfig>,

    /// How components are compiled, in a child process.
    pub compile: CompileConfig,

    /// How registries of components are reached: those of a component whose reference begins with `oci://`.
    pub registry: RegistryConfig,

    /// The clients, in the order of their names. Each is served at /v1/NAME/items?x=KEY.
    #[serde(deserialize_with = "read_clients", serialize_with = "clients_by_name")]
    #[schemars(with = "BTreeMap<String, ClientConfig>")]
    pub clients: Vec<ClientConfig>,
}

/// The files of the server's certificate and key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, as in [tls]")]
pub struct TlsFiles {
    /// The certificate chain without the root, a PEM file. It is reloaded when the file has changed, and on
    /// SIGHUP.
    #[serde(with = "text")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = "server.pem")]
    pub certificate: PathBuf,
    /// The private key of the certificate, a PEM file.
    #[serde(with = "text")]
    #[schemars(schema_with = "text::schema::<PathBuf>", example = "server-key.pem")]
    pub key: PathBuf,
}

/// The log, on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table, as in [log]")]
pub struct LogConfig {
    /// The minimum level of what is logged. Each flight is one line, at info, or at warn if it failed.
    #[serde(with = "text")]
    #[schemars(schema_with = "text::schema::<LevelFilter>")]
    pub level: LevelFilter,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Readable text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The settings of compiling components.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub struct CompileConfig {
    /// The folder in which compiled code is cached for the next start, and in its subfolder oci what was pulled from
    /// registries; by default oneflight in $XDG_CACHE_HOME or ~/.cache. No other user may have write access to it.
    #[serde(skip_serializing_if = "CacheConfig::is_home")]
    #[schemars(
        schema_with = "text::or_false::schema::<PathBuf>",
        example = "/var/cache/oneflight",
        example = false
    )]
    pub cache: CacheConfig,
    /// The limits of compiling.
    #[serde(flatten)]
    pub limits: CompileLimits,
}

/// Where compiled code is cached for the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheConfig {
    /// In the user's own folder for caches, where there is one.
    #[default]
    Home,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)).into(),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8081)).into()),
            proxy_protocol_from: Vec::new(),
            admin_hosts: Vec::new(),
            tls: None,
            limits: ServerLimits::default(),
            log: LogConfig::default(),
            traces: None,
            compile: CompileConfig::default(),
            registry: RegistryConfig::default(),
            clients: Vec::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            format: LogFormat::default(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: Arc<io::Error>,
    },
    /// A value in the file is not valid, or names a file or variable that does not exist.
    Invalid {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected, what was found and what to do.
        message: String,
    },
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => {
                write!(f, "could not read {}: {error}", file.display())
            }
            Self::Invalid {
                file,
                line,
                message,
            } => write!(f, "{}:{line}: {message}", file.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file at `path`. Paths in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// For the first value that is not valid.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            file: path.to_owned(),
            error: Arc::new(error),
        })?;
        Self::parse(path, &text)
    }

    /// Reads `text`, which is in the file `path`.
    ///
    /// # Errors
    ///
    /// For the first value that is not valid.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |at: usize, message: String| invalid(path, text, at, message);
        let file = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let message = match error.message() {
                "duplicate key" => "expected this name once, got it again; remove or rename one",
                other => other,
            };
            invalid(at, message.to_owned())
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Self::deserialize(Located::file(file.clone()));
        let config = config.and_then(|config| config.resolve(folder));
        config.map_err(|error| invalid(error.place(&file), error.to_string()))
    }

    /// Reads the files and variables that the file names. Paths are relative to `folder`.
    fn resolve(mut self, folder: &Path) -> Result<Self, ValueError> {
        if let Some(tls) = &mut self.tls {
            for (name, file) in [("certificate", &mut tls.certificate), ("key", &mut tls.key)] {
                *file = folder.join(&*file);
                expect_file(file).map_err(|found| ValueError::about(&["tls", name], found))?;
            }
        }
        if let Some(traces) = &mut self.traces {
            traces.resolve(folder)?;
        }
        if let CacheConfig::Folder(cache) = &mut self.compile.cache {
            *cache = folder.join(&*cache);
        }
        let clients = self.clients.into_iter();
        self.clients = clients
            .map(|client| client.resolve(folder))
            .collect::<Result<_, _>>()?;
        Ok(self)
    }
}

/// An error about the place `at` in `text`, in bytes, which is in the file `path`.
pub(super) fn invalid(path: &Path, text: &str, at: usize, message: String) -> ConfigError {
    let before = &text.as_bytes()[..at.min(text.len())];
    ConfigError::Invalid {
        file: path.to_owned(),
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        message,
    }
}

/// The clients by the names that the file gives them.
fn read_clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ClientConfig>, D::Error> {
    struct Clients;
    struct ClientName;

    impl<'de> Visitor<'de> for Clients {
        type Value = Vec<ClientConfig>;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("a table for each client, as in [clients.orders]")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut clients = Vec::new();
            while let Some(name) = map.next_key_seed(ClientName)? {
                clients.push(map.next_value::<ClientConfig>()?.named(name));
            }
            Ok(clients)
        }
    }

    impl<'de> DeserializeSeed<'de> for ClientName {
        type Value = String;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
            let name = String::deserialize(deserializer)?;
            if is_a_name(&name) {
                return Ok(name);
            }
            Err(D::Error::custom(format!(
                "expected the name of a client of letters, digits, '-', '_' and '.', at most 64 of them, \
                 got {name:?}"
            )))
        }
    }

    deserializer.deserialize_map(Clients)
}

fn clients_by_name<S: Serializer>(
    clients: &[ClientConfig],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(clients.iter().map(|client| (client.name(), client)))
}

/// Whether a URL can have this name of a client as it is.
fn is_a_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

impl CacheConfig {
    fn is_home(&self) -> bool {
        *self == Self::Home
    }
}

impl Serialize for CacheConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Home => serializer.serialize_none(),
            Self::Folder(folder) => text::serialize(folder, serializer),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

// By hand, since serde's own way to read one table into two structs loses the place of an error.
impl<'de> Deserialize<'de> for CompileConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const CACHE: &str = "cache";
        static NAMES: LazyLock<Vec<&str>> =
            LazyLock::new(|| [&[CACHE], CompileLimits::names()].concat());

        struct Compile;

        impl<'de> Visitor<'de> for Compile {
            type Value = CompileConfig;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a table, as in [compile]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CompileConfig, A::Error> {
                let (mut cache, mut limits) = (CacheConfig::default(), Stated::new());
                while let Some(name) = map.next_key_seed(NameSeed(&NAMES))? {
                    if name == CACHE {
                        cache = map.next_value::<CacheConfig>()?;
                    } else {
                        limits.read(name, &mut map)?;
                    }
                }
                let limits = limits.over(CompileLimits::default());
                Ok(CompileConfig { cache, limits })
            }
        }

        deserializer.deserialize_map(Compile)
    }
}

impl<'de> Deserialize<'de> for CacheConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let folder: Option<PathBuf> = text::or_false::deserialize(deserializer)?;
        Ok(folder.map_or(Self::Off, Self::Folder))
    }
}
