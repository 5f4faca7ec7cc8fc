//! Typed functions: those of a component that the host finds at load, by their types.
//!
//! Their calls are dynamic: wasmtime's [`Val`] on both sides. A guest's arguments are decoded from the bytes of the call,
//! which are the key of its flight.

use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, Val};
use wasmtime::{Engine as Wasmtime, Store};

use crate::component::error::{ITEMS, LoadError};
use crate::component::store::StoreState;
use crate::model::{CallSharing, Limits, SharePattern, TypedFunction};
use crate::typed::{
    Case, Field, Malformed, Parameter, Reader, Signature, TooLong, ValueType, Writer,
};

/// The maximum number of functions that are found in a component. The others are left out.
const MAX_FUNCTIONS: usize = 500;

/// The maximum number of parts of all types of a component. Types are graphs: a small file can name a huge tree.
const MAX_TYPES: usize = 10_000;

/// The maximum size of all names of functions and in types, in bytes. One name may have 100,000.
const MAX_NAME_BYTES: usize = 128 << 10;

/// The maximum depth of a type.
const MAX_DEPTH: usize = 64;

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
        let mut budget = Budget::default();
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
        budget: &mut Budget,
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
            Some(index) => signature(func, budget).map(|signature| (index, signature)),
        };
        match found {
            Ok((index, signature)) => self.callable.push(FoundFunction {
                interface: interface.map(ToOwned::to_owned),
                name: name.to_owned(),
                signature,
                index,
            }),
            Err(reason) => {
                let interface = interface.map_or_else(String::new, |of| format!("{of}#"));
                let name = format!("{interface}{name}");
                self.refused.push(RefusedFunction { name, reason });
            }
        }
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
                let names = names.iter().map(|(interface, name)| match interface {
                    Some(interface) => format!("{interface}#{name}"),
                    None => (*name).to_owned(),
                });
                return Err(LoadError::NothingToShare {
                    pattern: pattern.to_string(),
                    functions: names.collect::<Vec<_>>().join(", "),
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

/// How much of a component's types and names may still be copied.
struct Budget {
    types: usize,
    name_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            types: MAX_TYPES,
            name_bytes: MAX_NAME_BYTES,
        }
    }
}

impl Budget {
    fn take_type(&mut self) -> Result<(), String> {
        self.types = self
            .types
            .checked_sub(1)
            .ok_or_else(|| format!("its types have more than {MAX_TYPES} parts"))?;
        Ok(())
    }

    fn take_name(&mut self, bytes: usize) -> Result<(), String> {
        self.name_bytes = self
            .name_bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("its names have more than {MAX_NAME_BYTES} bytes"))?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<Box<str>, String> {
        self.take_name(name.len())?;
        Ok(name.into())
    }
}

/// The signature of `func`, or why it cannot be called.
pub(super) fn signature_of(func: &ComponentFunc) -> Result<Signature, String> {
    signature(func, &mut Budget::default())
}

fn signature(func: &ComponentFunc, budget: &mut Budget) -> Result<Signature, String> {
    let parameters = func.params().map(|(name, ty)| {
        let of = format!("its parameter {name}");
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
        result: result.transpose()?,
    })
}

/// The type `ty`, which is a part of `of`.
fn value_type(ty: &Type, of: &str, depth: usize, budget: &mut Budget) -> Result<ValueType, String> {
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
            result.ok().map(|ty| part(&ty)).transpose()?,
            result.err().map(|ty| part(&ty)).transpose()?,
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

/// The values of `signature`'s parameters in `bytes`. `None` if they take more than `room` bytes.
pub(in crate::component) fn arguments(
    signature: &Signature,
    bytes: &[u8],
    room: usize,
) -> Result<Option<Vec<Val>>, Malformed> {
    let mut decoding = Decoding {
        from: Reader::new(bytes),
        room,
    };
    let mut values = Vec::with_capacity(signature.parameters.len());
    for parameter in &signature.parameters {
        match decoding.value(&parameter.ty) {
            Ok(value) => values.push(value),
            Err(Undecoded::NoRoom) => return Ok(None),
            Err(Undecoded::Malformed(malformed)) => return Err(malformed),
        }
    }
    if decoding.from.is_at_end() {
        Ok(Some(values))
    } else {
        Err(Malformed)
    }
}

struct Decoding<'a> {
    from: Reader<'a>,
    /// How many bytes the values may still take.
    room: usize,
}

/// Why bytes were not decoded.
enum Undecoded {
    Malformed(Malformed),
    NoRoom,
}

impl From<Malformed> for Undecoded {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Decoding<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Undecoded> {
        self.room = self.room.checked_sub(bytes).ok_or(Undecoded::NoRoom)?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<String, Undecoded> {
        self.take(size_of::<String>() + name.len())?;
        Ok(name.to_owned())
    }

    fn values<'t>(
        &mut self,
        number: usize,
        ty: impl Fn(usize) -> &'t ValueType,
    ) -> Result<Vec<Val>, Undecoded> {
        // Not with the capacity that the bytes state: they are trusted, and cheap to check.
        (0..number).map(|nth| self.value(ty(nth))).collect()
    }

    fn content(&mut self, ty: Option<&ValueType>) -> Result<Option<Box<Val>>, Undecoded> {
        ty.map(|ty| self.value(ty).map(Box::new)).transpose()
    }

    fn value(&mut self, ty: &ValueType) -> Result<Val, Undecoded> {
        self.take(size_of::<Val>())?;
        Ok(match ty {
            ValueType::Bool => Val::Bool(self.from.bit()?),
            ValueType::S8 => Val::S8(i8::from_le_bytes(self.from.array()?)),
            ValueType::U8 => Val::U8(self.from.byte()?),
            ValueType::S16 => Val::S16(i16::from_le_bytes(self.from.array()?)),
            ValueType::U16 => Val::U16(u16::from_le_bytes(self.from.array()?)),
            ValueType::S32 => Val::S32(i32::from_le_bytes(self.from.array()?)),
            ValueType::U32 => Val::U32(u32::from_le_bytes(self.from.array()?)),
            ValueType::S64 => Val::S64(i64::from_le_bytes(self.from.array()?)),
            ValueType::U64 => Val::U64(u64::from_le_bytes(self.from.array()?)),
            ValueType::F32 => Val::Float32(f32::from_le_bytes(self.from.array()?)),
            ValueType::F64 => Val::Float64(f64::from_le_bytes(self.from.array()?)),
            ValueType::Char => Val::Char(self.from.char()?),
            ValueType::String => {
                let text = self.from.str()?;
                self.take(text.len())?;
                Val::String(text.to_owned())
            }
            ValueType::List(element) => {
                let number = self.from.number()?;
                Val::List(self.values(number, |_| element)?)
            }
            ValueType::FixedList(element, number) => {
                Val::FixedLengthList(self.values(*number as usize, |_| element)?)
            }
            ValueType::Tuple(types) => Val::Tuple(self.values(types.len(), |nth| &types[nth])?),
            ValueType::Map(key, value) => {
                let number = self.from.number()?;
                let entries = (0..number).map(|_| Ok((self.value(key)?, self.value(value)?)));
                Val::Map(entries.collect::<Result<_, Undecoded>>()?)
            }
            ValueType::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|Field { name, ty }| Ok((self.name(name)?, self.value(ty)?)));
                Val::Record(fields.collect::<Result<_, Undecoded>>()?)
            }
            ValueType::Variant(cases) => {
                let Case { name, ty } = cases.get(self.from.number()?).ok_or(Malformed)?;
                Val::Variant(self.name(name)?, self.content(ty.as_ref())?)
            }
            ValueType::Enum(names) => {
                let name = names.get(self.from.number()?).ok_or(Malformed)?;
                Val::Enum(self.name(name)?)
            }
            ValueType::Option(inner) => {
                let inner = self.from.bit()?.then_some(&**inner);
                Val::Option(self.content(inner)?)
            }
            ValueType::Result(ok, err) => Val::Result(if self.from.bit()? {
                Err(self.content(err.as_deref())?)
            } else {
                Ok(self.content(ok.as_deref())?)
            }),
            ValueType::Flags(names) => {
                let flags = self.from.flags(names.len())?;
                let flags = flags.map(|flag| self.name(&names[flag]));
                Val::Flags(flags.collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Why a value that a guest returned has no canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::component) enum Unencoded {
    /// They exceed the limit.
    TooLong,
    /// It is not of the function's type.
    OtherType,
}

impl From<TooLong> for Unencoded {
    fn from(TooLong: TooLong) -> Self {
        Self::TooLong
    }
}

/// The canonical bytes of `value`, which is of type `ty`: at most `limit`.
pub(in crate::component) fn encoded(
    ty: &ValueType,
    value: &Val,
    limit: usize,
) -> Result<Vec<u8>, Unencoded> {
    let mut writer = Writer::new(limit);
    encode(ty, value, &mut writer)?;
    Ok(writer.into_bytes())
}

fn encode(ty: &ValueType, value: &Val, to: &mut Writer) -> Result<(), Unencoded> {
    match (ty, value) {
        (ValueType::Bool, Val::Bool(bool)) => to.byte((*bool).into())?,
        (ValueType::S8, Val::S8(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U8, Val::U8(number)) => to.byte(*number)?,
        (ValueType::S16, Val::S16(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U16, Val::U16(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::S32, Val::S32(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U32, Val::U32(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::S64, Val::S64(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U64, Val::U64(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::F32, Val::Float32(float)) => to.f32(*float)?,
        (ValueType::F64, Val::Float64(float)) => to.f64(*float)?,
        (ValueType::Char, Val::Char(char)) => to.raw(&u32::from(*char).to_le_bytes())?,
        (ValueType::String, Val::String(text)) => to.text(text.as_bytes())?,
        (ValueType::List(element), Val::List(values)) => {
            to.number(values.len())?;
            encode_all(values.iter().map(|value| (&**element, value)), to)?;
        }
        (ValueType::FixedList(element, number), Val::FixedLengthList(values))
            if values.len() == *number as usize =>
        {
            encode_all(values.iter().map(|value| (&**element, value)), to)?;
        }
        (ValueType::Tuple(types), Val::Tuple(values)) if values.len() == types.len() => {
            encode_all(types.iter().zip(values), to)?;
        }
        (ValueType::Map(key, value), Val::Map(values)) => {
            let at = to.begin_list()?;
            let start = to.position();
            let mut entries = Vec::with_capacity(values.len());
            for (of, content) in values {
                encode(key, of, to)?;
                let end_of_key = to.position();
                encode(value, content, to)?;
                entries.push((end_of_key, to.position()));
            }
            let number = to.order_map(start, &entries);
            to.end_list(at, number);
        }
        (ValueType::Record(fields), Val::Record(values)) if values.len() == fields.len() => {
            for (field, (name, value)) in fields.iter().zip(values) {
                if *field.name != **name {
                    return Err(Unencoded::OtherType);
                }
                encode(&field.ty, value, to)?;
            }
        }
        (ValueType::Variant(cases), Val::Variant(name, content)) => {
            let number = cases.iter().position(|case| *case.name == **name);
            let number = number.ok_or(Unencoded::OtherType)?;
            to.number(number)?;
            encode_content(cases[number].ty.as_ref(), content.as_deref(), to)?;
        }
        (ValueType::Enum(names), Val::Enum(name)) => {
            let number = names.iter().position(|of| **of == **name);
            to.number(number.ok_or(Unencoded::OtherType)?)?;
        }
        (ValueType::Option(inner), Val::Option(content)) => {
            to.byte(content.is_some().into())?;
            encode_content(content.as_ref().map(|_| &**inner), content.as_deref(), to)?;
        }
        (ValueType::Result(ok, _), Val::Result(Ok(content))) => {
            to.byte(0)?;
            encode_content(ok.as_deref(), content.as_deref(), to)?;
        }
        (ValueType::Result(_, err), Val::Result(Err(content))) => {
            to.byte(1)?;
            encode_content(err.as_deref(), content.as_deref(), to)?;
        }
        (ValueType::Flags(names), Val::Flags(flags)) => {
            to.flags(names.len(), |flag| {
                flags.iter().any(|set| **set == *names[flag])
            })?;
        }
        _ => return Err(Unencoded::OtherType),
    }
    Ok(())
}

fn encode_all<'a>(
    values: impl Iterator<Item = (&'a ValueType, &'a Val)>,
    to: &mut Writer,
) -> Result<(), Unencoded> {
    for (ty, value) in values {
        encode(ty, value, to)?;
    }
    Ok(())
}

fn encode_content(
    ty: Option<&ValueType>,
    content: Option<&Val>,
    to: &mut Writer,
) -> Result<(), Unencoded> {
    match (ty, content) {
        (None, None) => Ok(()),
        (Some(ty), Some(content)) => encode(ty, content, to),
        _ => Err(Unencoded::OtherType),
    }
}
