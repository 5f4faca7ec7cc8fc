//! The signature of a component's function as WIT text, for error messages.

use wasmtime::component::types::{ComponentFunc, Type};

/// The parameters and the result of `func`.
pub(super) fn signature(func: &ComponentFunc) -> String {
    let params: Vec<_> = func
        .params()
        .map(|(name, ty)| format!("{name}: {}", describe(&ty)))
        .collect();
    let results: Vec<_> = func
        .results()
        .map(|ty| format!(" -> {}", describe(&ty)))
        .collect();
    format!("func({}){}", params.join(", "), results.concat())
}

/// A type as WIT, with its named parts written out.
fn describe(ty: &Type) -> String {
    let optional = |ty: Option<Type>| ty.as_ref().map_or("_".into(), describe);
    match ty {
        Type::List(list) => format!("list<{}>", describe(&list.ty())),
        Type::Option(option) => format!("option<{}>", describe(&option.ty())),
        Type::Result(result) => format!(
            "result<{}, {}>",
            optional(result.ok()),
            optional(result.err())
        ),
        Type::Tuple(tuple) => {
            let types: Vec<_> = tuple.types().map(|ty| describe(&ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Type::Record(record) => {
            let fields: Vec<_> = record
                .fields()
                .map(|field| format!("{}: {}", field.name, describe(&field.ty)))
                .collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = variant
                .cases()
                .map(|case| match &case.ty {
                    Some(ty) => format!("{}({})", case.name, describe(ty)),
                    None => case.name.to_owned(),
                })
                .collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        Type::Enum(cases) => format!(
            "enum {{ {} }}",
            cases.names().collect::<Vec<_>>().join(", ")
        ),
        Type::Bool => "bool".into(),
        Type::S8 => "s8".into(),
        Type::U8 => "u8".into(),
        Type::S16 => "s16".into(),
        Type::U16 => "u16".into(),
        Type::S32 => "s32".into(),
        Type::U32 => "u32".into(),
        Type::S64 => "s64".into(),
        Type::U64 => "u64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Char => "char".into(),
        Type::String => "string".into(),
        _ => "a handle".into(),
    }
}
