//! [`ExpectedValue`]: a value of a type that JSON has, and the reading of those that contain no others.

use std::fmt::{self, Formatter};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor,
};

use super::argument_error::{ArgumentProblem, limited, limited_names, shown};
use super::json_reading::{JsonReading, PathStep, refuse};
use super::value_type::{Case, ValueType};

/// A value that is expected in the place that is read.
#[derive(Clone, Copy)]
pub(super) struct ExpectedValue<'a> {
    pub(super) ty: &'a ValueType,
    pub(super) reading: &'a JsonReading,
}

impl<'a> ExpectedValue<'a> {
    pub(super) fn mismatch<E: Error>(self, got: impl Into<String>) -> E {
        let problem = ArgumentProblem::Type {
            ty: limited(self.ty),
            expected: self.ty.in_json().to_owned(),
            got: got.into(),
        };
        self.reading.fail(problem)
    }

    pub(super) fn integer<E: Error>(self, number: i128, got: &str) -> Result<(), E> {
        macro_rules! write {
            ($($ty:ident as $int:ty),+) => {
                match self.ty {
                    $(ValueType::$ty => match <$int>::try_from(number) {
                        Ok(number) => self.reading.write(|writer| writer.raw(&number.to_le_bytes())),
                        Err(_) => Err(self.mismatch(format!("{number}, which is out of its range"))),
                    },)+
                    _ => Err(self.mismatch(got)),
                }
            };
        }
        write!(
            S8 as i8,
            U8 as u8,
            S16 as i16, U16 as u16, S32 as i32, U32 as u32, S64 as i64, U64 as u64
        )
    }

    pub(super) fn float<E: Error>(self, number: f64, got: &str) -> Result<(), E> {
        match self.ty {
            ValueType::F64 => self.reading.write(|writer| writer.f64(number)),
            ValueType::F32 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounded, as any decimal is"
                )]
                let rounded = number as f32;
                if rounded.is_infinite() && number.is_finite() {
                    return Err(self.mismatch("a number that is out of its range"));
                }
                self.reading.write(|writer| writer.f32(rounded))
            }
            _ => Err(self.mismatch(got)),
        }
    }

    /// A value that JSON has as a string.
    pub(super) fn text<E: Error>(self, text: &str) -> Result<(), E> {
        let reading = self.reading;
        match self.ty {
            ValueType::String => reading.write(|writer| writer.text(text.as_bytes())),
            ValueType::Char => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(char), None) => {
                        reading.write(|writer| writer.raw(&u32::from(char).to_le_bytes()))
                    }
                    _ => Err(self.mismatch("a string of another length")),
                }
            }
            ValueType::Enum(names) => match names.iter().position(|name| **name == *text) {
                Some(case) => reading.write(|writer| writer.number(case)),
                None => Err(self.other_name(text, names.iter())),
            },
            ValueType::Variant(cases) => {
                let named = |case: &Case| *case.name == *text;
                match cases.iter().position(named) {
                    Some(case) if cases[case].ty.is_none() => {
                        reading.write(|writer| writer.number(case))
                    }
                    Some(_) => Err(self.mismatch(format!("{} without its value", shown(text)))),
                    None => Err(self.other_name(text, cases.iter().map(|case| &case.name))),
                }
            }
            ValueType::List(element) if **element == ValueType::U8 => match STANDARD.decode(text) {
                Ok(bytes) => reading.write(|writer| writer.text(&bytes)),
                Err(error) => Err(self.mismatch(format!("a string that is not base64: {error}"))),
            },
            ValueType::F32 | ValueType::F64 => match text {
                "NaN" => self.float(f64::NAN, ""),
                "Infinity" => self.float(f64::INFINITY, ""),
                "-Infinity" => self.float(f64::NEG_INFINITY, ""),
                _ => Err(self.mismatch(shown(text))),
            },
            // For callers whose numbers are doubles. One spelling only: `-0`, `+1` and `01` are none of it.
            ValueType::S64 | ValueType::U64 => {
                let number = text.parse::<i128>().ok();
                match number.filter(|number| number.to_string() == text) {
                    Some(number) => self.integer(number, ""),
                    None => Err(self.mismatch(shown(text))),
                }
            }
            _ => Err(self.mismatch("a string")),
        }
    }

    pub(super) fn other_name<'n, E: Error>(
        self,
        text: &str,
        names: impl Iterator<Item = &'n Box<str>>,
    ) -> E {
        let problem = ArgumentProblem::Type {
            ty: limited(self.ty),
            expected: format!("one of {}", limited_names(names.map(|name| &**name))),
            got: shown(text),
        };
        self.reading.fail(problem)
    }

    pub(super) fn flags<'de, A: SeqAccess<'de>>(
        self,
        names: &'a [Box<str>],
        mut elements: A,
    ) -> Result<(), A::Error> {
        let reading = self.reading;
        let mut is_set = vec![false; names.len()];
        let mut nth = 0;
        let mut next = |nth| {
            reading.within(PathStep::Element(nth), || {
                let Some(name) = elements.next_element_seed(LabelSeed(self))? else {
                    return Ok(false);
                };
                let Some(flag) = names.iter().position(|flag| **flag == *name) else {
                    return Err(self.other_name(&name, names.iter()));
                };
                if std::mem::replace(&mut is_set[flag], true) {
                    return Err(reading.fail(ArgumentProblem::Repeated));
                }
                Ok(true)
            })
        };
        while next(nth)? {
            nth += 1;
        }
        reading.write(|writer| writer.flags(names.len(), |flag| is_set[flag]))
    }
}

/// A name: of a field, a case or a flag.
#[derive(Clone, Copy)]
struct LabelSeed<'a>(ExpectedValue<'a>);

impl<'de> DeserializeSeed<'de> for LabelSeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl LabelSeed<'_> {
    fn mismatch<E: Error>(self, got: &str) -> E {
        self.0.reading.fail(ArgumentProblem::Type {
            ty: limited(self.0.ty),
            expected: "a name".to_owned(),
            got: got.to_owned(),
        })
    }
}

impl<'de> Visitor<'de> for LabelSeed<'_> {
    type Value = String;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    refuse!(String: bool, number, null, array, object);
}

/// `null`, for a case that contains nothing.
pub(super) struct NullSeed<'a>(pub(super) ExpectedValue<'a>);

impl<'de> DeserializeSeed<'de> for NullSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let is_null = Option::<IgnoredAny>::deserialize(deserializer)?.is_none();
        if is_null {
            Ok(())
        } else {
            Err(self.0.mismatch("a value where the case contains none"))
        }
    }
}
