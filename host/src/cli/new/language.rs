//! [`Language`]: the languages of new clients, and what their folders have.

use std::fmt;

use clap::ValueEnum;

/// A language of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    Js,
    Ts,
    Python,
    Go,
    C,
}

/// A file of a template. Its text has `my-client` or `my_client` where the name of the client belongs.
pub(super) struct TemplateFile {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// The files of a template, each from the file of the same name in its folder.
macro_rules! files {
    ($folder:literal: $($path:literal $(from $source:literal)?),+ $(,)?) => {
        &[$(TemplateFile {
            path: $path,
            text: files!(@text $folder, $path $(, $source)?),
        }),+]
    };
    (@text $folder:literal, $path:literal) => {
        include_str!(concat!("../../../templates/", $folder, "/", $path))
    };
    (@text $folder:literal, $path:literal, $source:literal) => {
        include_str!(concat!("../../../templates/", $source))
    };
}

impl Language {
    /// What the component of a client of items imports and exports.
    pub(super) fn world(self) -> &'static str {
        if self.reads_settings_by_wasi() {
            include_str!("../../../templates/world-js.wit")
        } else {
            include_str!("../../../templates/world.wit")
        }
    }

    /// Whether a client imports the interface of WASI by which it reads settings: other toolchains do so themselves.
    pub(super) fn reads_settings_by_wasi(self) -> bool {
        matches!(self, Self::Js | Self::Ts)
    }

    /// Whether a component can export two interfaces of one name, from two packages.
    pub(super) fn has_interfaces_of_one_name(self) -> bool {
        matches!(self, Self::Rust | Self::Go | Self::C)
    }

    /// The files of a new client of items, without those that all languages have.
    pub(super) fn files(self) -> &'static [TemplateFile] {
        match self {
            // A file named Cargo.toml would be a package that cargo leaves out of this one.
            Self::Rust => {
                files!("rust": "src/lib.rs", "Cargo.toml" from "rust/Cargo.toml.template")
            }
            Self::Js => {
                files!("js": "client.js", "package.json")
            }
            Self::Ts => {
                files!("ts": "client.ts", "types.d.ts", "tsconfig.json", "package.json")
            }
            Self::Python => files!("python": "client.py"),
            Self::Go => {
                files!("go": "export_oneflight_client_items/client.go")
            }
            Self::C => {
                files!("c": "client.c", "json.c", "json.h")
            }
        }
    }

    /// The files of a new client with functions of its own, beside its stubs.
    pub(super) fn files_beside_stubs(self) -> &'static [TemplateFile] {
        match self {
            Self::Rust => {
                files!("rust": "Cargo.toml" from "rust/Cargo.toml.template", "src/upstream.rs" from "interface/rust/upstream.rs")
            }
            Self::Js => files!("js": "package.json", "upstream.js" from "interface/js/upstream.js"),
            Self::Ts => {
                files!("ts": "package.json", "tsconfig.json", "upstream.ts" from "interface/ts/upstream.ts")
            }
            Self::Python => files!("interface/python": "upstream.py"),
            Self::Go => files!("go": "upstream/upstream.go" from "interface/go/upstream.go"),
            Self::C => {
                files!("c": "json.c", "json.h", "upstream.c" from "interface/c/upstream.c", "upstream.h" from "interface/c/upstream.h")
            }
        }
    }

    /// The script that builds the `client.wasm` of a client with functions of its own.
    pub(super) fn build_with_stubs(self) -> &'static str {
        match self {
            Self::C => include_str!("../../../templates/interface/c/build.sh"),
            _ => self.build(),
        }
    }

    /// The script that builds `client.wasm`.
    pub(super) fn build(self) -> &'static str {
        match self {
            Self::Rust => include_str!("../../../templates/rust/build.sh"),
            Self::Js => include_str!("../../../templates/js/build.sh"),
            Self::Ts => include_str!("../../../templates/ts/build.sh"),
            Self::Python => include_str!("../../../templates/python/build.sh"),
            Self::Go => include_str!("../../../templates/go/build.sh"),
            Self::C => include_str!("../../../templates/c/build.sh"),
        }
    }

    /// What is not kept in a repository.
    pub(super) fn ignored(self) -> &'static str {
        match self {
            Self::Rust => "/client.wasm\n/src/bindings.rs\n/target/\n",
            Self::Js => "/client.wasm\n/node_modules/\n",
            Self::Ts => "/build/\n/client.wasm\n/node_modules/\n",
            Self::Python => "/.venv/\n/client.wasm\n__pycache__/\n",
            Self::Go | Self::C => "/build/\n/client.wasm\n",
        }
    }

    /// What the build needs.
    pub(super) fn tools(self) -> &'static str {
        match self {
            Self::Rust => "Rust by rustup, with `rustup target add wasm32-wasip2`",
            Self::Js | Self::Ts => "Node.js 20 or later with npm",
            Self::Python => "Python 3.10 or later with venv",
            Self::Go => "Go 1.25 or later",
            Self::C => {
                "clang with its runtime for wasm32, lld and wasi-libc (on Debian: `apt install clang lld wasi-libc libclang-rt-dev-wasm32`)"
            }
        }
    }

    /// The README of a new client.
    pub(super) fn readme(self) -> String {
        include_str!("../../../templates/README.md")
            .replace("LANGUAGE", &self.to_string())
            .replace("TOOLS", self.tools())
            .replace("FILES\n", self.described_files())
            .replace("NOTES\n", self.notes())
    }

    /// The README of a new client with functions of its own. It has `EXPORTS`, `CALL` and `SHARE` where these belong.
    pub(super) fn readme_with_stubs(self) -> String {
        include_str!("../../../templates/interface/README.md")
            .replace("LANGUAGE", &self.to_string())
            .replace("TOOLS", self.tools())
            .replace("FILES\n", self.described_files_with_stubs())
            .replace(
                "NOTES\n",
                &format!("{}{}", self.notes(), self.notes_on_types()),
            )
    }

    fn described_files_with_stubs(self) -> &'static str {
        match self {
            Self::Rust => {
                "\
| `src/lib.rs` | the functions |
| `src/upstream.rs` | requests to the upstream |
| `Cargo.toml` | its dependencies |
"
            }
            Self::Js => {
                "\
| `client.js` | the functions |
| `upstream.js` | requests to the upstream |
| `package.json` | the compiler, QuickJS as a component |
"
            }
            Self::Ts => {
                "\
| `client.ts` | the functions |
| `upstream.ts` | requests to the upstream |
| `types.d.ts` | the interfaces of `wit/` in TypeScript, made by `oneflight new` |
| `package.json` | the compilers, of TypeScript and of QuickJS as a component |
"
            }
            Self::Python => {
                "| `client.py` | the functions |\n| `upstream.py` | requests to the upstream |\n"
            }
            Self::Go => {
                "\
| `export_*/client.go` | the functions |
| `upstream/upstream.go` | requests to the upstream |
| the other folders, `wit_exports.go` | bindings of `wit/`, made by `oneflight new` |
"
            }
            Self::C => {
                "\
| `client.c` | the functions |
| `upstream.c`, `upstream.h` | requests to the upstream |
| `json.c`, `json.h` | a reader of JSON; use a library instead if you have one |
| `bindings/` | bindings of `wit/`, made by `oneflight new` |
"
            }
        }
    }

    /// What the types of WIT lose in a language.
    fn notes_on_types(self) -> &'static str {
        match self {
            Self::Js | Self::Ts => "
Integers of 64 bits are numbers of JavaScript, so they are exact up to 2^53. componentize-qjs 0.4.5 passes a `u32` of 2^31
and more as a negative number: `n >>> 0` is the value.
",
            _ => "",
        }
    }

    fn described_files(self) -> &'static str {
        match self {
            Self::Rust => "| `src/lib.rs` | the client |\n| `Cargo.toml` | its dependencies |\n",
            Self::Js => {
                "| `client.js` | the client |\n| `package.json` | the compiler, QuickJS as a component |\n"
            }
            Self::Ts => {
                "\
| `client.ts` | the client |
| `types.d.ts` | the interfaces of `wit/` in TypeScript |
| `package.json` | the compilers, of TypeScript and of QuickJS as a component |
"
            }
            Self::Python => "| `client.py` | the client |\n",
            Self::Go => {
                "\
| `export_oneflight_client_items/client.go` | the client |
| `wit_exports.go`, `oneflight_client_*/` | bindings of `wit/`, made by `oneflight new` |
"
            }
            Self::C => {
                "\
| `client.c` | the client |
| `json.c`, `json.h` | a reader of JSON; use a library instead if you have one |
| `bindings/` | bindings of `wit/`, made by `oneflight new` |
"
            }
        }
    }

    fn notes(self) -> &'static str {
        match self {
            Self::Rust => "\
`cargo component build --release` builds the same client, as \
`target/wasm32-wasip1/release/my_client.wasm`. cargo component is being deprecated in favour of plain cargo.
",
            Self::Js | Self::Ts => "\
The component contains QuickJS and takes 1.6 MB. There is no `fetch` of the web and no package of Node in it; packages \
that need neither can be imported once a bundler has put them into one file. Nor is there `console` or `print`: a call of \
one crashes the client. To see a value, throw it as the error `other`: its text is in the log.
",
            Self::Python => "\
The component contains CPython and takes 18 MB, for which the host needs some seconds when it compiles it for the first \
time. With `--reuse-instances` a call takes microseconds instead of milliseconds. For an editor: \
`.venv/bin/componentize-py -d wit -w client bindings .` writes the types.
",
            Self::Go => "\
The bindings need the Go module `go.bytecodealliance.org/pkg`. The component contains Go's runtime and takes 5 MB.
",
            Self::C => "\
Another compiler for WASI works as well: `CC=\"zig cc\" ./build.sh`.
",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
            Self::Python => "Python",
            Self::Go => "Go",
            Self::C => "C",
        })
    }
}
