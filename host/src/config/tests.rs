//! The configuration file as a whole: what it is read as, what it is refused for, and what is generated.

use std::path::Path;
use std::time::Duration;

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;
use toml::de::DeTable;

use super::located::Located;
use super::{Config, example, schema, table};
use crate::settings::ServerLimits;

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
         settings.HEADER_A = 's3cret'\nlimits.flight_timeout = '5s'\n\
         limits.max_memory_bytes = '1 MiB'\n"
    );
    let config = parse(&text).unwrap();
    let printed = config.to_string();
    assert!(
        !printed.contains("s3cret") && !printed.contains("3000/"),
        "{printed}"
    );
    assert!(printed.contains("\"http://localhost:3000\""), "{printed}");
    assert!(printed.contains("max_connections = 7\n"), "{printed}");
    assert!(
        printed.contains("header_timeout = \"10s\" # default"),
        "{printed}"
    );
    let hidden = "base_url = \"...\" # hidden";
    assert!(printed.contains(hidden), "{printed}");
    assert!(printed.contains("HEADER_A = \"...\" # hidden"), "{printed}");
    assert!(printed.contains("x-a = \"...\" # hidden"), "{printed}");
    assert!(!format!("{config:?}").contains("s3cret"));
    let shown = printed.replace(hidden, "base_url = 'http://localhost:3000'");
    let again = parse(&shown).unwrap();
    assert_eq!(again.limits, config.limits);
    assert_eq!((again.log, &again.compile), (config.log, &config.compile));
    let (traces, before) = (again.traces.unwrap(), config.traces.unwrap());
    assert_eq!((traces.otlp, traces.sample), (before.otlp, 0.25));
    let again = again.clients[0].effective();
    let before = config.clients[0].effective();
    assert_eq!(again.limits, before.limits);
    assert_eq!(
        (again.sharing, again.abandoned),
        (before.sharing, before.abandoned)
    );
    assert_eq!(again.instances, before.instances);
    assert_eq!(before.limits.request_timeout, Duration::from_secs(4));
    assert_eq!(
        config.compile.limits.compile_timeout,
        Duration::from_secs(70)
    );
}

#[test]
fn a_request_timeout_that_is_stated_is_kept_beside_a_flight_timeout() {
    let text = format!("{ORDERS}limits.flight_timeout = '5s'\nlimits.request_timeout = '1s'\n");
    let limits = &parse(&text).unwrap().clients[0].limits;
    let (first_byte, request) = (limits.first_byte_timeout, limits.request_timeout);
    assert_eq!(
        (first_byte, request),
        (Duration::from_secs(4), Duration::from_secs(1))
    );
}

/// A file, the line of its error, and two parts of the message: what was found or expected, and what to do.
type BadFile = (usize, &'static str, [&'static str; 2]);

/// Bad files which the schema refuses too.
const BAD_BY_SCHEMA: &[BadFile] = &[
    (
        1,
        "lisen = '127.0.0.1:80'",
        ["unknown name lisen", "did you mean listen?"],
    ),
    (
        2,
        "\nlisten = 8080",
        ["listen: expected an IP address and a port", "got 8080"],
    ),
    (
        1,
        "listen = '8080'",
        ["as in 127.0.0.1:8080", "got \"8080\""],
    ),
    (1, "admin = true", ["admin: expected", "or false, got true"]),
    (
        1,
        "whatever = 1",
        ["unknown name whatever", "expected one of listen, admin"],
    ),
    (
        1,
        "limits = 'x'",
        ["limits: expected a table, got \"x\"", ""],
    ),
    (
        2,
        "[limits]\nshutdown_grace = 10",
        ["as in \"250ms\"", "got 10"],
    ),
    (
        2,
        "[limits]\nshutdown_grace = '10 sec'",
        ["limits.shutdown_grace: ", "as in \"250ms\", got \"10 sec\""],
    ),
    (
        2,
        "[limits]\ngrace = '10s'",
        [
            "limits.grace was renamed to shutdown_grace",
            "write limits.shutdown_grace",
        ],
    ),
    (
        2,
        "[limits]\nmax_header_bytes = '8 KB'",
        ["limits.max_header_bytes: ", "as in \"64 KiB\""],
    ),
    (
        2,
        "[limits]\nmax_headers = 0",
        [
            "limits.max_headers: expected a whole number, at least 1",
            "got 0",
        ],
    ),
    (
        2,
        "[limits]\nmax_headers = -1",
        ["expected a whole number", "got -1"],
    ),
    (
        2,
        "[limits]\nmax_headers = 1.5",
        ["expected a whole number", "got 1.5"],
    ),
    (2, "[log]\nlevel = 'loud'", ["log.level: ", "\"trace\""]),
    (
        2,
        "[log]\nformat = 'xml'",
        ["expected \"text\" or \"json\"", "got \"xml\""],
    ),
    (
        1,
        "[tls]\n",
        ["tls: expected a value for certificate", "add certificate ="],
    ),
    (
        1,
        "[traces]\n",
        ["traces: expected a value for otlp", "add otlp ="],
    ),
    (
        2,
        "[traces]\nsampel = 1",
        ["name traces.sampel", "did you mean sample?"],
    ),
    (
        3,
        "[traces]\notlp = 'http://c.example'\nsample = 1.5",
        ["traces.sample: ", "from 0 to 1"],
    ),
    (
        2,
        "[traces]\notlp = 'c.example:4318'",
        ["another form", "http[s]://host"],
    ),
    (
        2,
        "[traces]\notlp = 'http://c.example?key=s3cret'",
        ["another form", ""],
    ),
    (
        2,
        "[traces]\notlp = 'http://me:s3cret@c.example'",
        ["another form", ""],
    ),
    (2, "[traces]\notlp = 'http://'", ["another form", ""]),
    (2, "[traces]\notlp = 4318", ["traces.otlp: ", "in quotes"]),
    (
        2,
        "[compile]\nmemory = '1 GiB'",
        [
            "compile.memory was renamed to max_memory_bytes",
            "write compile.max_memory_bytes",
        ],
    ),
    (
        2,
        "[compile]\ncache = true",
        ["compile.cache: expected a path", "or false"],
    ),
    (
        2,
        "[clients]\na = 1",
        ["clients.a: expected a table", "[clients.orders]"],
    ),
    (
        2,
        "[clients.a]\nallow = ['ftp://x']",
        ["clients.a.allow", "scheme http or https"],
    ),
    (
        2,
        "[clients.a]\nallow = 'x'",
        ["clients.a.allow: ", "an array of strings"],
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
        "[clients.a]\nallow_fresh = 'yes'",
        [
            "clients.a.allow_fresh: expected true or false, got \"yes\"",
            "",
        ],
    ),
    (
        2,
        "[clients.a]\nlimits = 5",
        ["clients.a.limits: expected a table, got 5", ""],
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
        "[clients.a]\ninstances.calls = 1",
        [
            "renamed to max_calls",
            "write clients.a.instances.max_calls",
        ],
    ),
    (
        2,
        "[clients.a]\nlimits.max_memroy_bytes = '1 B'",
        ["limits.max_memroy_bytes", "did you mean max_memory_bytes?"],
    ),
    (
        2,
        "[clients.a]\nlimits.flight_timeout = '0s'",
        ["limits.flight_timeout: ", "at least 1ms, got \"0s\""],
    ),
    (
        2,
        "[clients.a]\nsettings.A = 5",
        ["clients.a.settings.A: ", "{ env = "],
    ),
    (
        2,
        "[clients.a]\nsettings.A = { }",
        ["clients.a.settings.A: ", "{ env = "],
    ),
];

/// Bad files that only the program can detect, and the schema cannot.
const BAD_OTHERWISE: &[BadFile] = &[
    (1, "listen = ", ["", ""]),
    (
        2,
        "[compile]\nmax_memory_bytes = '1 MiB'",
        ["compile.max_memory_bytes: ", "at least 256 MiB"],
    ),
    (
        3,
        "[traces]\notlp = 'http://c.example'\nheaders.'a b' = 'x'",
        ["traces.headers.a b: ", "name of a header"],
    ),
    (
        3,
        "[traces]\notlp = 'http://c.example'\nheaders.a = { env = 'NO_SUCH' }",
        ["NO_SUCH", "export it"],
    ),
    (
        1,
        "[clients.'a b']",
        ["expected the name of a client of letters", "got \"a b\""],
    ),
    (
        1,
        "[clients.a]\n",
        ["expected an upstream", "add --base-url"],
    ),
    (
        2,
        "[clients.a]\ncomponent = 'none.wasm'",
        ["expected a file at none.wasm", "got none"],
    ),
    (
        2,
        "[clients.a]\nproxy = 'http://p.example/ '",
        ["clients.a.proxy: ", "expected environment or http://"],
    ),
    (
        2,
        "[clients.a]\nca_file = 'none.pem'",
        ["could not read none.pem", ""],
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
        2,
        "[clients.a]\nsettings.BASEURL = 'x'",
        ["expected BASE_URL", "got BASEURL"],
    ),
    (
        3,
        "[clients.a]\nbase_url = 'http://a.example'\nsettings.BASE_URL = 'http://a.example'",
        ["expected one value for BASE_URL", "remove one"],
    ),
];

#[test]
fn an_error_has_the_line_the_name_what_was_found_and_what_to_do() {
    for (line, text, parts) in [BAD_BY_SCHEMA, BAD_OTHERWISE].concat() {
        let error = parse(text).unwrap_err();
        let place = format!("oneflight.toml:{line}: ");
        assert!(error.starts_with(&place), "{text:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}

#[test]
fn two_clients_of_one_name_are_refused() {
    let error = parse(&format!("{ORDERS}{ORDERS}")).unwrap_err();
    assert!(error.starts_with("oneflight.toml:3: "), "{error}");
    assert!(error.contains("expected this name once"), "{error}");
}

#[test]
fn no_error_repeats_a_setting() {
    let clients = [
        "settings.HEADER_A = 's3cret'\nsettings.HEADER_A = 's3cret'",
        "settings.HEADER_A = ['s3cret']",
        "base_url = 's3cret'",
        "base_url = ['s3cret']",
        "base_url = 'http://a.example'\nproxy = 'https://me:s3cret@p.example'",
        "base_url = 'http://a.example'\nproxy = 'http://me:s3cret@'",
        "proxy = ['s3cret']",
        "base_url = 's3cret'\nsettings.BASE_URL = 's3cret'",
        "settings.HEADER_A = { value = 's3cret' }",
        "settings.HEADER_A = { env = ['s3cret'] }",
        "settings.HEADER_A = 's3cret",
        "settings = 's3cret'",
        "[traces]\notlp = 'http://me:s3cret@c.example'",
        "[traces]\notlp = 'http://c.example'\nheaders.a = \"s3cret\\n\"",
        "[traces]\notlp = 'http://c.example'\nheaders = 's3cret'",
    ];
    for client in clients {
        let error = parse(&format!("[clients.a]\n{client}")).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
    let number = parse("[clients.a]\nsettings.PIN = 12345").unwrap_err();
    assert!(!number.contains("12345"), "{number}");
}

#[test]
fn a_proxy_is_printed_without_its_url() {
    for (value, shown) in [
        ("'http://me:s3cret@p.example:3128'", "\"...\" # hidden"),
        ("'environment'", "\"environment\""),
    ] {
        let printed = parse(&format!("{ORDERS}proxy = {value}\n")).unwrap();
        assert!(!format!("{printed:?}").contains("s3cret"));
        let printed = printed.to_string();
        let expected = format!("\nproxy = {shown}\n");
        assert!(
            printed.contains(&expected) && !printed.contains("s3cret"),
            "{printed}"
        );
    }
}

/// The files in the repository that are generated, and the command that prints each.
#[test]
fn the_example_the_schema_and_the_table_of_the_documentation_are_up_to_date() {
    let document = include_str!("../../docs/service.md");
    let (_, settings) = document
        .split_once("<!-- oneflight config table -->\n")
        .unwrap();
    let (settings, _) = settings.split_once("<!-- end -->").unwrap();
    for (command, generated, file) in [
        (
            "oneflight config example > host/examples/oneflight.toml",
            example(),
            include_str!("../../examples/oneflight.toml"),
        ),
        (
            "oneflight config schema > host/examples/oneflight.schema.json",
            format!("{:#}\n", schema()),
            include_str!("../../examples/oneflight.schema.json"),
        ),
        (
            "oneflight config table, between its two comments in host/docs/service.md",
            table(),
            settings.trim_start(),
        ),
    ] {
        let file = file.trim_end();
        assert!(
            generated.trim_end() == file,
            "expected what is generated; run {command}"
        );
    }
}

#[test]
fn the_lines_of_the_example_that_have_defaults_change_nothing() {
    let is_default = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let example = example();
    let lines = example.lines().skip(1);
    let uncommented: String = lines
        .flat_map(|line| {
            [
                Some(line)
                    .filter(is_default)
                    .map_or(line, |line| &line[1..]),
                "\n",
            ]
        })
        .collect();
    let (written, uncommented) = (parse(&example).unwrap(), parse(&uncommented).unwrap());
    assert_eq!(uncommented.to_string(), written.to_string());
}

#[test]
fn every_line_of_the_example_can_be_used() {
    let example = example();
    let (_, text) = example.split_once("\n\n").unwrap();
    let (_, text) = text.split_once("\n\n").unwrap();
    // Lines of prose have no " = "; files and variables that are not here would be read.
    let is_setting = |line: &&str| {
        let line = line.trim_start_matches(['#', ' ']);
        let name = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[')
            || (name != line
                && !name.contains(' ')
                && !line.contains("{ ")
                && !line.contains(".pem")
                && !line.contains(".wit")
                && !line.contains("cache = false"))
    };
    let every: String = text
        .lines()
        .filter(is_setting)
        .filter(|line| !line.contains("[tls]"))
        .flat_map(|line| [line.trim_start_matches(['#', ' ']), "\n"])
        .collect();
    let config = parse(&every).unwrap();
    let traces = config.traces.unwrap();
    assert_eq!(*traces.otlp.traces(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(config.clients[0].name(), "orders");
}

#[test]
fn the_schema_accepts_what_is_read_and_refuses_what_it_can() {
    for text in [
        &*example(),
        "",
        ORDERS,
        "admin = false\n[compile]\ncache = false",
    ] {
        assert_eq!(errors(text), Vec::<String>::new(), "{text}");
    }
    let instances = "[clients.a]\ncomponent = 'a.wasm'\ninstances = { max_calls = 5 }\n\
                     settings = { A = 'b', C = { env = 'D' }, E = { file = 'f' } }\n\
                     allow = ['https://*.a.example', 'localhost:3000', '[::1]:80']\n";
    assert_eq!(errors(instances), Vec::<String>::new());
    for (_, text, _) in BAD_BY_SCHEMA {
        assert!(!errors(text).is_empty(), "{text}");
    }
}

/// The paths of the values of `text` that an editor would mark.
fn errors(text: &str) -> Vec<String> {
    let file = Value::deserialize(Located::file(DeTable::parse(text).unwrap())).unwrap();
    let mut errors = Vec::new();
    validate(schema(), &file, "", &mut errors);
    errors
}

/// JSON Schema, as much of it as the schema uses.
fn validate(schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    let valid = |schema: &Value| {
        let mut errors = Vec::new();
        validate(schema, value, path, &mut errors);
        errors.is_empty()
    };
    for (keyword, rule) in schema.as_object().unwrap() {
        let is_valid = match &**keyword {
            "$schema" | "title" | "description" | "default" | "examples" | "format" => true,
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        validate(schema, value, &format!("{path}.{name}"), errors);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &str| schema.pointer(&format!("/properties/{name}")).is_some();
                let more = value.as_object().into_iter().flatten();
                for (name, value) in more.filter(|(name, _)| !known(name)) {
                    let path = format!("{path}.{name}");
                    match rule {
                        Value::Bool(false) => errors.push(path),
                        rule => validate(rule, value, &path, errors),
                    }
                }
                true
            }
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || names.all(has)
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                other => panic!("the type {other}"),
            },
            "items" => {
                for value in value.as_array().into_iter().flatten() {
                    validate(rule, value, path, errors);
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|it| it >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|it| it <= rule.as_f64().unwrap()),
            "anyOf" => rule.as_array().unwrap().iter().any(valid),
            "oneOf" => {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .filter(|rule| valid(rule))
                    .count()
                    == 1
            }
            other => panic!("the keyword {other}"),
        };
        if !is_valid {
            errors.push(path.to_owned());
        }
    }
}
