//! Reads WAVE, the text form of values that `wasmtime run --invoke` uses, as canonical bytes.

use wasm_wave::ast::{Node, NodeType};
use wasm_wave::untyped::UntypedValue;

use super::argument_error::{ArgumentError, ArgumentProblem, cut, limited, limited_names};
use super::example::example;
use super::signature::{Parameter, Signature};
use super::value_type::ValueType;
use super::write::{TooLong, Writer};

/// The canonical bytes of the arguments in `wave`, a list in parentheses. Options at its end may be absent.
pub(crate) fn read_wave(
    signature: &Signature,
    wave: &str,
    limit: usize,
) -> Result<Vec<u8>, ArgumentError> {
    let syntax = |why: String| ArgumentError::new("", ArgumentProblem::Syntax(why));
    let mut reading = WaveReading {
        source: wave,
        limit,
        writer: Writer::new(limit),
    };
    let parsed;
    // An empty list of arguments is no tuple of WAVE.
    let nodes: Vec<&Node> = if wave
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .is_some_and(|between| between.trim().is_empty())
    {
        Vec::new()
    } else {
        parsed = UntypedValue::parse(wave).map_err(|error| {
            syntax(format!(
                "expected arguments as WAVE, as in {}, got something else: {error}",
                example(signature)
            ))
        })?;
        match parsed.node().as_tuple() {
            Ok(nodes) => nodes.collect(),
            Err(_) => {
                return Err(syntax(format!(
                    "expected arguments in parentheses, as in {}, got something else",
                    example(signature)
                )));
            }
        }
    };
    let parameters = &signature.parameters;
    if nodes.len() > parameters.len() {
        return Err(syntax(format!(
            "expected {} arguments, {}, got {}",
            parameters.len(),
            limited(signature),
            nodes.len()
        )));
    }
    for (nth, Parameter { name, ty }) in parameters.iter().enumerate() {
        match nodes.get(nth) {
            Some(node) => reading.value(ty, node, name)?,
            None if ty.is_option() => reading.write(|writer| writer.byte(0))?,
            None => {
                let ty = limited(ty);
                return Err(ArgumentError::new(&**name, ArgumentProblem::Missing { ty }));
            }
        }
    }
    Ok(reading.writer.into_bytes())
}

struct WaveReading<'a> {
    source: &'a str,
    limit: usize,
    writer: Writer,
}

impl WaveReading<'_> {
    fn write(
        &mut self,
        write: impl FnOnce(&mut Writer) -> Result<(), TooLong>,
    ) -> Result<(), ArgumentError> {
        write(&mut self.writer).map_err(|TooLong| {
            let limit = self.limit;
            ArgumentError::new("", ArgumentProblem::TooLong { limit })
        })
    }

    fn mismatch(&self, ty: &ValueType, node: &Node, path: &str) -> ArgumentError {
        let expected = match ty {
            ValueType::Enum(names) | ValueType::Flags(names) => {
                format!("one of {}", limited_names(names.iter().map(|name| &**name)))
            }
            ValueType::Variant(cases) => {
                let names = cases.iter().map(|case| &*case.name);
                format!("one of {}", limited_names(names))
            }
            _ => "a value as WAVE".to_owned(),
        };
        let problem = ArgumentProblem::Type {
            ty: limited(ty),
            expected,
            got: cut(&self.source[node.span()]),
        };
        ArgumentError::new(path, problem)
    }

    fn value(&mut self, ty: &ValueType, node: &Node, path: &str) -> Result<(), ArgumentError> {
        let source = self.source;
        macro_rules! number {
            ($int:ty) => {{
                let number = node.as_number::<$int>(source);
                let number = number.map_err(|_| self.mismatch(ty, node, path))?;
                self.write(|writer| writer.raw(&number.to_le_bytes()))
            }};
        }
        let mismatch = || self.mismatch(ty, node, path);
        match ty {
            ValueType::Bool => {
                let bool = node.as_bool().map_err(|_| mismatch())?;
                self.write(|writer| writer.byte(bool.into()))
            }
            ValueType::S8 => number!(i8),
            ValueType::U8 => number!(u8),
            ValueType::S16 => number!(i16),
            ValueType::U16 => number!(u16),
            ValueType::S32 => number!(i32),
            ValueType::U32 => number!(u32),
            ValueType::S64 => number!(i64),
            ValueType::U64 => number!(u64),
            ValueType::F32 => {
                let float: f32 = node.as_number(source).map_err(|_| mismatch())?;
                if float.is_infinite() && !self.is_infinity(node) {
                    return Err(mismatch());
                }
                self.write(|writer| writer.f32(float))
            }
            ValueType::F64 => {
                let float: f64 = node.as_number(source).map_err(|_| mismatch())?;
                if float.is_infinite() && !self.is_infinity(node) {
                    return Err(mismatch());
                }
                self.write(|writer| writer.f64(float))
            }
            ValueType::Char => {
                let char = node.as_char(source).map_err(|_| mismatch())?;
                self.write(|writer| writer.raw(&u32::from(char).to_le_bytes()))
            }
            ValueType::String => {
                let text = node.as_str(source).map_err(|_| mismatch())?;
                self.write(|writer| writer.text(text.as_bytes()))
            }
            ValueType::List(element) => {
                let elements = node.as_list().map_err(|_| mismatch())?;
                let number = elements.len();
                self.write(|writer| writer.number(number))?;
                self.elements(|_| element, elements, path)
            }
            ValueType::FixedList(element, number) => {
                let elements = node.as_list().map_err(|_| mismatch())?;
                if elements.len() != *number as usize {
                    return Err(mismatch());
                }
                self.elements(|_| element, elements, path)
            }
            ValueType::Tuple(types) => {
                let elements = node.as_tuple().map_err(|_| mismatch())?;
                if elements.len() != types.len() {
                    return Err(mismatch());
                }
                self.elements(|nth| &types[nth], elements, path)
            }
            ValueType::Map(key, value) => self.map(ty, (key, value), node, path),
            ValueType::Record(_) => self.record(ty, node, path),
            ValueType::Variant(_)
            | ValueType::Enum(_)
            | ValueType::Option(_)
            | ValueType::Result(..)
            | ValueType::Flags(_) => self.choice(ty, node, path),
        }
    }

    /// The elements of a list or of a tuple.
    fn elements<'t, 'n>(
        &mut self,
        ty: impl Fn(usize) -> &'t ValueType,
        elements: impl Iterator<Item = &'n Node>,
        path: &str,
    ) -> Result<(), ArgumentError> {
        for (nth, element) in elements.enumerate() {
            self.value(ty(nth), element, &format!("{path}[{nth}]"))?;
        }
        Ok(())
    }

    /// A value of a type that has cases or flags.
    fn choice(&mut self, ty: &ValueType, node: &Node, path: &str) -> Result<(), ArgumentError> {
        let source = self.source;
        let mismatch = || self.mismatch(ty, node, path);
        match ty {
            ValueType::Variant(cases) => {
                let (name, part) = node.as_variant(source).map_err(|_| mismatch())?;
                let number = cases.iter().position(|case| *case.name == *name);
                let number = number.ok_or_else(mismatch)?;
                match (&cases[number].ty, part) {
                    (None, None) => self.write(|writer| writer.number(number)),
                    (Some(ty), Some(part)) => {
                        let path = format!("{path}.{name}");
                        self.write(|writer| writer.number(number))?;
                        self.value(ty, part, &path)
                    }
                    _ => Err(mismatch()),
                }
            }
            ValueType::Enum(names) => {
                let name = node.as_enum(source).map_err(|_| mismatch())?;
                let number = names.iter().position(|of| **of == *name);
                let number = number.ok_or_else(mismatch)?;
                self.write(|writer| writer.number(number))
            }
            ValueType::Option(inner) => match node.as_option() {
                Ok(None) => self.write(|writer| writer.byte(0)),
                Ok(Some(part)) => {
                    self.write(|writer| writer.byte(1))?;
                    self.value(inner, part, path)
                }
                // WAVE permits the value itself, where that cannot be mistaken.
                Err(_) if !matches!(**inner, ValueType::Option(_) | ValueType::Result(..)) => {
                    self.write(|writer| writer.byte(1))?;
                    self.value(inner, node, path)
                }
                Err(_) => Err(mismatch()),
            },
            ValueType::Result(ok, err) => {
                let (bit, ty, part) = match node.as_result() {
                    Ok(Ok(part)) => (0, ok, part),
                    Ok(Err(part)) => (1, err, part),
                    Err(_) => return Err(mismatch()),
                };
                match (ty, part) {
                    (None, None) => self.write(|writer| writer.byte(bit)),
                    (Some(ty), Some(part)) => {
                        self.write(|writer| writer.byte(bit))?;
                        self.value(ty, part, path)
                    }
                    _ => Err(mismatch()),
                }
            }
            ValueType::Flags(names) => {
                let mut is_set = vec![false; names.len()];
                // `{}` is no flag, and `{:}` no field.
                for name in node.as_flags(source).map_err(|_| mismatch())? {
                    // The parser leaves the mark of a name here, other than in a record.
                    let name = name.strip_prefix('%').unwrap_or(name);
                    let flag = names.iter().position(|flag| **flag == *name);
                    is_set[flag.ok_or_else(mismatch)?] = true;
                }
                self.write(|writer| writer.flags(names.len(), |flag| is_set[flag]))
            }
            _ => Err(mismatch()),
        }
    }

    /// Whether a number is infinite by its name, and not because it is out of the range of its type.
    fn is_infinity(&self, node: &Node) -> bool {
        self.source[node.span()].ends_with("inf")
    }

    fn record(&mut self, ty: &ValueType, node: &Node, path: &str) -> Result<(), ArgumentError> {
        let ValueType::Record(fields) = ty else {
            return Err(self.mismatch(ty, node, path));
        };
        let parts: Vec<_> = match node.as_record(self.source) {
            Ok(parts) => parts.collect(),
            // `{}` is a record whose fields are all absent.
            Err(_) if node.ty() == NodeType::Flags && self.source[node.span()].len() == 2 => {
                Vec::new()
            }
            Err(_) => return Err(self.mismatch(ty, node, path)),
        };
        for (name, _) in &parts {
            let at = || format!("{path}.{name}");
            if !fields.iter().any(|field| *field.name == **name) {
                let known = limited_names(fields.iter().map(|field| &*field.name));
                return Err(ArgumentError::new(at(), ArgumentProblem::Unknown { known }));
            }
            if parts.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(ArgumentError::new(at(), ArgumentProblem::Repeated));
            }
        }
        for field in fields {
            let at = format!("{path}.{}", field.name);
            match parts.iter().find(|(name, _)| **name == *field.name) {
                Some((_, part)) => self.value(&field.ty, part, &at)?,
                None if field.ty.is_option() => self.write(|writer| writer.byte(0))?,
                None => {
                    let ty = limited(&field.ty);
                    return Err(ArgumentError::new(at, ArgumentProblem::Missing { ty }));
                }
            }
        }
        Ok(())
    }

    /// A map. WAVE has no form for it, so it is a list of pairs.
    fn map(
        &mut self,
        ty: &ValueType,
        (key, value): (&ValueType, &ValueType),
        node: &Node,
        path: &str,
    ) -> Result<(), ArgumentError> {
        let pairs = node.as_list().map_err(|_| self.mismatch(ty, node, path))?;
        self.write(|writer| writer.number(0))?;
        let start = self.writer.position();
        let mut entries = Vec::with_capacity(pairs.len());
        for (nth, pair) in pairs.enumerate() {
            let path = format!("{path}[{nth}]");
            let mut parts = pair
                .as_tuple()
                .map_err(|_| self.mismatch(ty, pair, &path))?;
            let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(self.mismatch(ty, pair, &path));
            };
            self.value(key, first, &path)?;
            let end_of_key = self.writer.position();
            self.value(value, second, &path)?;
            entries.push((end_of_key, self.writer.position()));
        }
        let number = self.writer.order_map(start, &entries);
        self.writer.end_list(start - 4, number);
        if number == entries.len() {
            Ok(())
        } else {
            Err(ArgumentError::new(path, ArgumentProblem::Repeated))
        }
    }
}
