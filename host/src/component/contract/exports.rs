//! [`Exports`]: what a component exports that can be called, linked and ready to be instantiated.

use std::sync::Arc;

use wasmtime::component::{Component, Instance, InstancePre, Val};
use wasmtime::{Engine as Wasmtime, Store};

use super::items::{GuestError, GuestItem, ItemsExport, ItemsInstance};
use super::typed::{self, FoundFunctions, RefusedFunction, TypedFunctions};
use crate::component::error::LoadError;
use crate::component::imports::linker;
use crate::component::names::Names;
use crate::component::store::StoreState;
use crate::model::{Functions, TypedFunction};
use crate::printable::bounded;
use crate::settings::Settings;
use crate::wit::EmbeddedDocs;

/// A component that is linked, with the functions that it exports.
pub(in crate::component) struct LinkedComponent {
    linked: InstancePre<StoreState>,
    items: Option<ItemsExport>,
    found: FoundFunctions,
}

/// What a component exports that can be called.
pub(in crate::component) struct Exports {
    linked: InstancePre<StoreState>,
    items: Option<ItemsExport>,
    typed: TypedFunctions,
    functions: Arc<Functions>,
    refused: Vec<RefusedFunction>,
    left_out: usize,
}

/// An instance, and how its functions are called.
pub(in crate::component) struct Exported {
    instance: Instance,
    items: Option<ItemsInstance>,
}

impl LinkedComponent {
    /// Links `component`, and checks everything about its imports and exports that can be checked without an instance and
    /// without settings. The process that compiles a component does so as well, so that this one never loads the code of
    /// a component that it would refuse.
    pub(in crate::component) fn new(
        engine: &Wasmtime,
        component: &Component,
    ) -> Result<Self, LoadError> {
        let linked = linker(engine)
            .instantiate_pre(component)
            .map_err(|error| LoadError::MissingImport(bounded(format_args!("{error:#}"))))?;
        let items = ItemsExport::of(component, &linked)?;
        let found = FoundFunctions::of(engine, component);
        if items.is_none() && found.is_empty() {
            return Err(LoadError::NothingToCall {
                exports: bounded(Names::of_exports(engine, component)),
                refused: bounded(WithReasons(&found)),
            });
        }
        Ok(Self {
            linked,
            items,
            found,
        })
    }

    /// The functions that can be called, shared and documented as `settings` say. `carried` are the comments that the
    /// component has itself.
    pub(in crate::component) fn into_exports(
        self,
        settings: &Settings,
        carried: Option<&EmbeddedDocs>,
    ) -> Result<Exports, LoadError> {
        let Self {
            linked,
            items,
            mut found,
        } = self;
        found.document(settings.wit.as_deref(), carried)?;
        let (refused, left_out) = (found.refused().to_vec(), found.left_out);
        let typed = TypedFunctions::new(found, &settings.share, &settings.limits)?;
        let functions = Functions::new(items.is_some(), typed.all().cloned());
        Ok(Exports {
            linked,
            items,
            typed,
            functions: Arc::new(functions),
            refused,
            left_out,
        })
    }
}

impl Exports {
    /// The linked component.
    pub(in crate::component) fn linked(&self) -> &InstancePre<StoreState> {
        &self.linked
    }

    /// The functions that can be called.
    pub(in crate::component) fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// The functions that it exports and that cannot be called.
    pub(in crate::component) fn refused(&self) -> &[RefusedFunction] {
        &self.refused
    }

    /// The number of functions that are not listed.
    pub(in crate::component) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Compares the types of `instance`, an instance of `component`, with those of the interface `items`.
    pub(in crate::component) fn check_types(
        &self,
        component: &Component,
        store: &mut Store<StoreState>,
        instance: &Instance,
    ) -> Result<(), LoadError> {
        match &self.items {
            Some(_) => ItemsExport::check_types(component, store, instance),
            None => Ok(()),
        }
    }

    /// A new instance in `store`.
    pub(in crate::component) async fn instantiate(
        &self,
        store: &mut Store<StoreState>,
    ) -> wasmtime::Result<Exported> {
        let instance = self.linked.instantiate_async(&mut *store).await?;
        let items = self.items.as_ref();
        let items = items.map(|items| items.of_instance(store, &instance));
        Ok(Exported {
            instance,
            items: items.transpose()?,
        })
    }

    /// Calls `get-items` of `exported`. The outer error is a trap, or a result that cannot be lifted.
    pub(in crate::component) async fn get_items(
        exported: &Exported,
        store: &mut Store<StoreState>,
        x: &str,
    ) -> wasmtime::Result<Result<Vec<GuestItem>, GuestError>> {
        match &exported.items {
            Some(items) => items.get_items(store, x).await,
            None => Err(no_function()),
        }
    }

    /// Calls `function` of `exported`. The error is a trap, or a result that cannot be lifted.
    pub(in crate::component) async fn call(
        &self,
        exported: &Exported,
        store: &mut Store<StoreState>,
        function: &TypedFunction,
        arguments: &[Val],
    ) -> wasmtime::Result<Option<Val>> {
        let index = self.typed.index(function).ok_or_else(no_function)?;
        let signature = function.signature();
        typed::call(store, &exported.instance, index, signature, arguments).await
    }

    /// Whether `function` is one of these.
    pub(in crate::component) fn has(&self, function: &TypedFunction) -> bool {
        self.typed.index(function).is_some()
    }
}

/// The call is for another component. It is checked before.
fn no_function() -> wasmtime::Error {
    wasmtime::format_err!("expected a function of this component, got another one")
}

/// Functions that cannot be called, with the reasons.
struct WithReasons<'a>(&'a FoundFunctions);

impl std::fmt::Display for WithReasons<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, RefusedFunction { name, reason }) in self.0.refused().iter().enumerate() {
            if nth > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{name} cannot be called: {reason}")?;
        }
        Ok(())
    }
}
