//! The signature of a component's function as WIT text: to compare it, and for error messages.

use std::fmt::{self, Display, Formatter};

use wasmtime::component::types::{ComponentFunc, Type};

use crate::printable::bounded;

/// The name, the parameters and the result of `func`, at most 4 KiB of them.
///
/// A type that contains another one a thousand times is small in a file, and written out it is not. Each part of a
/// type is at least one character, so the limit of the text limits the parts that are visited, too.
pub(super) fn signature(name: &str, func: &ComponentFunc) -> String {
    bounded(format_args!("{name}: {}", Signature(func)))
}

struct Signature<'a>(&'a ComponentFunc);

impl Display for Signature<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        separated(f, self.0.params(), |f, (name, ty)| {
            write!(f, "{name}: {}", Wit(&ty))
        })?;
        f.write_str(")")?;
        for ty in self.0.results() {
            write!(f, " -> {}", Wit(&ty))?;
        }
        Ok(())
    }
}

/// A type as WIT, with its named parts written out.
struct Wit<'a>(&'a Type);

impl Display for Wit<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::List(list) => write!(f, "list<{}>", Wit(&list.ty())),
            Type::Option(option) => write!(f, "option<{}>", Wit(&option.ty())),
            Type::Result(result) => write!(
                f,
                "result<{}, {}>",
                Optional(result.ok()),
                Optional(result.err())
            ),
            Type::Tuple(tuple) => {
                f.write_str("tuple<")?;
                separated(f, tuple.types(), |f, ty| Wit(&ty).fmt(f))?;
                f.write_str(">")
            }
            Type::Record(record) => {
                f.write_str("record { ")?;
                separated(f, record.fields(), |f, field| {
                    write!(f, "{}: {}", field.name, Wit(&field.ty))
                })?;
                f.write_str(" }")
            }
            Type::Variant(variant) => {
                f.write_str("variant { ")?;
                separated(f, variant.cases(), |f, case| match &case.ty {
                    Some(ty) => write!(f, "{}({})", case.name, Wit(ty)),
                    None => f.write_str(case.name),
                })?;
                f.write_str(" }")
            }
            Type::Enum(cases) => {
                f.write_str("enum { ")?;
                separated(f, cases.names(), |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            Type::Flags(flags) => {
                f.write_str("flags { ")?;
                separated(f, flags.names(), |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            other => f.write_str(simple(other)),
        }
    }
}

/// A type that may be absent.
struct Optional(Option<Type>);

impl Display for Optional {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(ty) => Wit(ty).fmt(f),
            None => f.write_str("_"),
        }
    }
}

/// The name of a type without parts.
fn simple(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::Own(_) | Type::Borrow(_) => "a handle",
        _ => "a type that this host does not call",
    }
}

/// Writes `parts` with commas between them.
fn separated<T>(
    f: &mut Formatter<'_>,
    parts: impl Iterator<Item = T>,
    write: impl Fn(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (nth, part) in parts.enumerate() {
        if nth > 0 {
            f.write_str(", ")?;
        }
        write(f, part)?;
    }
    Ok(())
}
