//! `limits!`: declares a limit once, and derives everything else from the declaration.
//!
//! A declaration has the name, the type, the default with its unit, the smallest value that is accepted, and the
//! reason as documentation. From it come the struct with its rustdoc and `Default`, parsing, printing, and the
//! JSON Schema, from which the example file, the table of the documentation and the help of flags are generated. A new
//! limit is one entry, and no other list.

use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{Schema, json_schema};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::units::{A_DURATION, A_SIZE, bytes, duration, show_bytes, show_duration};

/// The unit of a limit, and so the form in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitUnit {
    /// A number of things: `100`.
    Count,
    /// A size: `"64 KiB"`.
    Bytes,
    /// A time: `"250ms"`.
    Milliseconds,
}

/// The declaration of one limit of the struct `T`.
#[derive(Debug)]
pub struct LimitSetting<T> {
    /// Its name: that of the field.
    pub name: &'static str,
    /// What it bounds and the reason for its default, as lines.
    pub doc: &'static [&'static str],
    /// Its unit.
    pub unit: LimitUnit,
    /// The smallest value that is accepted, in that unit.
    pub min: u64,
    /// Whether a configuration file can set it. The others are for programs that embed the library.
    pub in_file: bool,
    /// Whether the defaults of other limits derive from it, so that it is set first.
    pub first: bool,
    /// Reads it.
    pub get: fn(&T) -> u64,
    /// Sets it, and those that derive from it. `None` if the value does not fit.
    pub set: fn(&T, u64) -> Option<T>,
}

/// A struct of limits, declared by `limits!`.
pub trait LimitTable: Clone + Default + 'static {
    /// Its limits, in the order of their declaration.
    const LIMITS: &'static [LimitSetting<Self>];

    /// The names of those that a configuration file can set.
    fn names() -> &'static [&'static str];

    /// Those that differ from their default, as they are written in a file and on one line; empty if none does.
    #[must_use]
    fn changed(&self) -> String {
        let default = Self::default();
        let changed = Self::LIMITS.iter().filter_map(|limit| {
            let amount = (limit.get)(self);
            let value = limit.unit.show(amount);
            (amount != (limit.get)(&default)).then(|| match value {
                Value::String(value) => format!("{} = {value}", limit.name),
                value => format!("{} = {value}", limit.name),
            })
        });
        changed.collect::<Vec<_>>().join(", ")
    }

    /// The limit of this name.
    #[must_use]
    fn limit(name: &str) -> Option<&'static LimitSetting<Self>> {
        Self::LIMITS.iter().find(|limit| limit.name == name)
    }
}

/// A type that a limit can have.
pub trait Quantity: Sized {
    /// The number of its unit: milliseconds for a time.
    fn amount(&self) -> u64;
    /// The value with this number, where it fits.
    fn of_amount(amount: u64) -> Option<Self>;
}

impl Quantity for usize {
    fn amount(&self) -> u64 {
        *self as u64
    }

    fn of_amount(amount: u64) -> Option<Self> {
        amount.try_into().ok()
    }
}

impl Quantity for u32 {
    fn amount(&self) -> u64 {
        (*self).into()
    }

    fn of_amount(amount: u64) -> Option<Self> {
        amount.try_into().ok()
    }
}

impl Quantity for u64 {
    fn amount(&self) -> u64 {
        *self
    }

    fn of_amount(amount: u64) -> Option<Self> {
        Some(amount)
    }
}

impl Quantity for Duration {
    fn amount(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }

    fn of_amount(amount: u64) -> Option<Self> {
        Some(Self::from_millis(amount))
    }
}

/// Declares a struct of limits. An entry is
///
/// ```text
/// /// What it bounds, and the reason for its default.
/// max_things: usize = 64 KiB, at least 1 B;
/// ```
///
/// with the units of [`units`](crate::model::units), or none for a count. `, then with_x` names the method by which
/// it is set, where other limits follow from it; `, in library` keeps it out of the configuration file.
macro_rules! limits {
    (
        $(#[$attribute:meta])*
        pub struct $table:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $default:literal $($unit:ident)?, at least $min:literal $($min_unit:ident)?
                    $(, then $with:ident)? $(, in $library:ident)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        pub struct $table {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!(
                    "Default: ", stringify!($default $($unit)?), ". Minimum: ", stringify!($min $($min_unit)?), "."
                )]
                pub $name: $type,
            )+
        }

        impl $table {
            /// The default of every limit.
            pub const DEFAULT: Self = Self {
                $($name: $crate::model::limits!(@default $default $($unit)?),)+
            };
        }

        impl Default for $table {
            fn default() -> Self {
                Self::DEFAULT
            }
        }

        impl $crate::model::setting::LimitTable for $table {
            const LIMITS: &'static [$crate::model::setting::LimitSetting<Self>] = &[$(
                $crate::model::setting::LimitSetting {
                    name: stringify!($name),
                    doc: &[$($doc),+],
                    unit: $crate::model::limits!(@unit $($unit)?),
                    min: $crate::model::limits!(@amount $min $($min_unit)?),
                    in_file: {
                        const LIBRARY: &[&str] = &[$(stringify!($library))?];
                        LIBRARY.is_empty()
                    },
                    first: {
                        const WITH: &[&str] = &[$(stringify!($with))?];
                        !WITH.is_empty()
                    },
                    get: |limits| $crate::model::setting::Quantity::amount(&limits.$name),
                    set: |limits, amount| {
                        let value: $type = $crate::model::setting::Quantity::of_amount(amount)?;
                        let limits = limits.clone();
                        Some($crate::model::limits!(@set limits, value, $name $(, $with)?))
                    },
                },
            )+];
            fn names() -> &'static [&'static str] {
                static NAMES: std::sync::LazyLock<Vec<&str>> =
                    std::sync::LazyLock::new($crate::model::setting::names::<$table>);
                &NAMES
            }
        }

        impl<'de> serde::Deserialize<'de> for $table {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::model::setting::deserialize(deserializer)
            }
        }

        impl serde::Serialize for $table {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::model::setting::serialize(self, serializer)
            }
        }

        impl schemars::JsonSchema for $table {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($table).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::model::setting::schema::<Self>()
            }
        }
    };

    (@set $limits:ident, $value:ident, $name:ident) => { Self { $name: $value, ..$limits } };
    (@set $limits:ident, $value:ident, $name:ident, $with:ident) => { $limits.$with($value) };

    (@default $number:literal) => { $number };
    (@default $number:literal ms) => { std::time::Duration::from_millis($number) };
    (@default $number:literal s) => { std::time::Duration::from_secs($number) };
    (@default $number:literal $unit:ident) => { $crate::model::limits!(@amount $number $unit) };

    (@amount $number:literal) => { $number };
    (@amount $number:literal ms) => { $number };
    (@amount $number:literal s) => { $number * 1_000 };
    (@amount $number:literal B) => { $number };
    (@amount $number:literal KiB) => { $number << 10 };
    (@amount $number:literal MiB) => { $number << 20 };
    (@amount $number:literal GiB) => { $number << 30 };

    (@unit) => { $crate::model::setting::LimitUnit::Count };
    (@unit ms) => { $crate::model::setting::LimitUnit::Milliseconds };
    (@unit s) => { $crate::model::setting::LimitUnit::Milliseconds };
    (@unit $unit:ident) => { $crate::model::setting::LimitUnit::Bytes };
}
pub(crate) use limits;

/// The names of the limits that a configuration file can set.
pub(crate) fn names<T: LimitTable>() -> Vec<&'static str> {
    let limits = T::LIMITS.iter().filter(|limit| limit.in_file);
    limits.map(|limit| limit.name).collect()
}

impl LimitUnit {
    /// The form of a value, for messages.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Count => "a whole number",
            Self::Bytes => A_SIZE,
            Self::Milliseconds => A_DURATION,
        }
    }

    /// The value `amount` as it is written in a file.
    #[must_use]
    pub fn show(self, amount: u64) -> Value {
        match self {
            Self::Count => amount.into(),
            Self::Bytes => show_bytes(amount).into(),
            Self::Milliseconds => show_duration(Duration::from_millis(amount)).into(),
        }
    }

    fn read(self, text: &str) -> Option<u64> {
        match self {
            Self::Count => text.parse().ok(),
            Self::Bytes => bytes(text),
            Self::Milliseconds => duration(text).map(|time| time.amount()),
        }
    }

    fn schema(self, min: u64) -> Map<String, Value> {
        // Only whether a value is zero can be seen by its form.
        let digits = if min > 0 { "0*[1-9][0-9]*" } else { "[0-9]+" };
        let schema = match self {
            Self::Count => json!({ "type": "integer", "minimum": min }),
            Self::Bytes => {
                json!({ "type": "string", "pattern": format!("^{digits} *(B|KiB|MiB|GiB)$") })
            }
            Self::Milliseconds => {
                json!({ "type": "string", "pattern": format!("^{digits} *(ms|s|m|h)$") })
            }
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }
}

impl<T: LimitTable> LimitSetting<T> {
    /// `limits` with this one set as `text` has it. A file and a flag are read alike.
    ///
    /// # Errors
    ///
    /// The form that was expected.
    pub fn set_text(&self, limits: &T, text: &str) -> Result<T, String> {
        let amount = self.unit.read(text).filter(|amount| *amount >= self.min);
        let set = amount.and_then(|amount| (self.set)(limits, amount));
        set.ok_or_else(|| self.to_string())
    }

    /// The default, as it is written.
    #[must_use]
    pub fn default(&self) -> Value {
        self.unit.show((self.get)(&T::default()))
    }

    /// The documentation as one paragraph, with the smallest value if that is more than 1.
    #[must_use]
    pub fn description(&self) -> String {
        let lines: Vec<_> = self.doc.iter().map(|line| line.trim()).collect();
        let text = lines.join(" ");
        match self.unit.show(self.min) {
            Value::String(min) if self.min > 1 => format!("{text} The minimum is {min}."),
            _ => text,
        }
    }
}

/// The values that are accepted.
impl<T> Display for LimitSetting<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.unit.form())?;
        match (self.unit.show(self.min), self.min) {
            (_, 0) => Ok(()),
            (Value::String(least), _) => write!(f, ", at least {least}"),
            (least, _) => write!(f, ", at least {least}"),
        }
    }
}

/// The limits that a table states, in no order.
#[derive(Debug)]
pub(crate) struct Stated<T: 'static>(Vec<(&'static LimitSetting<T>, T)>);

impl<T: LimitTable> Stated<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads the value of the limit `name`, which is one of [`LimitTable::names`].
    pub(crate) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if let Some(limit) = T::limit(name) {
            self.0.push((limit, map.next_value_seed(LimitSeed(limit))?));
        }
        Ok(())
    }

    /// All limits. Those that others derive from are set first, so that explicit values take precedence.
    pub(crate) fn over(mut self, limits: T) -> T {
        self.0.sort_by_key(|(limit, _)| !limit.first);
        let mut all = limits;
        for (limit, holder) in self.0 {
            let amount = (limit.get)(&holder);
            all = (limit.set)(&all, amount).unwrap_or(all);
        }
        all
    }
}

/// The value of one limit, in a table of otherwise default ones.
struct LimitSeed<T: 'static>(&'static LimitSetting<T>);

impl<T> LimitSeed<T> {
    fn accept<E: Error>(&self, amount: Option<u64>, got: Unexpected<'_>) -> Result<T, E>
    where
        T: LimitTable,
    {
        let amount = amount.filter(|amount| *amount >= self.0.min);
        let set = amount.and_then(|amount| (self.0.set)(&T::default(), amount));
        set.ok_or_else(|| E::invalid_value(got, self))
    }
}

impl<'de, T: LimitTable> DeserializeSeed<'de> for LimitSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: LimitTable> Visitor<'_> for LimitSeed<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let amount = match self.0.unit {
            LimitUnit::Count => None,
            unit => unit.read(text),
        };
        self.accept(amount, Unexpected::Str(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let amount = (self.0.unit == LimitUnit::Count).then_some(number);
        self.accept(amount, Unexpected::Unsigned(number))
    }
}

/// A name of a table, one of these.
pub(crate) struct NameSeed(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = &'static str;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<&'static str, E> {
        let known = self.0.iter().find(|known| **known == name);
        known.copied().ok_or_else(|| E::unknown_field(name, self.0))
    }
}

pub(crate) fn deserialize<'de, T: LimitTable, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct TableVisitor<T>(PhantomData<T>);

    impl<'de, T: LimitTable> Visitor<'de> for TableVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let mut stated = Stated::new();
            while let Some(name) = map.next_key_seed(NameSeed(T::names()))? {
                stated.read(name, &mut map)?;
            }
            Ok(stated.over(T::default()))
        }
    }

    deserializer.deserialize_map(TableVisitor(PhantomData))
}

pub(crate) fn serialize<T: LimitTable, S: Serializer>(
    limits: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(T::names().len()))?;
    for limit in T::LIMITS.iter().filter(|limit| limit.in_file) {
        map.serialize_entry(limit.name, &limit.unit.show((limit.get)(limits)))?;
    }
    map.end()
}

pub(crate) fn schema<T: LimitTable>() -> Schema {
    let mut properties = Map::new();
    for limit in T::LIMITS.iter().filter(|limit| limit.in_file) {
        let mut schema = Map::new();
        schema.insert("description".to_owned(), limit.description().into());
        schema.extend(limit.unit.schema(limit.min));
        schema.insert("default".to_owned(), limit.default());
        properties.insert(limit.name.to_owned(), schema.into());
    }
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}
