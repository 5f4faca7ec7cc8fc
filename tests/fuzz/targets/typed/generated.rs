//! Types and values from the bytes of an input.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};

use crate::typed::{Case, Field, Parameter, Signature, TooLong, ValueType, Writer};

/// Names of fields, cases, flags and parameters, among them the words of WAVE and of the JSON of options and results.
const NAMES: [&str; 16] = [
    "a", "a-list", "name-2", "ABC", "true", "false", "some", "none", "ok", "err", "inf", "nan",
    "b-1c", "value", "s8", "list",
];

/// Types whose values contain no others. The first eleven may be the keys of a map.
const SIMPLE: [ValueType; 13] = [
    ValueType::String,
    ValueType::Bool,
    ValueType::S8,
    ValueType::U8,
    ValueType::S16,
    ValueType::U16,
    ValueType::S32,
    ValueType::U32,
    ValueType::S64,
    ValueType::U64,
    ValueType::Char,
    ValueType::F32,
    ValueType::F64,
];

/// How deep a type is at most.
const MAX_DEPTH: usize = 4;

/// How many bytes the values of one input have at most.
const MAX_BYTES: usize = 16 << 10;

/// Reads types and values.
pub(crate) struct Generator<'a, 'b>(pub(crate) &'b mut Unstructured<'a>);

impl Generator<'_, '_> {
    fn below(&mut self, end: usize) -> Result<usize> {
        self.0.choose_index(end)
    }

    /// From `at_least` on, at most nine names, all different.
    fn names(&mut self, at_least: usize) -> Result<Vec<Box<str>>> {
        let first = self.below(NAMES.len())?;
        let number = at_least + self.below(10 - at_least)?;
        Ok((first..first + number)
            .map(|nth| NAMES[nth % NAMES.len()].into())
            .collect())
    }

    fn few_names(&mut self, at_least: usize) -> Result<Vec<Box<str>>> {
        let mut names = self.names(at_least)?;
        names.truncate(3);
        Ok(names)
    }

    pub(crate) fn signature(&mut self) -> Result<Signature> {
        let names = self.few_names(0)?.into_iter();
        let parameters = names.map(|name| {
            let ty = self.value_type(MAX_DEPTH)?;
            Ok(Parameter { name, ty })
        });
        Ok(Signature {
            parameters: parameters.collect::<Result<_>>()?,
            result: None,
        })
    }

    /// A type that is at most `depth` types deep. An empty tuple is none of them: WAVE has no form for it.
    fn value_type(&mut self, depth: usize) -> Result<ValueType> {
        let kind = self.below(SIMPLE.len() + if depth == 0 { 0 } else { 10 })?;
        if let Some(simple) = SIMPLE.get(kind) {
            return Ok(simple.clone());
        }
        let depth = depth - 1;
        Ok(match kind - SIMPLE.len() {
            0 => ValueType::List(Box::new(self.value_type(depth)?)),
            1 => {
                let number = self.below(4)?;
                ValueType::FixedList(Box::new(self.value_type(depth)?), number as u32)
            }
            2 => {
                let key = SIMPLE[self.below(11)?].clone();
                ValueType::Map(Box::new(key), Box::new(self.value_type(depth)?))
            }
            3 => {
                let names = self.few_names(0)?.into_iter();
                let fields = names.map(|name| {
                    let ty = self.value_type(depth)?;
                    Ok(Field { name, ty })
                });
                ValueType::Record(fields.collect::<Result<_>>()?)
            }
            4 => {
                let types = (0..=self.below(3)?).map(|_| self.value_type(depth));
                ValueType::Tuple(types.collect::<Result<_>>()?)
            }
            5 => {
                let names = self.few_names(1)?.into_iter();
                let cases = names.map(|name| {
                    let ty = self.maybe(depth)?;
                    Ok(Case { name, ty })
                });
                ValueType::Variant(cases.collect::<Result<_>>()?)
            }
            6 => ValueType::Enum(self.names(1)?.into()),
            7 => ValueType::Option(Box::new(self.value_type(depth)?)),
            8 => ValueType::Result(
                self.maybe(depth)?.map(Arc::new),
                self.maybe(depth)?.map(Arc::new),
            ),
            _ => ValueType::Flags(self.names(0)?.into()),
        })
    }

    fn maybe(&mut self, depth: usize) -> Result<Option<ValueType>> {
        Ok(if self.0.arbitrary()? {
            Some(self.value_type(depth)?)
        } else {
            None
        })
    }

    /// The canonical bytes of arguments; `None` if there would be too many.
    pub(crate) fn arguments(&mut self, signature: &Signature) -> Result<Option<Vec<u8>>> {
        let mut writer = Writer::new(MAX_BYTES);
        for parameter in &signature.parameters {
            if self.write(&parameter.ty, &mut writer)?.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(writer.into_bytes()))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.0.arbitrary()
    }

    /// The outer error is that of the input, the inner one that of the writer.
    fn write(&mut self, ty: &ValueType, to: &mut Writer) -> Result<Result<(), TooLong>> {
        let mut all = |this: &mut Self, types: &mut dyn Iterator<Item = &ValueType>| {
            for ty in types {
                if let Err(error) = this.write(ty, to)? {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        };
        match ty {
            ValueType::FixedList(element, number) => {
                return all(self, &mut (0..*number).map(|_| &**element));
            }
            ValueType::Tuple(types) => return all(self, &mut types.iter()),
            ValueType::Record(fields) => {
                return all(self, &mut fields.iter().map(|field| &field.ty));
            }
            _ => {}
        }
        Ok(match ty {
            ValueType::Bool => to.byte(u8::from(self.0.arbitrary::<bool>()?)),
            ValueType::S8 | ValueType::U8 => to.raw(&self.number::<1>()?),
            ValueType::S16 | ValueType::U16 => to.raw(&self.number::<2>()?),
            ValueType::S32 | ValueType::U32 => to.raw(&self.number::<4>()?),
            ValueType::S64 | ValueType::U64 => to.raw(&self.number::<8>()?),
            ValueType::F32 => to.f32(self.0.arbitrary()?),
            ValueType::F64 => to.f64(self.0.arbitrary()?),
            ValueType::Char => to.raw(&u32::from(self.0.arbitrary::<char>()?).to_le_bytes()),
            ValueType::String => to.text(self.0.arbitrary::<&str>()?.as_bytes()),
            ValueType::List(element) => {
                let number = self.below(5)?;
                let Ok(()) = to.number(number) else {
                    return Ok(Err(TooLong));
                };
                return self.repeated(element, number, to);
            }
            ValueType::Map(key, value) => return self.map(key, value, to),
            ValueType::Variant(cases) => {
                let case = self.below(cases.len())?;
                return self.tagged(to.number(case), cases[case].ty.as_ref(), to);
            }
            ValueType::Enum(names) => to.number(self.below(names.len())?),
            ValueType::Option(inner) => {
                let is_some: bool = self.0.arbitrary()?;
                return self.tagged(to.byte(is_some.into()), is_some.then_some(inner), to);
            }
            ValueType::Result(ok, err) => {
                let is_err: bool = self.0.arbitrary()?;
                let content = if is_err { err } else { ok };
                return self.tagged(to.byte(is_err.into()), content.as_deref(), to);
            }
            ValueType::Flags(names) => {
                let bits: u16 = self.0.arbitrary()?;
                to.flags(names.len(), |flag| bits & (1 << flag) != 0)
            }
            ValueType::FixedList(..) | ValueType::Tuple(_) | ValueType::Record(_) => Ok(()),
        })
    }

    fn repeated(
        &mut self,
        ty: &ValueType,
        number: usize,
        to: &mut Writer,
    ) -> Result<Result<(), TooLong>> {
        for _ in 0..number {
            if let Err(error) = self.write(ty, to)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// What is written after a tag that has been.
    fn tagged(
        &mut self,
        tag: Result<(), TooLong>,
        content: Option<&ValueType>,
        to: &mut Writer,
    ) -> Result<Result<(), TooLong>> {
        match (tag, content) {
            (Ok(()), Some(ty)) => self.write(ty, to),
            (tag, _) => Ok(tag),
        }
    }

    fn map(
        &mut self,
        key: &ValueType,
        value: &ValueType,
        to: &mut Writer,
    ) -> Result<Result<(), TooLong>> {
        let Ok(at) = to.begin_list() else {
            return Ok(Err(TooLong));
        };
        let start = to.position();
        let mut entries = Vec::new();
        for _ in 0..self.below(5)? {
            if self.write(key, to)?.is_err() {
                return Ok(Err(TooLong));
            }
            let end_of_key = to.position();
            if self.write(value, to)?.is_err() {
                return Ok(Err(TooLong));
            }
            entries.push((end_of_key, to.position()));
        }
        let number = to.order_map(start, &entries);
        to.end_list(at, number);
        Ok(Ok(()))
    }
}
