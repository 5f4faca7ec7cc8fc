//! Reads JSON as canonical bytes, without a tree of values in between: a caller's arguments cost what their bytes cost.

mod reading;

use std::fmt::{self, Formatter};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use self::reading::{JsonReading, PathStep};
use super::argument_error::{ArgumentError, ArgumentProblem, shown};
use super::signature::Signature;
use super::value_type::{Case, Field, ValueType};

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
        ValueSeed {
            ty,
            reading: &reading,
        }
        .deserialize(deserializer)
    });
    reading.finish(read)
}

/// Methods of a visitor that refuse what has another type in JSON.
macro_rules! refuse {
    ($value:ty: $($kind:ident),+) => { $(refuse!(@$kind $value);)+ };
    (@bool $value:ty) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<$value, E> {
            Err(self.mismatch("a boolean"))
        }
    };
    (@number $value:ty) => {
        fn visit_i64<E: Error>(self, _: i64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }
    };
    (@string $value:ty) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<$value, E> {
            Err(self.mismatch("a string"))
        }
    };
    (@null $value:ty) => {
        fn visit_unit<E: Error>(self) -> Result<$value, E> {
            Err(self.mismatch("null"))
        }
    };
    (@array $value:ty) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<$value, A::Error> {
            Err(self.mismatch("an array"))
        }
    };
    (@object $value:ty) => {
        fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<$value, A::Error> {
            Err(self.mismatch("an object"))
        }
    };
}

/// Reads one value of a type.
#[derive(Clone, Copy)]
struct ValueSeed<'a> {
    ty: &'a ValueType,
    reading: &'a JsonReading,
}

impl<'a> ValueSeed<'a> {
    fn of(self, ty: &'a ValueType) -> Self {
        Self { ty, ..self }
    }

    fn mismatch<E: Error>(self, got: impl Into<String>) -> E {
        let problem = ArgumentProblem::Type {
            ty: self.ty.to_string(),
            expected: self.ty.in_json().to_owned(),
            got: got.into(),
        };
        self.reading.fail(problem)
    }

    /// The content of an option that is not none, where that needs no `{"some": …}`.
    fn some<E: Error>(self) -> Result<Option<Self>, E> {
        match self.ty {
            ValueType::Option(inner) if !inner.is_option() => {
                self.reading.write(|writer| writer.byte(1))?;
                Ok(Some(self.of(inner)))
            }
            _ => Ok(None),
        }
    }

    fn integer<E: Error>(self, number: i128, got: &str) -> Result<(), E> {
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

    fn float<E: Error>(self, number: f64, got: &str) -> Result<(), E> {
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
    fn text<E: Error>(self, text: &str) -> Result<(), E> {
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

    fn other_name<'n, E: Error>(self, text: &str, names: impl Iterator<Item = &'n Box<str>>) -> E {
        let names: Vec<_> = names.map(|name| &**name).collect();
        let problem = ArgumentProblem::Type {
            ty: self.ty.to_string(),
            expected: format!("one of {}", names.join(", ")),
            got: shown(text),
        };
        self.reading.fail(problem)
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
        f.write_str(self.ty.in_json())
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_bool(bool);
        }
        match self.ty {
            ValueType::Bool => self.reading.write(|writer| writer.byte(bool.into())),
            _ => Err(self.mismatch("a boolean")),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_i64(number);
        }
        match self.ty {
            #[expect(clippy::cast_precision_loss, reason = "rounded, as any decimal is")]
            ValueType::F32 | ValueType::F64 => self.float(number as f64, ""),
            _ => self.integer(number.into(), "a number"),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_u64(number);
        }
        match self.ty {
            #[expect(clippy::cast_precision_loss, reason = "rounded, as any decimal is")]
            ValueType::F32 | ValueType::F64 => self.float(number as f64, ""),
            _ => self.integer(number.into(), "a number"),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if let Some(some) = self.some()? {
            return some.visit_f64(number);
        }
        // A number without a fraction is an integer, however it is written (JSON Schema, section 6.1.1 of validation).
        // From 2^53 on, and for integers of more than 64 bits, a double may be another number than the one that is written.
        let is_float = matches!(self.ty, ValueType::F32 | ValueType::F64);
        if !is_float && number.fract() == 0.0 && number.abs() < MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is exact")]
            return self.integer(number as i128, "a number");
        }
        self.float(number, "a number with a fraction, or a larger one")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.some()? {
            Some(some) => some.text(text),
            None => self.text(text),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.ty {
            ValueType::Option(_) => self.reading.write(|writer| writer.byte(0)),
            _ => Err(self.mismatch("null")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        if let Some(some) = self.some()? {
            return some.visit_seq(elements);
        }
        match self.ty {
            ValueType::List(element) => self.list(element, elements),
            ValueType::FixedList(element, length) => {
                let number = *length as usize;
                self.elements(number, |_| element, elements)
            }
            ValueType::Tuple(types) => self.elements(types.len(), |nth| &types[nth], elements),
            ValueType::Flags(names) => self.flags(names, elements),
            ValueType::Map(key, value) if **key != ValueType::String => {
                self.pairs(key, value, elements)
            }
            _ => Err(self.mismatch("an array")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some(some) = self.some()? {
            return some.visit_map(map);
        }
        let reading = self.reading;
        match self.ty {
            ValueType::Record(fields) => FieldsVisitor {
                fields: Fields::Record(fields),
                reading,
            }
            .visit_map(map),
            ValueType::Map(key, value) if **key == ValueType::String => self.entries(value, map),
            ValueType::Variant(cases) => self.only(&mut map, |name, map| {
                let Some(case) = cases.iter().position(|case| *case.name == *name) else {
                    return Err(self.other_name(name, cases.iter().map(|case| &case.name)));
                };
                reading.write(|writer| writer.number(case))?;
                self.content(cases[case].ty.as_ref(), map)
            }),
            ValueType::Result(ok, err) => self.only(&mut map, |name, map| {
                let (bit, ty) = match name {
                    "ok" => (0, ok),
                    "err" => (1, err),
                    _ => return Err(self.mismatch(format!("an object with {}", shown(name)))),
                };
                reading.write(|writer| writer.byte(bit))?;
                self.content(ty.as_deref(), map)
            }),
            ValueType::Option(inner) => self.only(&mut map, |name, map| {
                if name != "some" {
                    return Err(self.mismatch(format!("an object with {}", shown(name))));
                }
                reading.write(|writer| writer.byte(1))?;
                self.content(Some(inner), map)
            }),
            _ => Err(self.mismatch("an object")),
        }
    }
}

impl<'a> ValueSeed<'a> {
    fn list<'de, A: SeqAccess<'de>>(
        self,
        element: &'a ValueType,
        mut elements: A,
    ) -> Result<(), A::Error> {
        let reading = self.reading;
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
                ty: self.ty.to_string(),
                expected: format!("an array of {number}"),
                got,
            };
            self.reading.fail(problem)
        };
        for nth in 0..number {
            let seed = self.of(ty(nth));
            let read = || elements.next_element_seed(seed);
            if self.reading.within(PathStep::Element(nth), read)?.is_none() {
                return Err(other_length(format!("one of {nth}")));
            }
        }
        match elements.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(other_length("a longer one".to_owned())),
        }
    }

    fn flags<'de, A: SeqAccess<'de>>(
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

    /// A map whose keys are strings.
    fn entries<'de, A: MapAccess<'de>>(
        self,
        value: &'a ValueType,
        mut map: A,
    ) -> Result<(), A::Error> {
        let reading = self.reading;
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
        let reading = self.reading;
        let mut entries = MapEntries::begin(reading)?;
        let seed = PairSeed {
            pair: self,
            key,
            value,
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
            return Err(self.mismatch("an empty object"));
        };
        let text = name.clone();
        self.reading
            .within(PathStep::Field(name), || read(&text, map))?;
        match map.next_key::<String>()? {
            None => Ok(()),
            Some(_) => Err(self.mismatch("an object with more fields")),
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
            None => map.next_value_seed(NullSeed(self)),
        }
    }
}

/// The entries of a map as they are read.
struct MapEntries {
    /// Where their number is written.
    at: usize,
    /// Where their keys end, and their values.
    ends: Vec<(usize, usize)>,
}

impl MapEntries {
    fn begin<E: Error>(reading: &JsonReading) -> Result<Self, E> {
        let mut at = 0;
        reading.write(|writer| writer.begin_list().map(|start| at = start))?;
        Ok(Self {
            at,
            ends: Vec::new(),
        })
    }

    fn end<E: Error>(self, reading: &JsonReading) -> Result<(), E> {
        let mut writer = reading.writer.borrow_mut();
        let number = writer.order_map(self.at + 4, &self.ends);
        writer.end_list(self.at, number);
        drop(writer);
        if number == self.ends.len() {
            Ok(())
        } else {
            Err(reading.fail(ArgumentProblem::Repeated))
        }
    }
}

/// Reads the key and the value of an entry, and returns where they end.
#[derive(Clone, Copy)]
struct PairSeed<'a> {
    pair: ValueSeed<'a>,
    key: &'a ValueType,
    value: &'a ValueType,
}

impl<'de> DeserializeSeed<'de> for PairSeed<'_> {
    type Value = (usize, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl PairSeed<'_> {
    fn mismatch<E: Error>(self, got: &str) -> E {
        self.pair.reading.fail(ArgumentProblem::Type {
            ty: self.pair.ty.to_string(),
            expected: "an array of a key and a value".to_owned(),
            got: got.to_owned(),
        })
    }
}

impl<'de> Visitor<'de> for PairSeed<'_> {
    type Value = (usize, usize);

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a key and a value")
    }

    refuse!((usize, usize): bool, number, string, null, object);

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let reading = self.pair.reading;
        let other = || self.mismatch("one of another length");
        let mut next = |nth, ty| {
            reading.within(PathStep::Element(nth), || {
                elements.next_element_seed(self.pair.of(ty))
            })
        };
        next(0, self.key)?.ok_or_else(other)?;
        let end_of_key = reading.position();
        next(1, self.value)?.ok_or_else(other)?;
        let end = reading.position();
        match elements.next_element::<IgnoredAny>()? {
            None => Ok((end_of_key, end)),
            Some(_) => Err(other()),
        }
    }
}

/// A name: of a field, a case or a flag.
#[derive(Clone, Copy)]
struct LabelSeed<'a>(ValueSeed<'a>);

impl<'de> DeserializeSeed<'de> for LabelSeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl LabelSeed<'_> {
    fn mismatch<E: Error>(self, got: &str) -> E {
        self.0.reading.fail(ArgumentProblem::Type {
            ty: self.0.ty.to_string(),
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
struct NullSeed<'a>(ValueSeed<'a>);

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

/// What an object names.
#[derive(Clone, Copy)]
enum Fields<'a> {
    Record(&'a [Field]),
    Parameters(&'a Signature),
}

impl<'a> Fields<'a> {
    fn number(self) -> usize {
        match self {
            Self::Record(fields) => fields.len(),
            Self::Parameters(signature) => signature.parameters.len(),
        }
    }

    fn get(self, nth: usize) -> (&'a str, &'a ValueType) {
        match self {
            Self::Record(fields) => (&fields[nth].name, &fields[nth].ty),
            Self::Parameters(signature) => {
                let parameter = &signature.parameters[nth];
                (&parameter.name, &parameter.ty)
            }
        }
    }

    fn names(self) -> String {
        let names: Vec<_> = (0..self.number()).map(|nth| self.get(nth).0).collect();
        names.join(", ")
    }
}

/// Reads an object with these fields, in any order. Options may be absent.
#[derive(Clone, Copy)]
struct FieldsVisitor<'a> {
    fields: Fields<'a>,
    reading: &'a JsonReading,
}

impl FieldsVisitor<'_> {
    fn mismatch<E: Error>(self, got: &str) -> E {
        self.reading.fail(ArgumentProblem::Type {
            ty: format!("arguments ({})", self.fields.names()),
            expected: "an object that names the arguments".to_owned(),
            got: got.to_owned(),
        })
    }
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object that names the arguments")
    }

    refuse!((): bool, number, string, null, array);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { fields, reading } = self;
        let number = fields.number();
        let start = reading.position();
        // The numbers of the fields as they are read, and where each ends.
        let mut parts: Vec<(usize, usize)> = Vec::with_capacity(number);
        let mut is_read = vec![false; number];
        while let Some(name) = map.next_key::<String>()? {
            let Some(nth) = (0..number).find(|nth| fields.get(*nth).0 == name) else {
                let known = fields.names();
                reading.step(PathStep::Field(name));
                return Err(reading.fail(ArgumentProblem::Unknown { known }));
            };
            if std::mem::replace(&mut is_read[nth], true) {
                reading.step(PathStep::Field(name));
                return Err(reading.fail(ArgumentProblem::Repeated));
            }
            let ty = fields.get(nth).1;
            reading.within(PathStep::Field(name), || {
                map.next_value_seed(ValueSeed { ty, reading })
            })?;
            parts.push((nth, reading.position()));
        }
        if parts.len() < number {
            for nth in (0..number).filter(|nth| !is_read[*nth]) {
                let (name, ty) = fields.get(nth);
                if !ty.is_option() {
                    reading.step(PathStep::Field(name.to_owned()));
                    let ty = ty.to_string();
                    return Err(reading.fail(ArgumentProblem::Missing { ty }));
                }
                reading.write(|writer| writer.byte(0))?;
                parts.push((nth, reading.position()));
            }
        }
        reading.writer.borrow_mut().reorder(start, &parts);
        Ok(())
    }
}
