//! [`Config`]: what a service is to be, as its file says. What is wrong with the file is found when it is
//! read, before anything runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::client::{ClientConfig, Component};
use super::section::{ConfigError, Entry, Found, Section, Source};
use super::traces::TracesConfig;
use crate::model::{Abandoned, Limits, Sharing};
use crate::settings::{CompileLimits, Instances, ServerLimits};

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where callers ask: 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Where the operator asks, if anywhere: 127.0.0.1:8081.
    pub admin: Option<SocketAddr>,
    /// With what callers are spoken to by TLS, if they are.
    pub tls: Option<TlsFiles>,
    /// What is taken from whoever connects, and how the service ends.
    pub limits: ServerLimits,
    /// What the log shows.
    pub log: LogConfig,
    /// Where traces go, if anywhere.
    pub traces: Option<TracesConfig>,
    /// How components are compiled.
    pub compile: CompileConfig,
    /// The clients, in the order of their names.
    pub clients: Vec<ClientConfig>,
}

/// The files of a server's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate and those above it but the root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// What the log shows, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important lines that it shows: info, which has one line per flight.
    pub level: LevelFilter,
    /// What a line looks like.
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// How components are compiled, as far as an operator chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileConfig {
    /// Where compiled code is kept.
    pub cache: CacheConfig,
    /// What compiling may cost.
    pub limits: CompileLimits,
}

/// Where compiled code is kept for the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheConfig {
    /// In the user's own folder for such things, where there is one.
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
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8081))),
            tls: None,
            limits: ServerLimits::default(),
            log: LogConfig {
                level: LevelFilter::INFO,
                format: LogFormat::default(),
            },
            traces: None,
            compile: CompileConfig::default(),
            clients: Vec::new(),
        }
    }
}

/// What an address needs to be, for whoever wrote something else.
pub const AN_ADDRESS: &str = "an IP address and a port, as in 127.0.0.1:8080";

const LEVELS: &str = "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";

/// Whether a client of this name can be asked for in a URL as it is.
fn is_a_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

impl Config {
    /// Reads the file at `path`. Paths in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first thing in it that cannot be used; another where it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        use anyhow::Context;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Ok(Self::parse(path, &text)?)
    }

    /// Reads `text`, which is in the file `path`.
    ///
    /// # Errors
    ///
    /// For the first thing in it that cannot be used.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut file = Section::whole(Source { file: path, text })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let address = |text: &str| text.parse().ok();
        if let Some(listen) = file.parsed("listen", AN_ADDRESS, address)? {
            config.listen = listen;
        }
        if file.is_off("admin") {
            config.admin = None;
        } else if let Some(admin) = file.parsed("admin", AN_ADDRESS, address)? {
            config.admin = Some(admin);
        }
        if let Some(tls) = file.section("tls")? {
            config.tls = Some(tls_files(tls, folder)?);
        }
        if let Some(mut limits) = file.section("limits")? {
            limits.fields(config.limits.fields())?;
            limits.end()?;
        }
        if let Some(log) = file.section("log")? {
            config.log = log_config(log, config.log)?;
        }
        if let Some(traces) = file.section("traces")? {
            config.traces = Some(TracesConfig::read(traces, folder)?);
        }
        if let Some(compile) = file.section("compile")? {
            config.compile = compile_config(compile, folder)?;
        }
        if let Some(clients) = file.section("clients")? {
            for (name, entry) in clients.named() {
                config.clients.push(client(&file, name, entry, folder)?);
            }
        }
        file.end()?;
        Ok(config)
    }
}

fn tls_files(mut tls: Section<'_>, folder: &Path) -> Result<TlsFiles, ConfigError> {
    let certificate = existing(&mut tls, "certificate", folder)?;
    let key = existing(&mut tls, "key", folder)?;
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let needed = "found half of [tls]; needed certificate and key, each a PEM file";
        return Err(tls.error(needed));
    };
    tls.end()?;
    Ok(TlsFiles { certificate, key })
}

fn log_config(mut log: Section<'_>, defaults: LogConfig) -> Result<LogConfig, ConfigError> {
    let level = log.parsed("level", LEVELS, |text| text.parse().ok())?;
    let format = log.parsed("format", "\"text\" or \"json\"", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    })?;
    log.end()?;
    Ok(LogConfig {
        level: level.unwrap_or(defaults.level),
        format: format.unwrap_or(defaults.format),
    })
}

fn compile_config(mut compile: Section<'_>, folder: &Path) -> Result<CompileConfig, ConfigError> {
    let mut config = CompileConfig::default();
    if compile.is_off("cache") {
        config.cache = CacheConfig::Off;
    } else if let Some(cache) = compile.text("cache")? {
        config.cache = CacheConfig::Folder(folder.join(cache.value));
    }
    if let Some(memory) = compile.bytes("max_memory_bytes")? {
        config.limits.max_memory_bytes = memory as u64;
    }
    if let Some(cpu) = compile.duration("max_cpu_time")? {
        config.limits = config.limits.with_max_cpu_time(cpu);
    }
    compile.end()?;
    Ok(config)
}

fn client(
    file: &Section<'_>,
    name: Found<String>,
    entry: Entry<'_>,
    folder: &Path,
) -> Result<ClientConfig, ConfigError> {
    let Found { value: name, at } = name;
    if !is_a_name(&name) {
        let needed = "needed letters, digits, '-', '_' and '.', at most 64 of them";
        let message = format!("found {name:?} as the name of a client; {needed}");
        return Err(file.error_at(&at, message));
    }
    let Entry::Section(mut section) = entry else {
        let message = format!("found no table for the client {name}; needed [clients.{name}]");
        return Err(file.error_at(&at, message));
    };
    let mut client = ClientConfig::new(&name);
    if let Some(component) = section.text("component")?
        && component.value != "builtin"
    {
        let found = folder.join(component.value);
        let file = present(&section, found, &component.at)?;
        client.component = Component::File(file);
    }
    if let Some(url) = section.text("base_url")? {
        client.set_base_url(&url.value);
    }
    if let Some(settings) = section.section("settings")? {
        for (name, entry) in settings.named() {
            setting(&mut client, file, name, entry, folder)?;
        }
    }
    let policy = &mut client.settings.policy;
    policy.allow = section.list("allow", origin)?;
    policy.nets = section.list("allow_net", network)?;
    policy.trace = section.list("trace_to", origin)?;
    if let Some(ca_file) = section.text("ca_file")? {
        let path = present(&section, folder.join(&ca_file.value), &ca_file.at)?;
        let read = client.set_ca_file(&path);
        read.map_err(|error| section.error_at(&ca_file.at, format!("{error:#}")))?;
    }
    client.settings.instances = instances(&mut section)?;
    client.settings.sharing = sharing(&mut section)?;
    let abandoned = |text: &str| match text {
        "cancel" => Some(Abandoned::Cancel),
        "finish" => Some(Abandoned::Finish),
        _ => None,
    };
    let abandoned = section.parsed("abandoned", "\"cancel\" or \"finish\"", abandoned)?;
    client.settings.abandoned = abandoned.unwrap_or_default();
    if let Some(limits) = section.section("limits")? {
        client.settings.limits = client_limits(limits)?;
    }
    section.end()?;
    // Whatever is wrong with the whole is told where the client begins.
    let completed = client.complete();
    completed.map_err(|error| section.error(format!("{error:#}")))
}

fn setting(
    client: &mut ClientConfig,
    file: &Section<'_>,
    name: Found<String>,
    entry: Entry<'_>,
    folder: &Path,
) -> Result<(), ConfigError> {
    if client.is_set(&name.value) {
        let message = "set twice; needed once: remove it or base_url";
        return Err(file.error_at(&name.at, format!("found {} {message}", name.value)));
    }
    let value = entry.value(file, &name, folder)?;
    client.put(&name.value, value);
    Ok(())
}

fn instances(section: &mut Section<'_>) -> Result<Instances, ConfigError> {
    if let Some(mut reused) = section.section_or_value("instances")? {
        let Instances::Reused { calls, age } = Instances::REUSED else {
            unreachable!("it says so itself");
        };
        let read = (reused.count("max_calls")?, reused.duration("max_age")?);
        let too_many = || reused.error("found too large a max_calls; needed at most 4,294,967,295");
        let calls = match read.0 {
            Some(calls) => u32::try_from(calls).map_err(|_| too_many())?,
            None => calls,
        };
        reused.end()?;
        let age = read.1.unwrap_or(age);
        return Ok(Instances::Reused { calls, age });
    }
    let needed = "\"fresh\", \"reused\" or { max_calls = 1_000, max_age = \"60s\" }";
    let read = section.parsed("instances", needed, |text| match text {
        "fresh" => Some(Instances::Fresh),
        "reused" => Some(Instances::REUSED),
        _ => None,
    })?;
    Ok(read.unwrap_or_default())
}

fn sharing(section: &mut Section<'_>) -> Result<Sharing, ConfigError> {
    let observed = section.parsed(
        "sharing",
        "\"coalesced\" or \"observed\"",
        |text| match text {
            "coalesced" => Some(false),
            "observed" => Some(true),
            _ => None,
        },
    )?;
    let join_window = section.duration("join_window")?;
    let allow_fresh = section.flag("allow_fresh")?.unwrap_or_default();
    Ok(match observed {
        Some(true) => Sharing::Observed,
        _ => Sharing::Coalesced {
            join_window,
            allow_fresh,
        },
    })
}

fn client_limits(mut section: Section<'_>) -> Result<Limits, ConfigError> {
    // First, because others follow from it where they are not said themselves.
    let flight: Option<Duration> = section.duration("flight_timeout")?;
    let mut limits = Limits::default();
    if let Some(flight) = flight {
        limits = limits.with_flight_timeout(flight);
    }
    section.fields(limits.fields())?;
    if limits.flight_timeout.is_zero() {
        return Err(
            section.error("found zero for flight_timeout; needed more, or nothing would run")
        );
    }
    section.end()?;
    Ok(limits)
}

fn origin(text: &str) -> Result<crate::upstream::AllowRule, String> {
    text.parse().map_err(|error| format!("{error:#}"))
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let needed = "needed a network, as in 10.0.0.0/8 or 10.1.2.3/32";
    text.parse().map_err(|_| needed.to_owned())
}

/// A file that has to be there.
fn existing(
    section: &mut Section<'_>,
    name: &'static str,
    folder: &Path,
) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = section.text(name)? else {
        return Ok(None);
    };
    present(section, folder.join(path.value), &path.at).map(Some)
}

fn present(
    section: &Section<'_>,
    path: PathBuf,
    at: &std::ops::Range<usize>,
) -> Result<PathBuf, ConfigError> {
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("found no file at {}; needed one", path.display());
    Err(section.error_at(at, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let parsed = Config::parse(Path::new("oneflight.toml"), text);
        parsed.map_err(|error| error.to_string())
    }

    const ORDERS: &str = "[clients.orders]\nbase_url = \"http://localhost:3000/\"\n";

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(config.limits, ServerLimits::default());
        assert!(config.clients.is_empty());
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_but_for_what_is_hidden() {
        let text = format!(
            "listen = '0.0.0.0:1'\nadmin = false\n\
             [limits]\nmax_connections = 7\nshutdown_grace = '90s'\n\
             [log]\nlevel = 'debug'\nformat = 'json'\n\
             [traces]\notlp = 'http://c.example/otlp'\nsample = 0.25\nheaders.x-a = 's3cret'\n\
             [compile]\ncache = false\nmax_memory_bytes = '1 GiB'\nmax_cpu_time = '7s'\n\
             {ORDERS}allow = ['https://*.a.example']\nallow_net = ['10.0.0.0/8']\n\
             trace_to = ['b.example:1']\ninstances = {{ max_calls = 5, max_age = '1s' }}\n\
             join_window = '2s'\nallow_fresh = true\nabandoned = 'finish'\n\
             settings.HEADER_A = 's3cret'\nlimits.flight_timeout = '5s'\nlimits.max_memory_bytes = '1 MiB'\n"
        );
        let config = parse(&text).unwrap();
        let printed = config.to_string();
        assert!(
            !printed.contains("s3cret") && !printed.contains("3000/"),
            "{printed}"
        );
        assert!(printed.contains("\"http://localhost:3000\""), "{printed}");
        assert!(printed.contains("connections = 7\n"), "{printed}");
        assert!(
            printed.contains("header_timeout = \"10s\" # default"),
            "{printed}"
        );
        let hidden = "BASE_URL = \"...\" # hidden";
        assert!(printed.contains(hidden), "{printed}");
        assert!(printed.contains("x-a = \"...\" # hidden"), "{printed}");
        assert!(!format!("{:?}", config.traces).contains("s3cret"));
        let shown = printed.replace(hidden, "BASE_URL = 'http://localhost:3000'");
        let again = parse(&shown).unwrap();
        assert_eq!(again.limits, config.limits);
        assert_eq!((again.log, &again.compile), (config.log, &config.compile));
        let (traces, before) = (again.traces.unwrap(), config.traces.unwrap());
        assert_eq!((traces.otlp, traces.sample), (before.otlp, 0.25));
        let (again, before) = (&again.clients[0].settings, &config.clients[0].settings);
        assert_eq!(again.limits, before.limits);
        assert_eq!(
            (again.sharing, again.abandoned),
            (before.sharing, before.abandoned)
        );
        assert_eq!(again.instances, before.instances);
        assert_eq!(before.limits.request_timeout, Duration::from_secs(4));
    }

    /// The line of each complaint, what is complained of, and what is said.
    const COMPLAINTS: &[(usize, &str, [&str; 2])] = &[
        (
            1,
            "lisen = '127.0.0.1:80'",
            ["unknown name lisen", "did you mean listen?"],
        ),
        (
            2,
            "\nlisten = 8080",
            ["for listen", "needed an IP address and a port"],
        ),
        (
            1,
            "whatever = 1",
            ["unknown name whatever", "needed one of listen, admin"],
        ),
        (1, "listen = ", ["", ""]),
        (
            2,
            "[limits]\nshutdown_grace = 10",
            ["without a unit", "as in \"250ms\""],
        ),
        (
            2,
            "[limits]\nshutdown_grace = '10 sec'",
            ["for limits.shutdown_grace", "as in \"250ms\""],
        ),
        (
            2,
            "[limits]\nmax_header_bytes = '8 KB'",
            ["for limits.max_header_bytes", "as in \"64 KiB\""],
        ),
        (
            2,
            "[limits]\nmax_headers = 0",
            ["found zero for limits.max_headers", "nothing would run"],
        ),
        (
            2,
            "[limits]\nmax_headers = -1",
            ["found a number", "a whole number"],
        ),
        (2, "[log]\nlevel = 'loud'", ["for log.level", "\"trace\""]),
        (1, "[tls]\n", ["half of [tls]", "certificate and key"]),
        (1, "[traces]\n", ["[traces] without otlp", "http[s]://host"]),
        (
            2,
            "[traces]\nsampel = 1",
            ["name traces.sampel", "did you mean sample?"],
        ),
        (
            3,
            "[traces]\notlp = 'http://c.example'\nsample = 1.5",
            ["for traces.sample", "from 0 to 1"],
        ),
        (
            2,
            "[traces]\notlp = 'c.example:4318'",
            ["another form of URL", "http[s]://host"],
        ),
        (
            2,
            "[traces]\notlp = 'http://c.example?key=s3cret'",
            ["another form of URL", ""],
        ),
        (
            2,
            "[traces]\notlp = 'http://me:s3cret@c.example'",
            ["another form of URL", ""],
        ),
        (2, "[traces]\notlp = 'http://'", ["another form of URL", ""]),
        (2, "[traces]\notlp = 4318", ["for traces.otlp", "in quotes"]),
        (
            3,
            "[traces]\notlp = 'http://c.example'\nheaders.'a b' = 'x'",
            ["\"a b\" in [traces.headers]", "name of a header"],
        ),
        (
            3,
            "[traces]\notlp = 'http://c.example'\nheaders.a = { env = 'NO_SUCH' }",
            ["NO_SUCH", "export it"],
        ),
        (
            1,
            "[clients.'a b']",
            ["found \"a b\" as the name of a client", "letters"],
        ),
        (
            2,
            "[clients]\na = 1",
            ["no table for the client a", "[clients.a]"],
        ),
        (1, "[clients.a]\n", ["found no upstream", "base_url"]),
        (
            2,
            "[clients.a]\ncomponent = 'none.wasm'",
            ["found no file at none.wasm", ""],
        ),
        (
            2,
            "[clients.a]\nallow = ['ftp://x']",
            ["clients.a.allow", "scheme http or https"],
        ),
        (
            2,
            "[clients.a]\nallow = 'x'",
            ["for clients.a.allow", "an array of texts"],
        ),
        (
            2,
            "[clients.a]\nallow_net = ['x']",
            ["clients.a.allow_net", "10.0.0.0/8"],
        ),
        (
            2,
            "[clients.a]\nsharing = 'no'",
            ["clients.a.sharing", "observed"],
        ),
        (
            2,
            "[clients.a]\ninstances = 'new'",
            ["clients.a.instances", "fresh"],
        ),
        (
            2,
            "[clients.a]\ninstances.max_cals = 1",
            ["instances.max_cals", "did you mean max_calls?"],
        ),
        (
            2,
            "[clients.a]\nlimits.max_memroy_bytes = '1 B'",
            ["limits.max_memroy_bytes", "did you mean max_memory_bytes?"],
        ),
        (
            2,
            "[clients.a]\nlimits.flight_timeout = '0s'",
            ["found zero for flight_timeout", ""],
        ),
        (
            2,
            "[clients.a]\nsettings.A = 5",
            ["found another value for A", "{ env = "],
        ),
        (
            2,
            "[clients.a]\nsettings.A = { env = 'NO_SUCH' }",
            ["NO_SUCH", "export it"],
        ),
        (
            2,
            "[clients.a]\nsettings.A = { file = 'none' }",
            ["could not read none", ""],
        ),
        (
            1,
            "[clients.a]\nsettings.BASEURL = 'x'",
            ["setting BASEURL", "needed BASE_URL"],
        ),
    ];

    #[test]
    fn a_complaint_says_the_line_what_was_found_and_what_was_meant() {
        for (line, text, parts) in COMPLAINTS {
            let complaint = parse(text).unwrap_err();
            let place = format!("oneflight.toml:{line}: ");
            assert!(complaint.starts_with(&place), "{text:?}: {complaint}");
            for part in parts {
                assert!(complaint.contains(part), "{text:?}: {complaint}");
            }
        }
    }

    #[test]
    fn the_example_has_every_name_and_says_the_defaults() {
        let example = include_str!("../../examples/oneflight.toml");
        let is_default =
            |line: &str| line.starts_with('#') && !line.starts_with("# ") && line != "#";
        let mut shown = String::new();
        for line in example.lines() {
            shown += if is_default(line) { &line[1..] } else { line };
            shown += "\n";
        }
        let (written, shown) = (parse(example).unwrap(), parse(&shown).unwrap());
        assert_eq!(shown.to_string(), written.to_string());
        // Every line of what is in effect is there, so no name is left out.
        for line in written.to_string().lines() {
            let Some((name, _)) = line
                .split_once(" = ")
                .filter(|(_, value)| !value.ends_with("# hidden"))
            else {
                continue;
            };
            let stands = |line: &str| line.trim_start_matches(['#', ' ']).starts_with(name);
            assert!(example.lines().any(stands), "{name}");
        }
    }

    #[test]
    fn two_clients_of_one_name_are_refused() {
        let complaint = parse(&format!("{ORDERS}{ORDERS}")).unwrap_err();
        assert!(complaint.starts_with("oneflight.toml:3: "), "{complaint}");
        assert!(complaint.contains("a second time"), "{complaint}");
    }

    #[test]
    fn no_complaint_repeats_a_setting() {
        let clients = [
            "settings.HEADER_A = 's3cret'\nsettings.HEADER_A = 's3cret'",
            "settings.HEADER_A = ['s3cret']",
            "base_url = 's3cret'",
            "base_url = 's3cret'\nsettings.BASE_URL = 's3cret'",
            "settings.HEADER_A = { value = 's3cret' }",
            "settings.HEADER_A = 's3cret",
            "[traces]\notlp = 'http://me:s3cret@c.example'",
            "[traces]\notlp = 'http://c.example'\nheaders.a = \"s3cret\\n\"",
        ];
        for client in clients {
            let complaint = parse(&format!("[clients.a]\n{client}")).unwrap_err();
            assert!(!complaint.contains("s3cret"), "{complaint}");
        }
    }
}
