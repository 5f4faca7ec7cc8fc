//! The checks of a component before it is compiled, by reading it once: whether it is a component at all, and
//! whether its size and shape are within [`CompileLimits`].
//!
//! They reject early, and with a better message, what the compiler would fail on. They do not replace the limits of
//! the compiler process: the cost of compiling a component cannot be predicted from its shape.

use wasmparser::{ComponentImportSectionReader, FunctionBody, Operator, Parser, Payload};
use wasmtime::Engine as Wasmtime;

use crate::component::error::{LoadError, ShapeLimit};
use crate::printable::bounded;
use crate::settings::CompileLimits;

/// Checks the header and the size.
pub(super) fn check_header(binary: &[u8], limits: &CompileLimits) -> Result<(), LoadError> {
    match binary {
        [] => return Err(LoadError::Empty),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {}
        [0, b'a', b's', b'm', ..] if imports_preview1(binary) => {
            return Err(LoadError::Preview1Module);
        }
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
            // Those of the component itself, and not of components within it.
            Payload::ComponentImportSection(imports) if depth == 1 => check_wasi(imports)?,
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

/// Whether a core module imports functions of WASI 0.1.
fn imports_preview1(module: &[u8]) -> bool {
    const PREVIEW1: &str = "wasi_snapshot_preview1";
    let payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    let imports = payloads.filter_map(|payload| match payload {
        Payload::ImportSection(imports) => Some(imports.into_imports()),
        _ => None,
    });
    // A module has one section of them.
    let mut imports = imports.take(1).flatten().map_while(Result::ok);
    imports.any(|import| import.module == PREVIEW1)
}

/// Refuses an import of WASI 0.3 or later, whose functions are asynchronous, so the compiler would refuse the component for
/// them and not for its version; and one of a release candidate of WASI 0.2.0, which toolchains of 2023 have.
fn check_wasi(imports: ComponentImportSectionReader<'_>) -> Result<(), LoadError> {
    for import in imports {
        let name = import.map_err(invalid)?.name.name;
        let version = name
            .strip_prefix("wasi:")
            .and_then(|name| name.split_once('@'));
        let is_other = |version: &str| is_after_0_2(version) || version.starts_with("0.2.0-rc");
        if version.is_some_and(|(_, version)| is_other(version)) {
            return Err(LoadError::OtherWasi(bounded(name)));
        }
    }
    Ok(())
}

/// Whether this is a version of WASI after 0.2, such as `0.3.0` or `0.3.0-rc-2026-01-01`.
fn is_after_0_2(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(0)), Some(Ok(minor))) => minor > 2,
        (Some(Ok(major)), _) => major > 0,
        _ => false,
    }
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
