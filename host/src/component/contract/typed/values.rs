//! Canonical bytes as the values that guests get, and the values that they return as canonical bytes.

use wasmtime::component::Val;

use crate::typed::{Case, Field, Malformed, Reader, Signature, TooLong, ValueType, Writer};

/// The values of `signature`'s parameters in `bytes`. `None` if they take more than `room` bytes.
pub(in crate::component) fn arguments(
    signature: &Signature,
    bytes: &[u8],
    room: usize,
) -> Result<Option<Vec<Val>>, Malformed> {
    let mut decoding = Decoding {
        from: Reader::new(bytes),
        room,
    };
    let mut values = Vec::with_capacity(signature.parameters.len());
    for parameter in &signature.parameters {
        match decoding.value(&parameter.ty) {
            Ok(value) => values.push(value),
            Err(Undecoded::NoRoom) => return Ok(None),
            Err(Undecoded::Malformed(malformed)) => return Err(malformed),
        }
    }
    if decoding.from.is_at_end() {
        Ok(Some(values))
    } else {
        Err(Malformed)
    }
}

struct Decoding<'a> {
    from: Reader<'a>,
    /// How many bytes the values may still take.
    room: usize,
}

/// Why bytes were not decoded.
enum Undecoded {
    Malformed(Malformed),
    NoRoom,
}

impl From<Malformed> for Undecoded {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Decoding<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Undecoded> {
        self.room = self.room.checked_sub(bytes).ok_or(Undecoded::NoRoom)?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<String, Undecoded> {
        self.take(size_of::<String>() + name.len())?;
        Ok(name.to_owned())
    }

    fn values<'t>(
        &mut self,
        number: usize,
        ty: impl Fn(usize) -> &'t ValueType,
    ) -> Result<Vec<Val>, Undecoded> {
        // Not with the capacity that the bytes state: they are trusted, and cheap to check.
        (0..number).map(|nth| self.value(ty(nth))).collect()
    }

    fn content(&mut self, ty: Option<&ValueType>) -> Result<Option<Box<Val>>, Undecoded> {
        ty.map(|ty| self.value(ty).map(Box::new)).transpose()
    }

    fn value(&mut self, ty: &ValueType) -> Result<Val, Undecoded> {
        self.take(size_of::<Val>())?;
        Ok(match ty {
            ValueType::Bool => Val::Bool(self.from.bit()?),
            ValueType::S8 => Val::S8(i8::from_le_bytes(self.from.array()?)),
            ValueType::U8 => Val::U8(self.from.byte()?),
            ValueType::S16 => Val::S16(i16::from_le_bytes(self.from.array()?)),
            ValueType::U16 => Val::U16(u16::from_le_bytes(self.from.array()?)),
            ValueType::S32 => Val::S32(i32::from_le_bytes(self.from.array()?)),
            ValueType::U32 => Val::U32(u32::from_le_bytes(self.from.array()?)),
            ValueType::S64 => Val::S64(i64::from_le_bytes(self.from.array()?)),
            ValueType::U64 => Val::U64(u64::from_le_bytes(self.from.array()?)),
            ValueType::F32 => Val::Float32(f32::from_le_bytes(self.from.array()?)),
            ValueType::F64 => Val::Float64(f64::from_le_bytes(self.from.array()?)),
            ValueType::Char => Val::Char(self.from.char()?),
            ValueType::String => {
                let text = self.from.str()?;
                self.take(text.len())?;
                Val::String(text.to_owned())
            }
            ValueType::List(element) => {
                let number = self.from.number()?;
                Val::List(self.values(number, |_| element)?)
            }
            ValueType::FixedList(element, number) => {
                Val::FixedLengthList(self.values(*number as usize, |_| element)?)
            }
            ValueType::Tuple(types) => Val::Tuple(self.values(types.len(), |nth| &types[nth])?),
            ValueType::Map(key, value) => {
                let number = self.from.number()?;
                let entries = (0..number).map(|_| Ok((self.value(key)?, self.value(value)?)));
                Val::Map(entries.collect::<Result<_, Undecoded>>()?)
            }
            ValueType::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|Field { name, ty }| Ok((self.name(name)?, self.value(ty)?)));
                Val::Record(fields.collect::<Result<_, Undecoded>>()?)
            }
            ValueType::Variant(cases) => {
                let Case { name, ty } = cases.get(self.from.number()?).ok_or(Malformed)?;
                Val::Variant(self.name(name)?, self.content(ty.as_ref())?)
            }
            ValueType::Enum(names) => {
                let name = names.get(self.from.number()?).ok_or(Malformed)?;
                Val::Enum(self.name(name)?)
            }
            ValueType::Option(inner) => {
                let inner = self.from.bit()?.then_some(&**inner);
                Val::Option(self.content(inner)?)
            }
            ValueType::Result(ok, err) => Val::Result(if self.from.bit()? {
                Err(self.content(err.as_deref())?)
            } else {
                Ok(self.content(ok.as_deref())?)
            }),
            ValueType::Flags(names) => {
                let flags = self.from.flags(names.len())?;
                let flags = flags.map(|flag| self.name(&names[flag]));
                Val::Flags(flags.collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Why a value that a guest returned has no canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::component) enum Unencoded {
    /// They exceed the limit.
    TooLong,
    /// It is not of the function's type.
    OtherType,
}

impl From<TooLong> for Unencoded {
    fn from(TooLong: TooLong) -> Self {
        Self::TooLong
    }
}

/// The canonical bytes of `value`, which is of type `ty`: at most `limit`.
pub(in crate::component) fn encoded(
    ty: &ValueType,
    value: &Val,
    limit: usize,
) -> Result<Vec<u8>, Unencoded> {
    let mut writer = Writer::new(limit);
    encode(ty, value, &mut writer)?;
    Ok(writer.into_bytes())
}

fn encode(ty: &ValueType, value: &Val, to: &mut Writer) -> Result<(), Unencoded> {
    match (ty, value) {
        (ValueType::Bool, Val::Bool(bool)) => to.byte((*bool).into())?,
        (ValueType::S8, Val::S8(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U8, Val::U8(number)) => to.byte(*number)?,
        (ValueType::S16, Val::S16(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U16, Val::U16(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::S32, Val::S32(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U32, Val::U32(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::S64, Val::S64(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::U64, Val::U64(number)) => to.raw(&number.to_le_bytes())?,
        (ValueType::F32, Val::Float32(float)) => to.f32(*float)?,
        (ValueType::F64, Val::Float64(float)) => to.f64(*float)?,
        (ValueType::Char, Val::Char(char)) => to.raw(&u32::from(*char).to_le_bytes())?,
        (ValueType::String, Val::String(text)) => to.text(text.as_bytes())?,
        (ValueType::List(element), Val::List(values)) => {
            to.number(values.len())?;
            encode_all(values.iter().map(|value| (&**element, value)), to)?;
        }
        (ValueType::FixedList(element, number), Val::FixedLengthList(values))
            if values.len() == *number as usize =>
        {
            encode_all(values.iter().map(|value| (&**element, value)), to)?;
        }
        (ValueType::Tuple(types), Val::Tuple(values)) if values.len() == types.len() => {
            encode_all(types.iter().zip(values), to)?;
        }
        (ValueType::Map(key, value), Val::Map(values)) => {
            let at = to.begin_list()?;
            let start = to.position();
            let mut entries = Vec::with_capacity(values.len());
            for (of, content) in values {
                encode(key, of, to)?;
                let end_of_key = to.position();
                encode(value, content, to)?;
                entries.push((end_of_key, to.position()));
            }
            let number = to.order_map(start, &entries);
            to.end_list(at, number);
        }
        (ValueType::Record(fields), Val::Record(values)) if values.len() == fields.len() => {
            for (field, (name, value)) in fields.iter().zip(values) {
                if *field.name != **name {
                    return Err(Unencoded::OtherType);
                }
                encode(&field.ty, value, to)?;
            }
        }
        (ValueType::Variant(cases), Val::Variant(name, content)) => {
            let number = cases.iter().position(|case| *case.name == **name);
            let number = number.ok_or(Unencoded::OtherType)?;
            to.number(number)?;
            encode_content(cases[number].ty.as_ref(), content.as_deref(), to)?;
        }
        (ValueType::Enum(names), Val::Enum(name)) => {
            let number = names.iter().position(|of| **of == **name);
            to.number(number.ok_or(Unencoded::OtherType)?)?;
        }
        (ValueType::Option(inner), Val::Option(content)) => {
            to.byte(content.is_some().into())?;
            encode_content(content.as_ref().map(|_| &**inner), content.as_deref(), to)?;
        }
        (ValueType::Result(ok, _), Val::Result(Ok(content))) => {
            to.byte(0)?;
            encode_content(ok.as_deref(), content.as_deref(), to)?;
        }
        (ValueType::Result(_, err), Val::Result(Err(content))) => {
            to.byte(1)?;
            encode_content(err.as_deref(), content.as_deref(), to)?;
        }
        (ValueType::Flags(names), Val::Flags(flags))
            if flags
                .iter()
                .all(|flag| names.iter().any(|name| **name == **flag)) =>
        {
            to.flags(names.len(), |flag| {
                flags.iter().any(|set| **set == *names[flag])
            })?;
        }
        _ => return Err(Unencoded::OtherType),
    }
    Ok(())
}

fn encode_all<'a>(
    values: impl Iterator<Item = (&'a ValueType, &'a Val)>,
    to: &mut Writer,
) -> Result<(), Unencoded> {
    for (ty, value) in values {
        encode(ty, value, to)?;
    }
    Ok(())
}

fn encode_content(
    ty: Option<&ValueType>,
    content: Option<&Val>,
    to: &mut Writer,
) -> Result<(), Unencoded> {
    match (ty, content) {
        (None, None) => Ok(()),
        (Some(ty), Some(content)) => encode(ty, content, to),
        _ => Err(Unencoded::OtherType),
    }
}

#[cfg(test)]
mod tests {
    //! What is true of the values of all types.

    use super::*;
    use crate::typed::generated::Generator;

    fn encode_arguments(signature: &Signature, values: &[Val]) -> Vec<u8> {
        let arguments = signature.parameters.iter().zip(values);
        let bytes =
            arguments.map(|(parameter, value)| encoded(&parameter.ty, value, usize::MAX).unwrap());
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn values_of_bytes_have_the_same_bytes() {
        for seed in 0..4_000 {
            let mut generator = Generator::new(seed);
            let signature = generator.signature();
            for _ in 0..4 {
                let bytes = generator.arguments(&signature);
                let mut values = arguments(&signature, &bytes, usize::MAX).unwrap().unwrap();
                assert_eq!(encode_arguments(&signature, &values), bytes, "{signature}");
                values.iter_mut().for_each(disorder);
                assert_eq!(
                    encode_arguments(&signature, &values),
                    bytes,
                    "{signature}: {values:?}"
                );
            }
        }
    }

    /// The same value, in another order, or with other bits.
    fn disorder(value: &mut Val) {
        match value {
            Val::Float32(float) if float.is_nan() => *float = f32::from_bits(0xffc0_1234),
            Val::Float64(float) if float.is_nan() => *float = -f64::NAN,
            Val::Flags(flags) => flags.reverse(),
            Val::Map(entries) => {
                entries.reverse();
                for (_, value) in entries {
                    disorder(value);
                }
            }
            Val::List(values) | Val::FixedLengthList(values) | Val::Tuple(values) => {
                values.iter_mut().for_each(disorder);
            }
            Val::Record(fields) => {
                for (_, value) in fields {
                    disorder(value);
                }
            }
            Val::Variant(_, Some(value))
            | Val::Option(Some(value))
            | Val::Result(Ok(Some(value)) | Err(Some(value))) => disorder(value),
            _ => {}
        }
    }

    #[test]
    fn bytes_that_are_corrupt_take_no_more_than_their_room() {
        for seed in 0..4_000 {
            let mut generator = Generator::new(seed);
            let signature = generator.signature();
            let mut bytes = generator.arguments(&signature);
            if !bytes.is_empty() {
                let at = generator.below(bytes.len());
                bytes[at] ^= u8::try_from(1 + generator.below(255)).unwrap();
            }
            // It may be that of another value.
            drop(arguments(&signature, &bytes, 64 << 10));
        }
        let empty = ValueType::List(Box::new(ValueType::Tuple([].into())));
        let signature = Signature {
            parameters: [crate::typed::Parameter {
                name: "a".into(),
                ty: empty,
            }]
            .into(),
            result: None,
        };
        assert_eq!(arguments(&signature, &[0xff; 4], 64 << 10), Ok(None));
    }

    #[test]
    fn a_flag_that_the_type_does_not_have_is_of_another_type() {
        let ty = ValueType::Flags(["a".into()].into());
        let value = Val::Flags(vec!["b".to_owned()]);
        assert_eq!(encoded(&ty, &value, 8), Err(Unencoded::OtherType));
    }
}
