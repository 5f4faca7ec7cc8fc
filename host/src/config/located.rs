//! A deserializer over the parsed file, whose errors have the position and the path of the setting.
//!
//! The `toml` crate's own deserializer returns an error as a formatted message. This one returns the expected and the
//! actual value separately, so that a message can omit a value that may be a secret, and suggest a similar name.

use std::fmt;
use std::ops::Range;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value_error::{ValueError, one_of};

/// The name of the newtype struct whose value is omitted from errors.
pub(super) const SECRET: &str = "oneflight::Secret";

/// A value of the file.
pub(super) struct Located<'a> {
    value: DeValue<'a>,
    at: Range<usize>,
}

impl<'a> Located<'a> {
    /// The whole file.
    pub(super) fn file(table: Spanned<DeTable<'a>>) -> Self {
        let at = table.span();
        let value = DeValue::Table(table.into_inner());
        Self { value, at }
    }

    fn of(value: Spanned<DeValue<'a>>) -> Self {
        let at = value.span();
        let value = value.into_inner();
        Self { value, at }
    }
}

impl<'de> Deserializer<'de> for Located<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let Self { value, at } = self;
        let visited = match value {
            DeValue::String(text) => visitor.visit_str(&text),
            DeValue::Boolean(value) => visitor.visit_bool(value),
            DeValue::Integer(integer) => {
                let (text, radix) = (integer.as_str(), integer.radix());
                if let Ok(number) = u64::from_str_radix(text, radix) {
                    visitor.visit_u64(number)
                } else if let Ok(number) = i64::from_str_radix(text, radix) {
                    visitor.visit_i64(number)
                } else {
                    Err(Error::invalid_type(
                        Unexpected::Other("a larger number"),
                        &visitor,
                    ))
                }
            }
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Error::invalid_type(
                    Unexpected::Other("another number"),
                    &visitor,
                )),
            },
            DeValue::Datetime(_) => Err(Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            DeValue::Array(values) => visitor.visit_seq(Values(values.into_iter())),
            DeValue::Table(table) => visitor.visit_map(Entries {
                entries: table.into_iter(),
                value: None,
            }),
        };
        visited.map_err(|error| error.at(&at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        struct TrueOrFalse;

        impl Visitor<'_> for TrueOrFalse {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
                Ok(value)
            }
        }

        visitor.visit_bool(self.deserialize_any(TrueOrFalse)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let visited = visitor.visit_newtype_struct(self);
        if name == SECRET {
            visited.map_err(ValueError::without_value)
        } else {
            visited
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        struct OneOf(&'static [&'static str]);

        impl<'de> Visitor<'de> for OneOf {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&one_of(self.0))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }
        }

        let at = self.at.clone();
        let variant = self.deserialize_any(OneOf(variants))?;
        let access: StringDeserializer<ValueError> = variant.into_deserializer();
        let visited = visitor.visit_enum(UnitVariant(access));
        visited.map_err(|error| error.at(&at))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct UnitVariant(StringDeserializer<ValueError>);

impl<'de> EnumAccess<'de> for UnitVariant {
    type Error = ValueError;
    type Variant = <StringDeserializer<ValueError> as EnumAccess<'de>>::Variant;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), ValueError> {
        self.0.variant_seed(seed)
    }
}

struct Values<I>(I);

impl<'a, 'de, I: Iterator<Item = Spanned<DeValue<'a>>>> SeqAccess<'de> for Values<I> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let next = self.0.next().map(Located::of);
        next.map(|value| seed.deserialize(value)).transpose()
    }
}

struct Entries<'a, I> {
    entries: I,
    /// The value of the entry whose name was read last.
    value: Option<(String, Located<'a>)>,
}

impl<'a, 'de, I> MapAccess<'de> for Entries<'a, I>
where
    I: Iterator<Item = (Spanned<std::borrow::Cow<'a, str>>, Spanned<DeValue<'a>>)>,
{
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((name, value)) = self.entries.next() else {
            return Ok(None);
        };
        let at = name.span();
        let name = name.into_inner().into_owned();
        let key: StrDeserializer<'_, ValueError> = (&*name).into_deserializer();
        let key = seed.deserialize(key).map_err(|error| error.at(&at))?;
        self.value = Some((name, Located::of(value)));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let (name, value) = self.value.take().expect("a name comes before its value");
        let read = seed.deserialize(value);
        read.map_err(|error| error.within(&name))
    }
}
