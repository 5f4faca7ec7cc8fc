//! Writes canonical bytes as WAVE.

use std::fmt::{self, Write};

use super::read::{Malformed, Reader};
use super::signature::Signature;
use super::value_type::{Case, ValueType};

/// The arguments in `bytes` as WAVE, in parentheses. What exceeds `limit` is left out.
pub(crate) fn arguments_as_wave(signature: &Signature, bytes: &[u8], limit: usize) -> String {
    let mut from = Reader::new(bytes);
    written(limit, |writer| {
        let parameters = &signature.parameters;
        writer.separated("()", parameters.len(), |writer, nth| {
            writer.value(&parameters[nth].ty, &mut from)
        })
    })
}

/// The value in `bytes` as WAVE. What exceeds `limit` is left out.
pub(super) fn value_as_wave(ty: &ValueType, bytes: &[u8], limit: usize) -> String {
    let mut from = Reader::new(bytes);
    written(limit, |writer| writer.value(ty, &mut from))
}

fn written(limit: usize, write: impl FnOnce(&mut WaveWriter) -> fmt::Result) -> String {
    let mut writer = WaveWriter {
        text: String::new(),
        limit,
    };
    if write(&mut writer).is_err() {
        writer.text.push('…');
    }
    writer.text
}

struct WaveWriter {
    text: String,
    limit: usize,
}

fn malformed(Malformed: Malformed) -> fmt::Error {
    fmt::Error
}

impl WaveWriter {
    fn put(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }

    fn value(&mut self, ty: &ValueType, from: &mut Reader<'_>) -> fmt::Result {
        macro_rules! number {
            ($int:ty) => {{
                let number = <$int>::from_le_bytes(from.array().map_err(malformed)?);
                self.put(&number.to_string())
            }};
        }
        match ty {
            ValueType::Bool => self.put(if from.bit().map_err(malformed)? {
                "true"
            } else {
                "false"
            }),
            ValueType::S8 => number!(i8),
            ValueType::U8 => number!(u8),
            ValueType::S16 => number!(i16),
            ValueType::U16 => number!(u16),
            ValueType::S32 => number!(i32),
            ValueType::U32 => number!(u32),
            ValueType::S64 => number!(i64),
            ValueType::U64 => number!(u64),
            ValueType::F32 => {
                let float = f32::from_le_bytes(from.array().map_err(malformed)?);
                self.float(float.into(), &float.to_string())
            }
            ValueType::F64 => {
                let float = f64::from_le_bytes(from.array().map_err(malformed)?);
                self.float(float, &float.to_string())
            }
            ValueType::Char => {
                let char = from.char().map_err(malformed)?;
                self.put("'")?;
                self.char(char, '\'')?;
                self.put("'")
            }
            ValueType::String => {
                self.put("\"")?;
                for char in from.str().map_err(malformed)?.chars() {
                    self.char(char, '"')?;
                }
                self.put("\"")
            }
            ValueType::List(element) if **element == ValueType::U8 => {
                let bytes = from.text().map_err(malformed)?;
                self.separated("[]", bytes.len(), |this, nth| {
                    this.put(&bytes[nth].to_string())
                })
            }
            ValueType::List(element) => {
                let number = from.number().map_err(malformed)?;
                self.separated("[]", number, |this, _| this.value(element, from))
            }
            ValueType::FixedList(element, number) => {
                self.separated("[]", *number as usize, |this, _| this.value(element, from))
            }
            ValueType::Tuple(types) => {
                self.separated("()", types.len(), |this, nth| this.value(&types[nth], from))
            }
            ValueType::Map(key, value) => {
                let number = from.number().map_err(malformed)?;
                self.separated("[]", number, |this, _| {
                    this.separated("()", 2, |this, nth| {
                        this.value(if nth == 0 { key } else { value }, from)
                    })
                })
            }
            ValueType::Record(fields) => self.record(fields.len(), |this, nth| {
                this.label(&fields[nth].name)?;
                this.put(": ")?;
                this.value(&fields[nth].ty, from)
            }),
            ValueType::Variant(_)
            | ValueType::Enum(_)
            | ValueType::Option(_)
            | ValueType::Result(..)
            | ValueType::Flags(_) => self.choice(ty, from),
        }
    }

    /// A value of a type that has cases or flags.
    fn choice(&mut self, ty: &ValueType, from: &mut Reader<'_>) -> fmt::Result {
        match ty {
            ValueType::Variant(cases) => {
                let number = from.number().map_err(malformed)?;
                let Case { name, ty } = cases.get(number).ok_or(fmt::Error)?;
                self.label(name)?;
                self.content(ty.as_ref(), from)
            }
            ValueType::Enum(names) => {
                let number = from.number().map_err(malformed)?;
                self.label(names.get(number).ok_or(fmt::Error)?)
            }
            ValueType::Option(inner) => match from.bit().map_err(malformed)? {
                false => self.put("none"),
                true => {
                    self.put("some")?;
                    self.content(Some(inner), from)
                }
            },
            ValueType::Result(ok, err) => match from.bit().map_err(malformed)? {
                false => {
                    self.put("ok")?;
                    self.content(ok.as_deref(), from)
                }
                true => {
                    self.put("err")?;
                    self.content(err.as_deref(), from)
                }
            },
            ValueType::Flags(names) => {
                let flags: Vec<_> = from.flags(names.len()).map_err(malformed)?.collect();
                self.separated("{}", flags.len(), |this, nth| {
                    this.label(&names[flags[nth]])
                })
            }
            _ => Err(fmt::Error),
        }
    }

    fn float(&mut self, value: f64, finite: &str) -> fmt::Result {
        self.put(if value.is_nan() {
            "nan"
        } else if value.is_infinite() {
            if value > 0.0 { "inf" } else { "-inf" }
        } else {
            finite
        })
    }

    /// A character of a string or of a `char`, which ends with `quote`.
    fn char(&mut self, char: char, quote: char) -> fmt::Result {
        match char {
            '\\' => self.put("\\\\"),
            '\n' => self.put("\\n"),
            '\r' => self.put("\\r"),
            '\t' => self.put("\\t"),
            char if char == quote => {
                self.put("\\")?;
                self.put(char.encode_utf8(&mut [0; 4]))
            }
            // Also what would change the direction or the look of a terminal's line.
            char if char.is_control() || !is_plain(char) => {
                let mut escaped = String::new();
                write!(escaped, "\\u{{{:x}}}", u32::from(char))?;
                self.put(&escaped)
            }
            char => self.put(char.encode_utf8(&mut [0; 4])),
        }
    }

    /// A name. One that is a word of WAVE is marked.
    fn label(&mut self, name: &str) -> fmt::Result {
        self.put(mark(name))?;
        self.put(name)
    }

    fn content(&mut self, ty: Option<&ValueType>, from: &mut Reader<'_>) -> fmt::Result {
        match ty {
            None => Ok(()),
            Some(ty) => {
                self.put("(")?;
                self.value(ty, from)?;
                self.put(")")
            }
        }
    }

    fn record(
        &mut self,
        number: usize,
        write: impl FnMut(&mut Self, usize) -> fmt::Result,
    ) -> fmt::Result {
        if number == 0 {
            return self.put("{:}");
        }
        self.separated("{}", number, write)
    }

    fn separated(
        &mut self,
        brackets: &str,
        number: usize,
        mut write: impl FnMut(&mut Self, usize) -> fmt::Result,
    ) -> fmt::Result {
        self.put(&brackets[..1])?;
        for nth in 0..number {
            if nth > 0 {
                self.put(", ")?;
            }
            write(self, nth)?;
        }
        self.put(&brackets[1..])
    }
}

/// What precedes a name in WAVE: a mark, if it is a word of WAVE.
pub(super) fn mark(name: &str) -> &'static str {
    match name {
        "true" | "false" | "some" | "none" | "ok" | "err" | "inf" | "nan" => "%",
        _ => "",
    }
}

/// Whether a terminal shows the character as it is: `Debug` escapes the others.
fn is_plain(char: char) -> bool {
    matches!(char, '\'' | '"') || char.escape_debug().count() == 1
}
