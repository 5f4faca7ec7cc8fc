//! Types and values for tests, from a seed.

use std::sync::Arc;

use super::signature::{Parameter, Signature};
use super::value_type::{Case, Field, ValueType};
use super::write::{TooLong, Writer};

/// Names of fields, cases, flags and parameters, among them the words of WAVE and of the JSON of options and results.
const NAMES: [&str; 14] = [
    "a", "a-list", "name-2", "ABC", "true", "false", "some", "none", "ok", "err", "inf", "nan",
    "b-1c", "value",
];

/// Characters that a text form may have to escape.
const CHARS: [char; 16] = [
    'a', 'ü', '☃', '🦀', '"', '\'', '\\', '\n', '\r', '\t', '\0', '\u{7f}', '\u{202e}', '\u{301}',
    '/', '{',
];

/// Types whose values may be the keys of a map.
const KEYS: [ValueType; 11] = [
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
];

/// Makes types and values.
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next bits, by the algorithm `SplitMix64`.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % u64::try_from(end).unwrap()).unwrap()
    }

    fn names(&mut self, at_least: usize) -> Vec<Box<str>> {
        let first = self.below(NAMES.len());
        let number = at_least + self.below(10);
        (first..first + number)
            .map(|nth| NAMES[nth % NAMES.len()].into())
            .collect()
    }

    fn few_names(&mut self, at_least: usize) -> Vec<Box<str>> {
        let mut names = self.names(at_least);
        names.truncate(3);
        names
    }

    pub(crate) fn signature(&mut self) -> Signature {
        let parameters = self.few_names(0).into_iter().map(|name| Parameter {
            name,
            ty: self.value_type(3),
        });
        Signature {
            parameters: parameters.collect(),
            result: None,
        }
    }

    /// A type that is at most `depth` types deep. An empty tuple is none of them: WAVE has no form for it.
    pub(crate) fn value_type(&mut self, depth: usize) -> ValueType {
        if depth == 0 || self.below(3) == 0 {
            return match self.below(13) {
                11 => ValueType::F32,
                12 => ValueType::F64,
                key => KEYS[key].clone(),
            };
        }
        let inner = |this: &mut Self| Box::new(this.value_type(depth - 1));
        let maybe = |this: &mut Self| (this.below(3) > 0).then(|| this.value_type(depth - 1));
        match self.below(10) {
            0 => ValueType::List(inner(self)),
            1 => {
                let number = self.below(4);
                ValueType::FixedList(inner(self), u32::try_from(number).unwrap())
            }
            2 => {
                let key = KEYS[self.below(KEYS.len())].clone();
                ValueType::Map(Box::new(key), inner(self))
            }
            3 => {
                let fields = self.few_names(0).into_iter().map(|name| Field {
                    name,
                    ty: self.value_type(depth - 1),
                });
                ValueType::Record(fields.collect())
            }
            4 => ValueType::Tuple((0..=self.below(3)).map(|_| *inner(self)).collect()),
            5 => {
                let cases = self.few_names(1).into_iter().map(|name| Case {
                    name,
                    ty: maybe(self),
                });
                ValueType::Variant(cases.collect())
            }
            6 => ValueType::Enum(self.names(1).into()),
            7 => ValueType::Option(inner(self)),
            8 => ValueType::Result(maybe(self).map(Arc::new), maybe(self).map(Arc::new)),
            _ => ValueType::Flags(self.names(0).into()),
        }
    }

    /// The canonical bytes of arguments.
    pub(crate) fn arguments(&mut self, signature: &Signature) -> Vec<u8> {
        let mut writer = Writer::new(usize::MAX);
        for parameter in &signature.parameters {
            self.write(&parameter.ty, &mut writer).unwrap();
        }
        writer.into_bytes()
    }

    fn text(&mut self) -> String {
        (0..self.below(6)).map(|_| self.char()).collect()
    }

    fn char(&mut self) -> char {
        match self.below(4) {
            0 => char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap())
                .unwrap_or('\u{10ffff}'),
            _ => CHARS[self.below(CHARS.len())],
        }
    }

    /// The bytes of a number: any, or one at the end of a range.
    fn number<const N: usize>(&mut self) -> [u8; N] {
        let bits = match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (8 * N - 1),
            3 => (1 << (8 * N - 1)) - 1,
            _ => self.bits(),
        };
        bits.to_le_bytes()[..N].try_into().unwrap()
    }

    fn write(&mut self, ty: &ValueType, to: &mut Writer) -> Result<(), TooLong> {
        match ty {
            ValueType::Bool => to.byte(u8::try_from(self.below(2)).unwrap()),
            ValueType::S8 | ValueType::U8 => to.raw(&self.number::<1>()),
            ValueType::S16 | ValueType::U16 => to.raw(&self.number::<2>()),
            ValueType::S32 | ValueType::U32 => to.raw(&self.number::<4>()),
            ValueType::S64 | ValueType::U64 => to.raw(&self.number::<8>()),
            ValueType::F32 => {
                let special = [
                    0.0,
                    -0.0,
                    f32::NAN,
                    f32::INFINITY,
                    f32::NEG_INFINITY,
                    f32::MIN_POSITIVE,
                    f32::MAX,
                    0.1,
                ];
                match self.below(16) {
                    nth if nth < special.len() => to.f32(special[nth]),
                    _ => to.f32(f32::from_le_bytes(self.number())),
                }
            }
            ValueType::F64 => {
                let special = [
                    0.0,
                    -0.0,
                    f64::NAN,
                    f64::INFINITY,
                    f64::NEG_INFINITY,
                    5e-324,
                    f64::MAX,
                    0.1,
                ];
                match self.below(16) {
                    nth if nth < special.len() => to.f64(special[nth]),
                    _ => to.f64(f64::from_le_bytes(self.number())),
                }
            }
            ValueType::Char => to.raw(&u32::from(self.char()).to_le_bytes()),
            ValueType::String => to.text(self.text().as_bytes()),
            ValueType::List(element) => {
                let number = self.below(4);
                to.number(number)?;
                (0..number).try_for_each(|_| self.write(element, to))
            }
            ValueType::FixedList(element, number) => {
                (0..*number).try_for_each(|_| self.write(element, to))
            }
            ValueType::Map(key, value) => {
                let at = to.begin_list()?;
                let start = to.position();
                let mut entries = Vec::new();
                for _ in 0..self.below(4) {
                    self.write(key, to)?;
                    let end_of_key = to.position();
                    self.write(value, to)?;
                    entries.push((end_of_key, to.position()));
                }
                let number = to.order_map(start, &entries);
                to.end_list(at, number);
                Ok(())
            }
            ValueType::Tuple(types) => types.iter().try_for_each(|ty| self.write(ty, to)),
            ValueType::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.write(&field.ty, to)),
            ValueType::Variant(cases) => {
                let case = self.below(cases.len());
                to.number(case)?;
                cases[case].ty.iter().try_for_each(|ty| self.write(ty, to))
            }
            ValueType::Enum(names) => to.number(self.below(names.len())),
            ValueType::Option(inner) => {
                let is_some = self.below(3) > 0;
                to.byte(is_some.into())?;
                is_some
                    .then_some(inner)
                    .iter()
                    .try_for_each(|ty| self.write(ty, to))
            }
            ValueType::Result(ok, err) => {
                let is_err = self.below(2) > 0;
                to.byte(is_err.into())?;
                let content = if is_err { err } else { ok };
                content.iter().try_for_each(|ty| self.write(ty, to))
            }
            ValueType::Flags(names) => {
                let bits = self.bits();
                to.flags(names.len(), |flag| bits & (1 << flag) != 0)
            }
        }
    }
}
