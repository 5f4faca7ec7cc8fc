//! The types of WIT as the host has them, with their documentation comments.

use std::sync::Arc;

use wit_parser::{Docs, Function, FunctionKind, Resolve, Type, TypeDefKind};

use crate::printable::{Escape, escape};
use crate::typed::{
    Case, Field, FunctionDocs, MAX_DEPTH, Parameter, PartDocs, Signature, TypeBudget, TypeDocs,
    ValueType,
};

/// The maximum size of one comment, in bytes. A longer one is cut.
const MAX_COMMENT_BYTES: usize = 4 << 10;

/// The maximum size of all comments of a client, in bytes, where the comments of a type count each time that the type is
/// used. Further ones are left out.
const MAX_DOCS_BYTES: usize = 256 << 10;

/// What is left for comments.
#[derive(Debug)]
pub(super) struct DocsBudget {
    bytes: usize,
    /// Whether any was left out.
    pub(super) is_exceeded: bool,
}

impl Default for DocsBudget {
    fn default() -> Self {
        Self {
            bytes: MAX_DOCS_BYTES,
            is_exceeded: false,
        }
    }
}

impl DocsBudget {
    /// The text of a comment, with what is not printable escaped but its line ends.
    pub(super) fn text(&mut self, text: Option<&str>) -> Option<Box<str>> {
        let text = text?.trim();
        if text.is_empty() {
            return None;
        }
        let cut = &text[..text.floor_char_boundary(MAX_COMMENT_BYTES)];
        let clean = cut.replace("\r\n", "\n").replace('\t', "    ");
        let mut clean = escape(&clean, Escape::Rust, |char| char != '\n').into_owned();
        if cut.len() < text.len() {
            clean.push_str(" …");
        }
        match self.bytes.checked_sub(clean.len()) {
            Some(left) => {
                self.bytes = left;
                Some(clean.into())
            }
            None => {
                self.is_exceeded = true;
                None
            }
        }
    }
}

/// Reads types of a package.
pub(super) struct TypeReader<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) budget: &'a mut TypeBudget,
    pub(super) docs: &'a mut DocsBudget,
}

/// A type, and its comments.
type DocumentedType = (ValueType, TypeDocs);

impl TypeReader<'_> {
    /// The types of `function` and their comments; or why it has no such types.
    pub(super) fn function(
        &mut self,
        function: &Function,
    ) -> Result<(Signature, FunctionDocs), String> {
        if function.kind != FunctionKind::Freestanding {
            return Err("it is asynchronous, or belongs to a resource".to_owned());
        }
        let text = self.text(&function.docs);
        let (mut parameters, mut docs) = (Vec::new(), Vec::new());
        for parameter in &function.params {
            let name = self.budget.name(&parameter.name)?;
            let ty = *self.boxed(&parameter.ty, MAX_DEPTH, &mut docs)?;
            parameters.push(Parameter { name, ty });
        }
        let (result, result_docs) = match &function.result {
            None => (None, TypeDocs::default()),
            Some(ty) => {
                let (ty, docs) = self.value_type(ty, MAX_DEPTH)?;
                (Some(Arc::new(ty)), docs)
            }
        };
        let signature = Signature {
            parameters: parameters.into(),
            result,
        };
        let docs = FunctionDocs {
            text,
            parameters: unless_empty(docs),
            result: result_docs,
        };
        Ok((signature, docs))
    }

    fn text(&mut self, docs: &Docs) -> Option<Box<str>> {
        self.docs.text(docs.contents.as_deref())
    }

    fn value_type(&mut self, ty: &Type, depth: usize) -> Result<DocumentedType, String> {
        let simple = match ty {
            Type::Id(id) => {
                let ty = &self.resolve.types[*id];
                let text = self.text(&ty.docs);
                let (value_type, mut docs) = self.defined(&ty.kind, depth)?;
                docs.text = text.or(docs.text);
                return Ok((value_type, docs));
            }
            Type::Bool => ValueType::Bool,
            Type::S8 => ValueType::S8,
            Type::U8 => ValueType::U8,
            Type::S16 => ValueType::S16,
            Type::U16 => ValueType::U16,
            Type::S32 => ValueType::S32,
            Type::U32 => ValueType::U32,
            Type::S64 => ValueType::S64,
            Type::U64 => ValueType::U64,
            Type::F32 => ValueType::F32,
            Type::F64 => ValueType::F64,
            Type::Char => ValueType::Char,
            Type::String => ValueType::String,
            Type::ErrorContext => return Err("it has an error-context".to_owned()),
        };
        self.budget.take_type()?;
        Ok((simple, TypeDocs::default()))
    }

    fn defined(&mut self, kind: &TypeDefKind, depth: usize) -> Result<DocumentedType, String> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| format!("it is nested more than {MAX_DEPTH} deep"))?;
        if let TypeDefKind::Type(same) = kind {
            return self.value_type(same, depth);
        }
        self.budget.take_type()?;
        let mut parts = Vec::new();
        let ty = match kind {
            TypeDefKind::List(element) => ValueType::List(self.boxed(element, depth, &mut parts)?),
            TypeDefKind::FixedLengthList(element, number) => {
                ValueType::FixedList(self.boxed(element, depth, &mut parts)?, *number)
            }
            TypeDefKind::Option(inner) => ValueType::Option(self.boxed(inner, depth, &mut parts)?),
            TypeDefKind::Map(key, value) => ValueType::Map(
                self.boxed(key, depth, &mut parts)?,
                self.boxed(value, depth, &mut parts)?,
            ),
            TypeDefKind::Result(result) => ValueType::Result(
                self.content(result.ok.as_ref(), depth, &mut parts)?
                    .map(Arc::new),
                self.content(result.err.as_ref(), depth, &mut parts)?
                    .map(Arc::new),
            ),
            TypeDefKind::Tuple(tuple) => {
                let types = tuple.types.iter();
                let types = types.map(|ty| Ok(*self.boxed(ty, depth, &mut parts)?));
                ValueType::Tuple(types.collect::<Result<_, String>>()?)
            }
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let name = self.budget.name(&field.name)?;
                    let text = self.text(&field.docs);
                    let (ty, docs) = self.value_type(&field.ty, depth)?;
                    parts.push(PartDocs { text, ty: docs });
                    Ok(Field { name, ty })
                });
                ValueType::Record(fields.collect::<Result<_, String>>()?)
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| {
                    let name = self.budget.name(&case.name)?;
                    let text = self.text(&case.docs);
                    let ty = self.content(case.ty.as_ref(), depth, &mut parts)?;
                    if let Some(part) = parts.last_mut() {
                        part.text = text;
                    }
                    Ok(Case { name, ty })
                });
                ValueType::Variant(cases.collect::<Result<_, String>>()?)
            }
            TypeDefKind::Enum(of) => {
                let names = of.cases.iter().map(|case| (&case.name, &case.docs));
                ValueType::Enum(self.names(names, &mut parts)?)
            }
            TypeDefKind::Flags(of) => {
                let names = of.flags.iter().map(|flag| (&flag.name, &flag.docs));
                ValueType::Flags(self.names(names, &mut parts)?)
            }
            TypeDefKind::Resource | TypeDefKind::Handle(_) => {
                return Err("it has a resource".to_owned());
            }
            TypeDefKind::Future(_) => return Err("it has a future".to_owned()),
            TypeDefKind::Stream(_) => return Err("it has a stream".to_owned()),
            TypeDefKind::Type(_) | TypeDefKind::Unknown => {
                return Err("it has an unknown type".to_owned());
            }
        };
        let parts = unless_empty(parts);
        Ok((ty, TypeDocs { text: None, parts }))
    }

    fn boxed(
        &mut self,
        ty: &Type,
        depth: usize,
        parts: &mut Vec<PartDocs>,
    ) -> Result<Box<ValueType>, String> {
        let (ty, docs) = self.value_type(ty, depth)?;
        parts.push(PartDocs {
            text: None,
            ty: docs,
        });
        Ok(Box::new(ty))
    }

    /// What a case, `ok` or `err` contains. It is a part even if it contains nothing.
    fn content(
        &mut self,
        ty: Option<&Type>,
        depth: usize,
        parts: &mut Vec<PartDocs>,
    ) -> Result<Option<ValueType>, String> {
        match ty {
            None => {
                parts.push(PartDocs::default());
                Ok(None)
            }
            Some(ty) => Ok(Some(*self.boxed(ty, depth, parts)?)),
        }
    }

    fn names<'a>(
        &mut self,
        names: impl Iterator<Item = (&'a String, &'a Docs)>,
        parts: &mut Vec<PartDocs>,
    ) -> Result<Box<[Box<str>]>, String> {
        let names = names.map(|(name, docs)| {
            let (text, ty) = (self.text(docs), TypeDocs::default());
            parts.push(PartDocs { text, ty });
            self.budget.name(name)
        });
        names.collect()
    }
}

/// Nothing, if all `parts` are empty.
fn unless_empty(parts: Vec<PartDocs>) -> Vec<PartDocs> {
    if parts.iter().all(PartDocs::is_empty) {
        Vec::new()
    } else {
        parts
    }
}
