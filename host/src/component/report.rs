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
        let imports = component.component_type();
        let imports = Names::of(imports.imports(engine).map(|(name, _)| name));
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
            functions: functions.collect(),
            functions_left_out: of.left_out(),
        }
    }
}
