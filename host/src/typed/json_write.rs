//! Writes canonical bytes as JSON.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::read::{Malformed, Reader};
use super::value_type::{Case, ValueType};

/// How JSON has integers of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WideIntegers {
    /// As numbers.
    #[default]
    Number,
    /// As strings, for callers whose numbers are doubles, which have 53 bits.
    String,
}

/// Writes the next value of `reader`, of type `ty`.
pub(super) fn write_value(
    ty: &ValueType,
    reader: &mut Reader<'_>,
    wide: WideIntegers,
    out: &mut impl Write,
) -> io::Result<()> {
    JsonWriter { wide, out }.value(ty, reader)
}

/// Bytes that are not those of a value.
pub(super) fn malformed(Malformed: Malformed) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

struct JsonWriter<'a, W> {
    wide: WideIntegers,
    out: &'a mut W,
}

impl<W: Write> JsonWriter<'_, W> {
    fn value(&mut self, ty: &ValueType, from: &mut Reader<'_>) -> io::Result<()> {
        macro_rules! number {
            ($int:ty) => {
                self.json(&<$int>::from_le_bytes(from.array().map_err(malformed)?))
            };
        }
        match ty {
            ValueType::Bool => self.json(&from.bit().map_err(malformed)?),
            ValueType::S8 => number!(i8),
            ValueType::U8 => number!(u8),
            ValueType::S16 => number!(i16),
            ValueType::U16 => number!(u16),
            ValueType::S32 => number!(i32),
            ValueType::U32 => number!(u32),
            ValueType::S64 => self.wide(i64::from_le_bytes(from.array().map_err(malformed)?)),
            ValueType::U64 => self.wide(u64::from_le_bytes(from.array().map_err(malformed)?)),
            ValueType::F32 => {
                let float = f32::from_le_bytes(from.array().map_err(malformed)?);
                self.float(&float, float.into())
            }
            ValueType::F64 => {
                let float = f64::from_le_bytes(from.array().map_err(malformed)?);
                self.float(&float, float)
            }
            ValueType::Char => self.json(&from.char().map_err(malformed)?),
            ValueType::String => self.json(from.str().map_err(malformed)?),
            ValueType::Enum(names) => {
                let case = from.number().map_err(malformed)?;
                let name = names.get(case).ok_or_else(|| malformed(Malformed))?;
                self.json(&**name)
            }
            ValueType::List(element) if **element == ValueType::U8 => {
                let bytes = from.text().map_err(malformed)?;
                write!(self.out, "\"{}\"", Base64Display::new(bytes, &STANDARD))
            }
            ValueType::List(element) => {
                let number = from.number().map_err(malformed)?;
                self.elements(number, |_| element, from)
            }
            ValueType::FixedList(element, number) => {
                self.elements(*number as usize, |_| element, from)
            }
            ValueType::Tuple(types) => self.elements(types.len(), |nth| &types[nth], from),
            ValueType::Map(key, value) => self.map(key, value, from),
            ValueType::Record(fields) => self.separated(b"{}", fields.len(), |this, nth| {
                this.name(&fields[nth].name)?;
                this.value(&fields[nth].ty, from)
            }),
            ValueType::Variant(cases) => {
                let case = from.number().map_err(malformed)?;
                match cases.get(case) {
                    None => Err(malformed(Malformed)),
                    Some(Case { name, ty: None }) => self.json(&**name),
                    Some(Case { name, ty: Some(ty) }) => self.case(name, Some(ty), from),
                }
            }
            ValueType::Option(inner) => match from.bit().map_err(malformed)? {
                false => self.out.write_all(b"null"),
                true if inner.is_option() => self.case("some", Some(inner), from),
                true => self.value(inner, from),
            },
            ValueType::Result(ok, err) => match from.bit().map_err(malformed)? {
                false => self.case("ok", ok.as_deref(), from),
                true => self.case("err", err.as_deref(), from),
            },
            ValueType::Flags(names) => {
                let flags: Vec<_> = from.flags(names.len()).map_err(malformed)?.collect();
                self.separated(b"[]", flags.len(), |this, nth| {
                    this.json(&*names[flags[nth]])
                })
            }
        }
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, value).map_err(Into::into)
    }

    fn wide(&mut self, number: impl Serialize) -> io::Result<()> {
        match self.wide {
            WideIntegers::Number => self.json(&number),
            WideIntegers::String => {
                self.out.write_all(b"\"")?;
                self.json(&number)?;
                self.out.write_all(b"\"")
            }
        }
    }

    /// A float. JSON has no numbers that are not finite.
    fn float(&mut self, float: &impl Serialize, value: f64) -> io::Result<()> {
        if value.is_finite() {
            return self.json(float);
        }
        self.json(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    }

    fn elements<'t>(
        &mut self,
        number: usize,
        ty: impl Fn(usize) -> &'t ValueType,
        from: &mut Reader<'_>,
    ) -> io::Result<()> {
        self.separated(b"[]", number, |this, nth| this.value(ty(nth), from))
    }

    fn map(&mut self, key: &ValueType, value: &ValueType, from: &mut Reader<'_>) -> io::Result<()> {
        let number = from.number().map_err(malformed)?;
        if *key == ValueType::String {
            return self.separated(b"{}", number, |this, _| {
                this.name(from.str().map_err(malformed)?)?;
                this.value(value, from)
            });
        }
        self.separated(b"[]", number, |this, _| {
            this.separated(b"[]", 2, |this, nth| {
                this.value(if nth == 0 { key } else { value }, from)
            })
        })
    }

    /// An object with one field: the name of a case, and what the case contains.
    fn case(
        &mut self,
        name: &str,
        ty: Option<&ValueType>,
        from: &mut Reader<'_>,
    ) -> io::Result<()> {
        self.separated(b"{}", 1, |this, _| {
            this.name(name)?;
            match ty {
                Some(ty) => this.value(ty, from),
                None => this.out.write_all(b"null"),
            }
        })
    }

    fn name(&mut self, name: &str) -> io::Result<()> {
        self.json(name)?;
        self.out.write_all(b":")
    }

    /// Writes `number` parts with commas between them, within `brackets`.
    fn separated(
        &mut self,
        brackets: &[u8; 2],
        number: usize,
        mut write: impl FnMut(&mut Self, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        self.out.write_all(&brackets[..1])?;
        for nth in 0..number {
            if nth > 0 {
                self.out.write_all(b",")?;
            }
            write(self, nth)?;
        }
        self.out.write_all(&brackets[1..])
    }
}
