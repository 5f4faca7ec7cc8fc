//! [`FieldsVisitor`]: an object with the fields of a record, or with the arguments of a function.

use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};

use super::argument_error::{ArgumentProblem, limited, limited_names};
use super::json_reading::{JsonReading, PathStep, refuse};
use super::signature::Signature;
use super::value_type::{Field, ValueType};

/// What an object names.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
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
        limited_names((0..self.number()).map(|nth| self.get(nth).0))
    }
}

/// Reads an object with these fields, in any order. Options may be absent.
#[derive(Clone, Copy)]
pub(super) struct FieldsVisitor<'a, S> {
    pub(super) fields: Fields<'a>,
    pub(super) reading: &'a JsonReading,
    /// Reads a value of a type.
    pub(super) seed: S,
}

impl<S> FieldsVisitor<'_, S> {
    fn mismatch<E: Error>(&self, got: &str) -> E {
        self.reading.fail(ArgumentProblem::Type {
            ty: format!("arguments ({})", self.fields.names()),
            expected: "an object that names the arguments".to_owned(),
            got: got.to_owned(),
        })
    }
}

impl<'de, 'a, S, T> Visitor<'de> for FieldsVisitor<'a, S>
where
    S: Fn(&'a ValueType) -> T,
    T: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object that names the arguments")
    }

    refuse!((): bool, number, string, null, array);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            fields,
            reading,
            seed,
        } = self;
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
            reading.within(PathStep::Field(name), || map.next_value_seed(seed(ty)))?;
            parts.push((nth, reading.position()));
        }
        if parts.len() < number {
            for nth in (0..number).filter(|nth| !is_read[*nth]) {
                let (name, ty) = fields.get(nth);
                if !ty.is_option() {
                    reading.step(PathStep::Field(name.to_owned()));
                    let ty = limited(ty);
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
