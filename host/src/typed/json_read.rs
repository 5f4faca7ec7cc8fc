//! Reads JSON as canonical bytes, without a tree of values in between: a caller's arguments cost what their bytes cost.

use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::argument_error::{ArgumentError, ArgumentProblem, limited, shown};
use super::json_fields::{Fields, FieldsVisitor};
use super::json_map::{MapEntries, PairSeed};
use super::json_reading::{JsonReading, PathStep};
use super::json_value::{ExpectedValue, NullSeed};
use super::signature::Signature;
use super::value_type::ValueType;

/// Up to here all integers are doubles: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The arguments of a function of `signature` in `json`, an object that names them.
pub(crate) fn read_arguments(
    signature: &Signature,
    json: &[u8],
    limit: usize,
) -> Result<Vec<u8>, ArgumentError> {
    if json.len() > limit {
        return Err(ArgumentError::new("", ArgumentProblem::TooLong { limit }));
    }
    let reading = JsonReading::new(limit);
    let read = reading.whole(json, |deserializer| {
        let fields = Fields::Parameters(signature);
        deserializer.deserialize_any(FieldsVisitor {
            fields,
            reading: &reading,
            seed: |ty| ValueSeed::new(ty, &reading),
        })
    });
    reading.finish(read)
}

/// One value of type `ty` in `json`, the argument `name`.
pub(super) fn read_value(
    name: &str,
    ty: &ValueType,
    json: &[u8],
    limit: usize,
) -> Result<Vec<u8>, ArgumentError> {
    let reading = JsonReading::new(limit);
    reading.step(PathStep::Field(name.to_owned()));
    let read = reading.whole(json, |deserializer| {
        ValueSeed::new(ty, &reading).deserialize(deserializer)
    });
    reading.finish(read)
}

/// Reads one value of a type.
#[derive(Clone, Copy)]
struct ValueSeed<'a>(ExpectedValue<'a>);

impl<'a> ValueSeed<'a> {
    fn new(ty: &'a ValueType, reading: &'a JsonReading) -> Self {
        Self(ExpectedValue { ty, reading })
    }

    fn of(self, ty: &'a ValueType) -> Self {
        Self::new(ty, self.0.reading)
    }

    /// The content of an option that is not none, where that needs no `{"some": …}`.
    fn some<E: Error>(self) -> Result<Option<Self>, E> {
        match self.0.ty {
            ValueType::Option(inner) if !inner.is_option() => {
                self.0.reading.write(|writer| writer.byte(1))?;
                Ok(Some(self.of(inner)))
            }
            _ => Ok(None),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.ty.in_json())
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_bool(bool);
        }
        match self.0.ty {
            ValueType::Bool => self.0.reading.write(|writer| writer.byte(bool.into())),
            _ => Err(self.0.mismatch("a boolean")),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_i64(number);
        }
        match self.0.ty {
            #[expect(clippy::cast_precision_loss, reason = "rounded, as any decimal is")]
            ValueType::F32 | ValueType::F64 => self.0.float(number as f64, ""),
            _ => self.0.integer(number.into(), "a number"),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_u64(number);
        }
        match self.0.ty {
            #[expect(clippy::cast_precision_loss, reason = "rounded, as any decimal is")]
            ValueType::F32 | ValueType::F64 => self.0.float(number as f64, ""),
            _ => self.0.integer(number.into(), "a number"),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_f64(number);
        }
        // A number without a fraction is an integer, however it is written (JSON Schema, section 6.1.1 of validation).
        // From 2^53 on, and for integers of more than 64 bits, a double may be another number than the one that is written.
        let is_float = matches!(self.0.ty, ValueType::F32 | ValueType::F64);
        if !is_float && number.fract() == 0.0 && number.abs() < MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is exact")]
            return self.0.integer(number as i128, "a number");
        }
        self.0
            .float(number, "a number with a fraction, or a larger one")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.some()? {
            Some(some) => some.0.text(text),
            None => self.0.text(text),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.0.ty {
            ValueType::Option(_) => self.0.reading.write(|writer| writer.byte(0)),
            _ => Err(self.0.mismatch("null")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        if let Some(some) = self.some()? {
            return some.visit_seq(elements);
        }
        match self.0.ty {
            ValueType::List(element) => self.list(element, elements),
            ValueType::FixedList(element, length) => {
                let number = *length as usize;
                self.elements(number, |_| element, elements)
            }
            ValueType::Tuple(types) => self.elements(types.len(), |nth| &types[nth], elements),
            ValueType::Flags(names) => self.0.flags(names, elements),
            ValueType::Map(key, value) if **key != ValueType::String => {
                self.pairs(key, value, elements)
            }
            _ => Err(self.0.mismatch("an array")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some(some) = self.some()? {
            return some.visit_map(map);
        }
        let reading = self.0.reading;
        match self.0.ty {
            ValueType::Record(fields) => FieldsVisitor {
                fields: Fields::Record(fields),
                reading,
                seed: |ty| self.of(ty),
            }
            .visit_map(map),
            ValueType::Map(key, value) if **key == ValueType::String => self.entries(value, map),
            ValueType::Variant(cases) => self.only(&mut map, |name, map| {
                let Some(case) = cases.iter().position(|case| *case.name == *name) else {
                    return Err(self.0.other_name(name, cases.iter().map(|case| &case.name)));
                };
                reading.write(|writer| writer.number(case))?;
                self.content(cases[case].ty.as_ref(), map)
            }),
            ValueType::Result(ok, err) => self.only(&mut map, |name, map| {
                let (bit, ty) = match name {
                    "ok" => (0, ok),
                    "err" => (1, err),
                    _ => return Err(self.0.mismatch(format!("an object with {}", shown(name)))),
                };
                reading.write(|writer| writer.byte(bit))?;
                self.content(ty.as_deref(), map)
            }),
            ValueType::Option(inner) => self.only(&mut map, |name, map| {
                if name != "some" {
                    return Err(self.0.mismatch(format!("an object with {}", shown(name))));
                }
                reading.write(|writer| writer.byte(1))?;
                self.content(Some(inner), map)
            }),
            _ => Err(self.0.mismatch("an object")),
        }
    }
}

impl<'a> ValueSeed<'a> {
    fn list<'de, A: SeqAccess<'de>>(
        self,
        element: &'a ValueType,
        mut elements: A,
    ) -> Result<(), A::Error> {
        let reading = self.0.reading;
        let mut at = 0;
        reading.write(|writer| writer.begin_list().map(|start| at = start))?;
        let mut number = 0;
        while reading
            .within(PathStep::Element(number), || {
                elements.next_element_seed(self.of(element))
            })?
            .is_some()
        {
            number += 1;
        }
        reading.writer.borrow_mut().end_list(at, number);
        Ok(())
    }

    /// Exactly `number` elements.
    fn elements<'de, A: SeqAccess<'de>>(
        self,
        number: usize,
        ty: impl Fn(usize) -> &'a ValueType,
        mut elements: A,
    ) -> Result<(), A::Error> {
        let other_length = |got| {
            let problem = ArgumentProblem::Type {
                ty: limited(self.0.ty),
                expected: format!("an array of {number}"),
                got,
            };
            self.0.reading.fail(problem)
        };
        for nth in 0..number {
            let seed = self.of(ty(nth));
            let read = || elements.next_element_seed(seed);
            if self
                .0
                .reading
                .within(PathStep::Element(nth), read)?
                .is_none()
            {
                return Err(other_length(format!("one of {nth}")));
            }
        }
        match elements.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(other_length("a longer one".to_owned())),
        }
    }

    /// A map whose keys are strings.
    fn entries<'de, A: MapAccess<'de>>(
        self,
        value: &'a ValueType,
        mut map: A,
    ) -> Result<(), A::Error> {
        let reading = self.0.reading;
        let mut entries = MapEntries::begin(reading)?;
        while let Some(key) = map.next_key::<String>()? {
            reading.write(|writer| writer.text(key.as_bytes()))?;
            let end_of_key = reading.position();
            reading.within(PathStep::Field(key), || map.next_value_seed(self.of(value)))?;
            entries.ends.push((end_of_key, reading.position()));
        }
        entries.end(reading)
    }

    /// A map whose keys are not strings.
    fn pairs<'de, A: SeqAccess<'de>>(
        self,
        key: &'a ValueType,
        value: &'a ValueType,
        mut pairs: A,
    ) -> Result<(), A::Error> {
        let reading = self.0.reading;
        let mut entries = MapEntries::begin(reading)?;
        let seed = PairSeed {
            map: self.0,
            key,
            value,
            seed: |ty| self.of(ty),
        };
        let mut nth = 0;
        while let Some(ends) =
            reading.within(PathStep::Element(nth), || pairs.next_element_seed(seed))?
        {
            entries.ends.push(ends);
            nth += 1;
        }
        entries.end(reading)
    }

    /// The value of the only field of an object.
    fn only<'de, A: MapAccess<'de>>(
        self,
        map: &mut A,
        read: impl FnOnce(&str, &mut A) -> Result<(), A::Error>,
    ) -> Result<(), A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(self.0.mismatch("an empty object"));
        };
        let text = name.clone();
        self.0
            .reading
            .within(PathStep::Field(name), || read(&text, map))?;
        match map.next_key::<String>()? {
            None => Ok(()),
            Some(_) => Err(self.0.mismatch("an object with more fields")),
        }
    }

    /// What a case contains: `null` if it contains nothing.
    fn content<'de, A: MapAccess<'de>>(
        self,
        ty: Option<&'a ValueType>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match ty {
            Some(ty) => map.next_value_seed(self.of(ty)),
            None => map.next_value_seed(NullSeed(self.0)),
        }
    }
}
