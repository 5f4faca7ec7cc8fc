//! [`ComponentReport`]: what a component exports and imports, for a person who reads it.

use serde::Serialize;
use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

use super::contract::exports::Exports;
use super::contract::typed::RefusedFunction;
use super::names::Names;
use crate::model::{CallSharing, Functions, TypedFunction};
use crate::typed::example;

/// The size, exports and imports of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// The size of the file, in bytes.
    pub bytes: usize,
    /// The names that it exports: at most 100, of 8 KiB together.
    pub exports: Vec<String>,
    /// The number of exports that are not listed.
    pub exports_left_out: usize,
    /// The names that it imports, listed like those of exports.
    pub imports: Vec<String>,
    /// The number of imports that are not listed.
    pub imports_left_out: usize,
    /// The newest version of WASI that it imports an interface of, as in `0.2.3`; `None` if it imports none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasi: Option<String>,
    /// What a client of this form cannot do, with what to do about it.
    pub warnings: Vec<&'static str>,
    /// Its functions.
    pub functions: Vec<FunctionReport>,
    /// The number of functions that are not listed.
    pub functions_left_out: usize,
}

/// A function that a component exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// Its name with that of its interface: `acme:orders/orders@1.0.0#get-order`.
    pub name: String,
    /// Its parameters and its result as WIT, with named types written out; empty if it cannot be called.
    pub signature: String,
    /// Its documentation comment, from WIT that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// A call of it, as `oneflight call` reads it; empty if it cannot be called.
    pub example: String,
    /// Whether callers with equal arguments share a flight; `None` if it cannot be called.
    pub shared: Option<bool>,
    /// Why it cannot be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl FunctionReport {
    fn items() -> Self {
        Self {
            name: format!("{}#get-items", Functions::ITEMS),
            signature: "func(x: string) -> result<list<item>, error>".to_owned(),
            docs: None,
            example: r#"get-items("a")"#.to_owned(),
            shared: Some(true),
            refused: None,
        }
    }

    fn callable(function: &TypedFunction, functions: &Functions) -> Self {
        let signature = function.signature();
        // Its name alone, if that is enough.
        let is_unique = functions.find(None, function.name()).is_ok();
        let name = if is_unique {
            function.name().to_owned()
        } else {
            function.to_string()
        };
        Self {
            name: function.to_string(),
            signature: signature.to_string(),
            docs: function.docs().text.as_deref().map(str::to_owned),
            example: format!("{name}{}", example(signature)),
            shared: Some(function.sharing() == CallSharing::Shared),
            refused: None,
        }
    }

    fn refused(function: &RefusedFunction) -> Self {
        Self {
            name: function.name.clone(),
            signature: String::new(),
            docs: None,
            example: String::new(),
            shared: None,
            refused: Some(function.reason.clone()),
        }
    }
}

impl ComponentReport {
    /// The report on `component`, whose binary has `bytes` bytes.
    pub(super) fn new(
        engine: &Wasmtime,
        component: &Component,
        bytes: usize,
        of: &Exports,
    ) -> Self {
        let ty = component.component_type();
        let names = || ty.imports(engine).map(|(name, _)| name);
        let imports = Names::of(names());
        let can_request = names().any(sends_requests);
        let exports = Names::of_exports(engine, component);
        let functions = of.functions();
        let items = functions.has_items().then(FunctionReport::items);
        let typed = functions.typed().iter();
        let functions = items
            .into_iter()
            .chain(typed.map(|function| FunctionReport::callable(function, functions)))
            .chain(of.refused().iter().map(FunctionReport::refused));
        Self {
            bytes,
            exports: exports.listed().to_vec(),
            exports_left_out: exports.left_out(),
            imports: imports.listed().to_vec(),
            imports_left_out: imports.left_out(),
            wasi: wasi_version(names()),
            warnings: if can_request {
                vec![]
            } else {
                vec![NO_REQUESTS]
            },
            functions: functions.collect(),
            functions_left_out: of.left_out(),
        }
    }
}

const NO_REQUESTS: &str = "it imports neither wasi:http/outgoing-handler nor oneflight:client/fetch, so it cannot reach an \
                           upstream; if it should, send its requests by one of them (in Rust by the crate wasip2), and \
                           build it without options that leave out WASI";

/// Whether a component that imports this interface can send requests.
fn sends_requests(import: &str) -> bool {
    let name = import.split('@').next();
    matches!(
        name,
        Some("wasi:http/outgoing-handler" | "oneflight:client/fetch")
    )
}

/// The newest version of WASI among these imports. The host has those of WASI 0.2, whose last numbers are ordered.
fn wasi_version<'a>(imports: impl Iterator<Item = &'a str>) -> Option<String> {
    let versions = imports.filter_map(|import| {
        let (_, version) = import.strip_prefix("wasi:")?.split_once('@')?;
        let patch: u64 = version.strip_prefix("0.2.")?.parse().ok()?;
        Some(patch)
    });
    versions.max().map(|patch| format!("0.2.{patch}"))
}

#[cfg(test)]
mod tests {
    use super::{sends_requests, wasi_version};

    #[test]
    fn the_newest_version_of_wasi_is_that_of_the_component() {
        let imports = [
            "wasi:io/poll@0.2.9",
            "wasi:http/types@0.2.10",
            "acme:a/b@0.2.11",
        ];
        assert_eq!(wasi_version(imports.into_iter()).as_deref(), Some("0.2.10"));
        assert_eq!(wasi_version(["acme:a/b"].into_iter()), None);
    }

    #[test]
    fn two_imports_send_requests() {
        assert!(sends_requests("wasi:http/outgoing-handler@0.2.3"));
        assert!(sends_requests("oneflight:client/fetch@0.1.0"));
        assert!(!sends_requests("wasi:http/types@0.2.3"));
    }
}
