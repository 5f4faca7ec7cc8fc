//! The entries of a map: an object if its keys are strings, else an array of pairs.

use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::argument_error::{ArgumentProblem, limited};
use super::json_reading::{JsonReading, PathStep, refuse};
use super::json_value::ExpectedValue;
use super::value_type::ValueType;

/// The entries of a map as they are read.
pub(super) struct MapEntries {
    /// Where their number is written.
    at: usize,
    /// Where their keys end, and their values.
    pub(super) ends: Vec<(usize, usize)>,
}

impl MapEntries {
    pub(super) fn begin<E: Error>(reading: &JsonReading) -> Result<Self, E> {
        let mut at = 0;
        reading.write(|writer| writer.begin_list().map(|start| at = start))?;
        Ok(Self {
            at,
            ends: Vec::new(),
        })
    }

    pub(super) fn end<E: Error>(self, reading: &JsonReading) -> Result<(), E> {
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
pub(super) struct PairSeed<'a, S> {
    /// The map.
    pub(super) map: ExpectedValue<'a>,
    pub(super) key: &'a ValueType,
    pub(super) value: &'a ValueType,
    /// Reads a value of a type.
    pub(super) seed: S,
}

impl<'de, 'a, S, T> DeserializeSeed<'de> for PairSeed<'a, S>
where
    S: Fn(&'a ValueType) -> T,
    T: DeserializeSeed<'de, Value = ()>,
{
    type Value = (usize, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<S> PairSeed<'_, S> {
    fn mismatch<E: Error>(&self, got: &str) -> E {
        self.map.reading.fail(ArgumentProblem::Type {
            ty: limited(self.map.ty),
            expected: "an array of a key and a value".to_owned(),
            got: got.to_owned(),
        })
    }
}

impl<'de, 'a, S, T> Visitor<'de> for PairSeed<'a, S>
where
    S: Fn(&'a ValueType) -> T,
    T: DeserializeSeed<'de, Value = ()>,
{
    type Value = (usize, usize);

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a key and a value")
    }

    refuse!((usize, usize): bool, number, string, null, object);

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let reading = self.map.reading;
        let other = || self.mismatch("one of another length");
        let mut next = |nth, ty| {
            reading.within(PathStep::Element(nth), || {
                elements.next_element_seed((self.seed)(ty))
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
