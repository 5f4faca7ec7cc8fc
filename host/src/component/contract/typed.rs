//! Typed functions: those of a component that the host finds at load, by their types.
//!
//! Their calls are dynamic: wasmtime's [`Val`] on both sides. A guest's arguments are decoded from the bytes of the call,
//! which are the key of its flight.

use std::collections::HashSet;
use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, Val};
use wasmtime::{Engine as Wasmtime, Store};

use crate::component::error::{ITEMS, LoadError};
use crate::component::names::Names;
use crate::component::store::StoreState;
use crate::model::{CallSharing, Limits, SharePattern, TypedFunction};
use crate::printable::bounded;
use crate::typed::{
    Case, Field, FunctionDocs, MAX_DEPTH, Parameter, Signature, TypeBudget, ValueType,
};
use crate::wit::{CallableFunction, EmbeddedDocs, Wit};

mod values;

pub(in crate::component) use self::values::{Unencoded, arguments, encoded};

/// The maximum number of functions that are found in a component. The others are left out.
const MAX_FUNCTIONS: usize = 500;

/// How many characters of the name of a parameter a reason shows.
const MAX_SHOWN_CHARS: usize = 64;

/// The functions of a component, as they are found.
#[derive(Debug, Default)]
pub(in crate::component) struct FoundFunctions {
    callable: Vec<FoundFunction>,
    refused: Vec<RefusedFunction>,
    /// How many functions are not listed.
    pub(in crate::component) left_out: usize,
}

/// A function that can be called.
#[derive(Debug)]
struct FoundFunction {
    interface: Option<String>,
    name: String,
    signature: Signature,
    docs: FunctionDocs,
    index: ComponentExportIndex,
}

/// A function that cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::component) struct RefusedFunction {
    /// Its name with that of its interface: `acme:orders/orders#watch`.
    pub(in crate::component) name: String,
    /// Why it cannot be called: `its result has a stream`.
    pub(in crate::component) reason: String,
}

impl FoundFunctions {
    /// The functions that `component` exports, but for those of the interface `items`.
    pub(in crate::component) fn of(engine: &Wasmtime, component: &Component) -> Self {
        let mut found = Self::default();
        let mut budget = TypeBudget::default();
        let ty = component.component_type();
        for (name, export) in ty.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(func) => {
                    found.add(component, None, name, &func, &mut budget);
                }
                ComponentItem::ComponentInstance(instance) if name != ITEMS => {
                    for (function, export) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(func) = export.ty {
                            found.add(component, Some(name), function, &func, &mut budget);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn add(
        &mut self,
        component: &Component,
        interface: Option<&str>,
        name: &str,
        func: &ComponentFunc,
        budget: &mut TypeBudget,
    ) {
        let names = interface.map_or(0, str::len) + name.len();
        let is_listed = self.callable.len() + self.refused.len() < MAX_FUNCTIONS
            && budget.take_name(names).is_ok();
        if !is_listed {
            self.left_out += 1;
            return;
        }
        let index = match interface {
            None => component.get_export_index(None, name),
            Some(interface) => component
                .get_export_index(None, interface)
                .and_then(|interface| component.get_export_index(Some(&interface), name)),
        };
        let found = match index {
            _ if interface.is_some_and(|interface| interface.starts_with("wasi:")) => {
                Err("it belongs to WASI".to_owned())
            }
            None => Err("it is not exported by a name".to_owned()),
            Some(_) if func.async_() => Err("it is asynchronous".to_owned()),
            Some(_) if is_build_step(interface, name, func) => {
                Err("it is a step of building the component".to_owned())
            }
            Some(index) => signature(func, budget).map(|signature| (index, signature)),
        };
        match found {
            Ok((index, signature)) => self.callable.push(FoundFunction {
                interface: interface.map(ToOwned::to_owned),
                name: name.to_owned(),
                signature,
                docs: FunctionDocs::default(),
                index,
            }),
            Err(reason) => {
                let interface = interface.map_or_else(String::new, |of| format!("{of}#"));
                let name = format!("{interface}{name}");
                self.refused.push(RefusedFunction { name, reason });
            }
        }
    }

    /// Adds the documentation comments of the setting `wit`, or else those that the component carries.
    pub(in crate::component) fn document(
        &mut self,
        wit: Option<&Wit>,
        carried: Option<&EmbeddedDocs>,
    ) -> Result<(), LoadError> {
        let named = |found: &FoundFunction| (found.interface.clone(), found.name.clone());
        let docs = match (wit, carried) {
            (None, None) => return Ok(()),
            (None, Some(carried)) => {
                let names = self.callable.iter();
                carried.docs_of(names.map(|found| (found.interface.as_deref(), &*found.name)))
            }
            (Some(wit), _) => {
                let callable = self.callable.iter().map(|found| CallableFunction {
                    interface: found.interface.as_deref(),
                    name: &found.name,
                    signature: &found.signature,
                });
                let callable: Vec<_> = callable.collect();
                let names: HashSet<_> = self.callable.iter().map(named).collect();
                let exports = |interface: &str, name: &str| {
                    self.left_out > 0
                        || names.contains(&(Some(interface.to_owned()), name.to_owned()))
                        || self.refused.iter().any(|refused| {
                            refused.name.strip_prefix(interface) == Some(&format!("#{name}"))
                        })
                };
                wit.docs_of(&callable, exports)
                    .map_err(LoadError::OtherWit)?
            }
        };
        for (found, docs) in self.callable.iter_mut().zip(docs) {
            found.docs = docs;
        }
        Ok(())
    }

    /// Whether nothing can be called.
    pub(in crate::component) fn is_empty(&self) -> bool {
        self.callable.is_empty()
    }

    /// The functions that cannot be called.
    pub(in crate::component) fn refused(&self) -> &[RefusedFunction] {
        &self.refused
    }
}

/// The typed functions of a component that can be called.
#[derive(Debug)]
pub(in crate::component) struct TypedFunctions(Vec<TypedExport>);

/// A typed function, and where an instance has it.
#[derive(Debug)]
struct TypedExport {
    function: Arc<TypedFunction>,
    index: ComponentExportIndex,
}

impl TypedFunctions {
    /// Those that were `found`, shared as the patterns of `share` say.
    pub(in crate::component) fn new(
        found: FoundFunctions,
        share: &[SharePattern],
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let names: Vec<_> = found
            .callable
            .iter()
            .map(|found| (found.interface.as_deref(), &*found.name))
            .collect();
        for pattern in share {
            if !names.iter().any(|name| pattern.matches(*name)) {
                let names: Vec<_> = names
                    .iter()
                    .map(|(interface, name)| match interface {
                        Some(interface) => format!("{interface}#{name}"),
                        None => (*name).to_owned(),
                    })
                    .collect();
                return Err(LoadError::NothingToShare {
                    pattern: bounded(pattern),
                    functions: bounded(Names::of(names.iter().map(String::as_str))),
                });
            }
        }
        let with_sharing = |(index, found): (usize, FoundFunction)| {
            let name = (found.interface.as_deref(), &*found.name);
            let sharing = if share.iter().any(|pattern| pattern.matches(name)) {
                CallSharing::Shared
            } else {
                CallSharing::PerCaller
            };
            let function = TypedFunction::new(
                index,
                found.interface.as_deref(),
                &found.name,
                found.signature,
                sharing,
                limits.max_arguments_bytes,
            );
            let function = function.documented(found.docs);
            TypedExport {
                function: Arc::new(function),
                index: found.index,
            }
        };
        let exports = found.callable.into_iter().enumerate().map(with_sharing);
        Ok(Self(exports.collect()))
    }

    /// All of them.
    pub(in crate::component) fn all(&self) -> impl Iterator<Item = &Arc<TypedFunction>> {
        self.0.iter().map(|export| &export.function)
    }

    /// Where an instance has `function`; `None` if it is a function of another load.
    pub(in crate::component) fn index(
        &self,
        function: &TypedFunction,
    ) -> Option<&ComponentExportIndex> {
        let export = self.0.get(function.index)?;
        (*export.function == *function).then_some(&export.index)
    }
}

/// Calls the function that `instance` has at `index`. The error is a trap, or a result that cannot be lifted.
pub(in crate::component) async fn call(
    store: &mut Store<StoreState>,
    instance: &wasmtime::component::Instance,
    index: &ComponentExportIndex,
    signature: &Signature,
    arguments: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let func = instance
        .get_func(&mut *store, index)
        .ok_or_else(|| wasmtime::format_err!("expected a function, got another export"))?;
    let mut results = [Val::Bool(false)];
    let results = if signature.result.is_some() {
        &mut results[..]
    } else {
        &mut results[..0]
    };
    func.call_async(store, arguments, results).await?;
    Ok(results
        .first_mut()
        .map(|result| std::mem::replace(result, Val::Bool(false))))
}

/// The signature of `func`, or why it cannot be called.
pub(super) fn signature_of(func: &ComponentFunc) -> Result<Signature, String> {
    signature(func, &mut TypeBudget::default())
}

/// The types of `func`. A function that is refused takes nothing from the others.
fn signature(func: &ComponentFunc, budget: &mut TypeBudget) -> Result<Signature, String> {
    budget.or_return(|budget| signature_within(func, budget))
}

fn signature_within(func: &ComponentFunc, budget: &mut TypeBudget) -> Result<Signature, String> {
    let parameters = func.params().map(|(name, ty)| {
        let of = match name.char_indices().nth(MAX_SHOWN_CHARS) {
            None => format!("its parameter {name}"),
            Some((end, _)) => format!("its parameter {}…", &name[..end]),
        };
        Ok(Parameter {
            name: budget.name(name)?,
            ty: value_type(&ty, &of, MAX_DEPTH, budget)?,
        })
    });
    let parameters = parameters.collect::<Result<_, String>>()?;
    let result = func.results().next();
    let result = result.map(|ty| value_type(&ty, "its result", MAX_DEPTH, budget));
    Ok(Signature {
        parameters,
        result: result.transpose()?.map(Arc::new),
    })
}

/// The type `ty`, which is a part of `of`.
fn value_type(
    ty: &Type,
    of: &str,
    depth: usize,
    budget: &mut TypeBudget,
) -> Result<ValueType, String> {
    budget.take_type()?;
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| format!("{of} is nested more than {MAX_DEPTH} deep"))?;
    let has = |what| Err(format!("{of} has {what}"));
    let mut part = |ty: &Type| value_type(ty, of, depth, budget).map(Box::new);
    Ok(match ty {
        Type::Bool => ValueType::Bool,
        Type::S8 => ValueType::S8,
        Type::U8 => ValueType::U8,
        Type::S16 => ValueType::S16,
        Type::U16 => ValueType::U16,
        Type::S32 => ValueType::S32,
        Type::U32 => ValueType::U32,
        Type::S64 => ValueType::S64,
        Type::U64 => ValueType::U64,
        Type::Float32 => ValueType::F32,
        Type::Float64 => ValueType::F64,
        Type::Char => ValueType::Char,
        Type::String => ValueType::String,
        Type::List(list) => ValueType::List(part(&list.ty())?),
        Type::FixedLengthList(list) => ValueType::FixedList(part(&list.ty())?, list.len()),
        Type::Map(map) => ValueType::Map(part(&map.key())?, part(&map.value())?),
        Type::Option(option) => ValueType::Option(part(&option.ty())?),
        Type::Result(result) => ValueType::Result(
            result.ok().map(|ty| part(&ty).map(Arc::from)).transpose()?,
            result
                .err()
                .map(|ty| part(&ty).map(Arc::from))
                .transpose()?,
        ),
        Type::Tuple(tuple) => {
            let types = tuple.types();
            let types = types.map(|ty| value_type(&ty, of, depth, budget));
            ValueType::Tuple(types.collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let fields = record.fields().map(|field| {
                Ok(Field {
                    name: budget.name(field.name)?,
                    ty: value_type(&field.ty, of, depth, budget)?,
                })
            });
            ValueType::Record(fields.collect::<Result<_, String>>()?)
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| {
                let ty = case.ty.map(|ty| value_type(&ty, of, depth, budget));
                Ok(Case {
                    name: budget.name(case.name)?,
                    ty: ty.transpose()?,
                })
            });
            ValueType::Variant(cases.collect::<Result<_, String>>()?)
        }
        Type::Enum(names) => {
            let names = names.names().map(|name| budget.name(name));
            ValueType::Enum(names.collect::<Result<_, _>>()?)
        }
        Type::Flags(names) => {
            let names = names.names().map(|name| budget.name(name));
            ValueType::Flags(names.collect::<Result<_, _>>()?)
        }
        Type::Own(_) | Type::Borrow(_) => return has("a resource"),
        Type::Future(_) => return has("a future"),
        Type::Stream(_) => return has("a stream"),
        Type::ErrorContext => return has("an error-context"),
    })
}

/// Whether a function is the one by which componentize-py or componentize-qjs evaluates the source while it builds a
/// component, and which stays among its exports. No caller may evaluate anything.
fn is_build_step(interface: Option<&str>, name: &str, func: &ComponentFunc) -> bool {
    let mut parameters = func.params().map(|(name, _)| name);
    let first = parameters.next();
    name == "init"
        && match interface {
            None => first == Some("shim") && parameters.next() == Some("script"),
            Some(interface) => interface == "exports" && first == Some("app-name"),
        }
}
