//! [`ValueType`]: a type of WIT.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// A type of WIT, without resources, futures and streams: its values have no meaning outside of an instance.
///
/// [`Display`] writes it as WIT, with the types that have names in WIT written out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "WIT's own names")]
#[non_exhaustive]
pub enum ValueType {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    List(Box<ValueType>),
    /// A list of exactly this many elements.
    FixedList(Box<ValueType>, u32),
    Map(Box<ValueType>, Box<ValueType>),
    Record(Box<[Field]>),
    Tuple(Box<[ValueType]>),
    Variant(Box<[Case]>),
    Enum(Box<[Box<str>]>),
    Option(Box<ValueType>),
    Result(Option<Arc<ValueType>>, Option<Arc<ValueType>>),
    Flags(Box<[Box<str>]>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in WIT.
    pub name: Box<str>,
    /// Its type.
    pub ty: ValueType,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name in WIT.
    pub name: Box<str>,
    /// The type of what it contains, if it contains anything.
    pub ty: Option<ValueType>,
}

impl ValueType {
    /// Whether it is an option, whose JSON may be `null`.
    pub(super) fn is_option(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// What JSON has for it, as an error says.
    pub(super) fn in_json(&self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::S64 | Self::U64 => "an integer, as a number or in a string",
            Self::S8 | Self::U8 | Self::S16 | Self::U16 | Self::S32 | Self::U32 => "an integer",
            Self::F32 | Self::F64 => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Self::Char => "a string of one character",
            Self::String => "a string",
            Self::List(element) if **element == Self::U8 => "base64 in a string, or an array",
            Self::List(_) | Self::FixedList(..) | Self::Tuple(_) => "an array",
            Self::Map(key, _) if **key == Self::String => "an object",
            Self::Map(..) => "an array of pairs",
            Self::Record(_) => "an object with its fields",
            Self::Variant(_) => "the name of a case, or {\"case\": value}",
            Self::Enum(_) => "the name of a case",
            Self::Option(inner) if inner.is_option() => "null or {\"some\": value}",
            Self::Option(inner) => inner.in_json(),
            Self::Result(..) => "{\"ok\": value} or {\"err\": value}",
            Self::Flags(_) => "an array of names",
        }
    }
}

impl Display for ValueType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::FixedList(element, length) => write!(f, "list<{element}, {length}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Self::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types, |f, ty| ty.fmt(f))?;
                f.write_str(">")
            }
            Self::Record(fields) => {
                f.write_str("record { ")?;
                separated(f, fields, |f, Field { name, ty }| write!(f, "{name}: {ty}"))?;
                f.write_str(" }")
            }
            Self::Variant(cases) => {
                f.write_str("variant { ")?;
                separated(f, cases, |f, case| match case {
                    Case { name, ty: Some(ty) } => write!(f, "{name}({ty})"),
                    Case { name, ty: None } => f.write_str(name),
                })?;
                f.write_str(" }")
            }
            Self::Enum(names) => {
                f.write_str("enum { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            Self::Flags(names) => {
                f.write_str("flags { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
        }
    }
}

/// Writes `parts` with commas between them.
pub(super) fn separated<T>(
    f: &mut Formatter<'_>,
    parts: &[T],
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (nth, part) in parts.iter().enumerate() {
        if nth > 0 {
            f.write_str(", ")?;
        }
        write(f, part)?;
    }
    Ok(())
}
