//! The checks of a component before it is compiled, by reading it once: whether it is a component at all, and
//! whether its size and shape are within [`CompileLimits`].
//!
//! They reject early, and with a better message, what the compiler would fail on. They do not replace the limits of
//! the compiler process: the cost of compiling a component cannot be predicted from its shape.

use wasmparser::{FunctionBody, Operator, Parser, Payload};
use wasmtime::Engine as Wasmtime;

use crate::component::error::{LoadError, ShapeLimit};
use crate::printable::bounded;
use crate::settings::CompileLimits;

/// Checks the header and the size.
pub(super) fn check_header(binary: &[u8], limits: &CompileLimits) -> Result<(), LoadError> {
    match binary {
        [] => return Err(LoadError::Empty),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {}
        [0, b'a', b's', b'm', ..] => return Err(LoadError::CoreModule),
        _ if Wasmtime::detect_precompiled(binary).is_some() => return Err(LoadError::Precompiled),
        _ if std::str::from_utf8(binary).is_ok_and(|text| !text.contains('\0')) => {
            return Err(LoadError::Text);
        }
        _ => return Err(LoadError::NotWasm),
    }
    check_limit(
        ShapeLimit::Component,
        binary.len(),
        limits.max_component_bytes,
    )
}

/// Checks the declarations and all functions, including those of nested components. Takes time in proportion to the size, and next to no
/// memory.
pub(super) fn check_shape(binary: &[u8], limits: &CompileLimits) -> Result<(), LoadError> {
    let (mut functions, mut declared, mut depth) = (0_usize, 0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.map_err(invalid)?;
        declared = declared.saturating_add(declaration_bytes(&payload));
        check_limit(
            ShapeLimit::Declarations,
            declared,
            limits.max_declaration_bytes,
        )?;
        match payload {
            Payload::Version { .. } => {
                depth += 1;
                check_limit(ShapeLimit::Depth, depth, limits.max_depth)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(count as usize);
                check_limit(ShapeLimit::Functions, functions, limits.max_functions)?;
            }
            Payload::CodeSectionEntry(function) => check_function(&function, limits)?,
            _ => {}
        }
    }
    Ok(())
}

/// The size of a section that declares something; 0 for code, data, custom sections, and the sections of modules and
/// components, whose own sections follow.
fn declaration_bytes(payload: &Payload<'_>) -> usize {
    match payload {
        Payload::CodeSectionStart { .. }
        | Payload::DataSection(_)
        | Payload::CustomSection(_)
        | Payload::ModuleSection { .. }
        | Payload::ComponentSection { .. } => 0,
        section => section.as_section().map_or(0, |(_, range)| range.len()),
    }
}

fn check_function(function: &FunctionBody<'_>, limits: &CompileLimits) -> Result<(), LoadError> {
    check_limit(
        ShapeLimit::Function,
        function.range().len(),
        limits.max_function_bytes,
    )?;
    let mut locals = 0_u64;
    for declared in function.get_locals_reader().map_err(invalid)? {
        let (count, _) = declared.map_err(invalid)?;
        locals += u64::from(count);
        check_limit(ShapeLimit::Locals, locals, limits.max_locals)?;
    }
    let mut nesting = 0_usize;
    for operator in function.get_operators_reader().map_err(invalid)? {
        match operator.map_err(invalid)? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => {
                nesting += 1;
                check_limit(ShapeLimit::Nesting, nesting, limits.max_nesting)?;
            }
            Operator::End => nesting = nesting.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn check_limit<N: TryInto<u64> + PartialOrd>(
    part: ShapeLimit,
    found: N,
    limit: N,
) -> Result<(), LoadError> {
    if found <= limit {
        return Ok(());
    }
    let number = |number: N| number.try_into().unwrap_or(u64::MAX);
    Err(LoadError::TooComplex {
        part,
        found: number(found),
        limit: number(limit),
    })
}

fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(bounded(error))
}
