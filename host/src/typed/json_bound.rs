//! [`JsonBound`]: how long values of a type can be as JSON, known from the length of their canonical bytes.

use super::value_type::ValueType;

/// The greatest length of a number as JSON: that of a double, or of an integer of 64 bits in quotes.
const NUMBER: usize = 26;

/// What bounds the JSON of the values of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonBound {
    /// The length that every value may have.
    fixed: usize,
    /// What each canonical byte may add to it.
    per_byte: usize,
    /// The least number of canonical bytes of a value.
    min_bytes: usize,
}

impl JsonBound {
    /// That of the values of type `ty`.
    pub(crate) fn of(ty: &ValueType) -> Self {
        match ty {
            ValueType::Bool | ValueType::S8 | ValueType::U8 => Self::simple(5, 0, 1),
            ValueType::S16 | ValueType::U16 => Self::simple(6, 0, 2),
            ValueType::S32 | ValueType::U32 => Self::simple(11, 0, 4),
            ValueType::F32 => Self::simple(NUMBER, 0, 4),
            ValueType::S64 | ValueType::U64 | ValueType::F64 => Self::simple(NUMBER, 0, 8),
            // Quotes, and what may be an escape such as \u001f.
            ValueType::Char => Self::simple(8, 0, 4),
            ValueType::String => Self::simple(2, 6, 4),
            // Base64.
            ValueType::List(element) if **element == ValueType::U8 => Self::simple(6, 2, 4),
            ValueType::List(element) => Self::of(element).repeated(),
            ValueType::Map(key, value) => Self::all([&**key, value].into_iter(), 0).repeated(),
            ValueType::FixedList(element, number) => {
                let (element, number) = (Self::of(element), *number as usize);
                Self {
                    fixed: element
                        .fixed
                        .saturating_add(1)
                        .saturating_mul(number)
                        .saturating_add(2),
                    min_bytes: element.min_bytes.saturating_mul(number),
                    ..element
                }
            }
            ValueType::Tuple(types) => Self::all(types.iter(), 0),
            ValueType::Record(fields) => {
                let names = fields.iter().map(|field| field.name.len() + 3);
                Self::all(fields.iter().map(|field| &field.ty), names.sum())
            }
            ValueType::Variant(cases) => {
                let around = |name: &str| name.len() + 9;
                let cases = cases.iter().map(|case| {
                    let content = case.ty.as_ref().map(Self::of).unwrap_or_default();
                    content.within(around(&case.name), 4)
                });
                Self::any(cases)
            }
            ValueType::Enum(of) => Self::simple(lengths(of).max().unwrap_or_default(), 0, 4),
            ValueType::Option(inner) => {
                Self::any([Self::simple(4, 0, 1), Self::of(inner).within(9, 1)].into_iter())
            }
            ValueType::Result(ok, err) => {
                let content = [ok, err].into_iter();
                let content = content.map(|ty| ty.as_deref().map(Self::of).unwrap_or_default());
                Self::any(content.map(|content| content.within(12, 1)))
            }
            ValueType::Flags(of) => {
                Self::simple(2 + lengths(of).sum::<usize>(), 0, of.len().div_ceil(8))
            }
        }
    }

    /// The greatest length of a value of this number of bytes.
    pub(crate) fn len(self, bytes: usize) -> usize {
        self.per_byte
            .saturating_mul(bytes)
            .saturating_add(self.fixed)
    }

    fn simple(fixed: usize, per_byte: usize, min_bytes: usize) -> Self {
        Self {
            fixed,
            per_byte,
            min_bytes,
        }
    }

    /// The same with this around the text, and this number of bytes before it.
    fn within(self, around: usize, bytes: usize) -> Self {
        Self {
            fixed: self.fixed.saturating_add(around),
            min_bytes: self.min_bytes.saturating_add(bytes),
            ..self
        }
    }

    /// A list of such values. Without bytes there can be any number of them.
    fn repeated(self) -> Self {
        let each = self.fixed.saturating_add(1);
        let more = match self.min_bytes {
            0 => usize::MAX,
            bytes => each.div_ceil(bytes),
        };
        Self::simple(2, self.per_byte.saturating_add(more), 4)
    }

    /// Values of all these types, and text of this length.
    fn all<'a>(types: impl Iterator<Item = &'a ValueType>, text: usize) -> Self {
        types
            .map(Self::of)
            .fold(Self::simple(text.saturating_add(2), 0, 0), |all, one| {
                Self {
                    fixed: all.fixed.saturating_add(one.fixed).saturating_add(1),
                    per_byte: all.per_byte.max(one.per_byte),
                    min_bytes: all.min_bytes.saturating_add(one.min_bytes),
                }
            })
    }

    /// A value of one of these.
    fn any(of: impl Iterator<Item = Self>) -> Self {
        let one = of.reduce(|one, other| Self {
            fixed: one.fixed.max(other.fixed),
            per_byte: one.per_byte.max(other.per_byte),
            min_bytes: one.min_bytes.min(other.min_bytes),
        });
        one.unwrap_or_default()
    }
}

/// The lengths of names in quotes, with a comma.
fn lengths(names: &[Box<str>]) -> impl Iterator<Item = usize> {
    names.iter().map(|name| name.len() + 3)
}
