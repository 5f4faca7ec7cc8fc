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
