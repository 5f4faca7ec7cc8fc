//! The imports that the host provides.
//!
//! Those of wasi:http with which a guest gives the host something to hold are linked once more, around the implementation
//! of `wasmtime-wasi-http`: afterwards what the host holds is measured, and the guest traps if that is too much. All other
//! functions move or release what the host holds, which is measured when it matters, or add a resource without content, which counts from the start of the
//! instance ([`bytes_beside_memory`](super::memory::bytes_beside_memory)).

use wasmtime::component::{ComponentNamedList, Lift, Linker, Lower, Resource};
use wasmtime::{Engine as Wasmtime, StoreContextMut, bail};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HeaderError, Host as _, HostFields as _, HostOutgoingRequest as _, Method, Scheme,
};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p2::{HeaderResult, HttpResult};
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiHttpCtxView, WasiHttpView};

use super::fetch;
use super::store::StoreState;

const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

type FieldsHandle = Resource<FieldMap>;
type RequestHandle = Resource<HostOutgoingRequest>;

/// The imports that the host provides: WASI 0.2 with wasi:http, and `oneflight:client/fetch`.
///
/// WASI is linked completely, since nearly every guest's toolchain imports all of it. The interfaces that would
/// reach outside (files, sockets, arguments, standard input) are empty.
pub(super) fn linker(engine: &Wasmtime) -> Linker<StoreState> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
        .and_then(|()| count_what_is_held(&mut linker))
        .and_then(|()| fetch::link(&mut linker))
        .expect("each name is defined once, and replaced if it is defined");
    linker
}

/// Replaces functions in `linker`, which has those of `wasmtime-wasi-http`.
fn count_what_is_held(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    replace(
        linker,
        (TYPES, "[static]fields.from-list"),
        |http, (entries,): (Vec<(String, Vec<u8>)>,)| {
            let fields = http.from_list(entries);
            header(http, fields)
        },
    )?;
    replace(
        linker,
        (TYPES, "[method]fields.set"),
        |http, (fields, name, values): (FieldsHandle, String, Vec<Vec<u8>>)| {
            let set = http.set(fields, name, values);
            header(http, set)
        },
    )?;
    replace(
        linker,
        (TYPES, "[method]fields.append"),
        |http, (fields, name, value): (FieldsHandle, String, Vec<u8>)| {
            let appended = http.append(fields, name, value);
            header(http, appended)
        },
    )?;
    replace(
        linker,
        (TYPES, "[method]outgoing-request.set-method"),
        |http, (request, method): (RequestHandle, Method)| http.set_method(request, method),
    )?;
    replace(
        linker,
        (TYPES, "[method]outgoing-request.set-path-with-query"),
        |http, (request, path): (RequestHandle, Option<String>)| {
            http.set_path_with_query(request, path)
        },
    )?;
    replace(
        linker,
        (TYPES, "[method]outgoing-request.set-scheme"),
        |http, (request, scheme): (RequestHandle, Option<Scheme>)| http.set_scheme(request, scheme),
    )?;
    replace(
        linker,
        (TYPES, "[method]outgoing-request.set-authority"),
        |http, (request, authority): (RequestHandle, Option<String>)| {
            http.set_authority(request, authority)
        },
    )?;
    replace(
        linker,
        (TYPES, "[method]outgoing-request.body"),
        |http, (request,): (RequestHandle,)| http.body(request),
    )?;
    replace(
        linker,
        (HANDLER, "handle"),
        |http, (request, options): (RequestHandle, Option<Resource<RequestOptions>>)| {
            let sent = http.handle(request, options);
            response(http, sent)
        },
    )
}

/// Replaces the function of this interface and name by `call`, followed by a measurement. Fails if there is no such
/// function: the guest would import another one, which is not counted.
fn replace<P, R>(
    linker: &mut Linker<StoreState>,
    (interface, name): (&str, &str),
    call: impl Fn(&mut WasiHttpCtxView<'_>, P) -> wasmtime::Result<R> + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + 'static,
    R: 'static,
    (R,): ComponentNamedList + Lower,
{
    let counted = move |mut store: StoreContextMut<'_, StoreState>, parameters: P| {
        let state = store.data_mut();
        let result = call(&mut state.http(), parameters)?;
        state.measure()?;
        Ok((result,))
    };
    if linker.instance(interface)?.func_wrap(name, counted).is_ok() {
        bail!("expected {interface}#{name} among the imports that are linked, got none");
    }
    linker.allow_shadowing(true);
    let replaced = linker.instance(interface)?.func_wrap(name, counted);
    linker.allow_shadowing(false);
    replaced
}

/// The result of a function of header fields: a trap, or what the guest gets.
fn header<T>(
    http: &mut WasiHttpCtxView<'_>,
    result: HeaderResult<T>,
) -> wasmtime::Result<Result<T, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => http.convert_header_error(error).map(Err),
    }
}

fn response(
    http: &mut WasiHttpCtxView<'_>,
    result: HttpResult<Resource<HostFutureIncomingResponse>>,
) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => http.convert_error_code(error).map(Err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_linked_is_not_replaced() {
        let mut linker = linker(&Wasmtime::default());
        let no_function = (TYPES, "[method]outgoing-request.set-nothing");
        let replaced = replace(
            &mut linker,
            no_function,
            |http, (request,): (RequestHandle,)| http.body(request),
        );
        let expected = "expected wasi:http/types@0.2.12#[method]outgoing-request.set-nothing among the imports that are \
                        linked, got none";
        assert_eq!(replaced.unwrap_err().to_string(), expected);
    }
}
