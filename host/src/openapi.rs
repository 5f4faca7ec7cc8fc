//! OpenAPI 3.1 of the clients: `/v1/openapi.json`.
//!
//! The paths of a client follow from its functions and settings, so they are rendered once for each load of it.

use serde_json::{Map, Value, json};

use crate::model::{CallSharing, ClientError, Functions, TypedFunction};
use crate::settings::{ErrorValues, Settings};
use crate::typed::{PartDocs, SchemaOf, ValueType, json_schema, object};

/// The paths of one client, as the members of a JSON object without its braces; empty if it has no functions.
pub(crate) fn paths_of(functions: &Functions, settings: &Settings) -> String {
    let mut paths = Map::new();
    if functions.has_items() {
        paths.insert(format!("/v1/{}/items", settings.name), items(settings));
    }
    for function in functions.typed() {
        let name = function.name();
        let is_unique = functions.find(None, name).is_ok();
        // With items, the path of that name is the one of the keys.
        let is_plain = is_unique && !(name == "items" && functions.has_items());
        let interface = function.interface().filter(|_| !is_plain);
        let interface = interface.map_or_else(String::new, |of| format!("{of}/"));
        let path = format!("/v1/{}/{interface}{name}", settings.name);
        paths.insert(path, path_item(function, settings));
    }
    let object = Value::Object(paths).to_string();
    object[1..object.len() - 1].to_owned()
}

/// The document with the paths of all clients, as [`paths_of`] renders them.
pub(crate) fn document<'a>(clients: impl Iterator<Item = &'a str>) -> String {
    let about = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "oneflight",
            "description": "Callers that request the same thing at the same time share one call.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "components": { "schemas": { "problem": problem() } },
        "paths": {},
    });
    let about = about.to_string();
    let paths: Vec<_> = clients.filter(|paths| !paths.is_empty()).collect();
    // `paths` is the last member, and empty.
    let head = about.strip_suffix("{}}").unwrap_or(&about);
    format!("{head}{{{}}}}}", paths.join(","))
}

fn items(settings: &Settings) -> Value {
    let item = json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "body": {} },
        "required": ["id", "body"],
    });
    let key = json!({
        "name": "x",
        "in": "query",
        "required": true,
        "description": "The key.",
        "schema": { "type": "string" },
    });
    json!({
        "get": {
            "operationId": operation_id(&[&settings.name, "items"]),
            "summary": "The items of a key.",
            "tags": [settings.name],
            "parameters": [key],
            "responses": responses(&json!({ "type": "array", "items": item }), None),
        }
    })
}

fn path_item(function: &TypedFunction, settings: &Settings) -> Value {
    let (signature, docs) = (function.signature(), function.docs());
    let of = SchemaOf::Answer(settings.wide_integers);
    let (answer, err) = match signature.result.as_deref() {
        Some(ValueType::Result(ok, err)) => {
            let ok = ok
                .as_deref()
                .map(|ok| json_schema(ok, docs.result.of(0), of));
            let err = err
                .as_deref()
                .map(|err| json_schema(err, docs.result.of(1), of));
            (ok, err)
        }
        Some(ty) => (Some(json_schema(ty, &docs.result, of)), None),
        None => (None, None),
    };
    let answer = answer.unwrap_or_else(|| json!({ "type": "null" }));
    let err = err.filter(|_| settings.error_values == ErrorValues::Public);
    let responses = responses(&answer, err.as_ref());
    let parameters = || {
        let parameters = signature.parameters.iter().enumerate();
        parameters.map(|(nth, parameter)| (&*parameter.name, &parameter.ty, docs.parameter(nth)))
    };
    let interface = function.interface().unwrap_or_default();
    let operation = |method: &str| {
        let sharing = match function.sharing() {
            CallSharing::Shared => "Callers with equal arguments share one call.",
            CallSharing::PerCaller => "Each caller has a call of its own.",
        };
        let description = match &docs.text {
            Some(text) => format!("{text}\n\n{sharing}"),
            None => sharing.to_owned(),
        };
        json!({
            "operationId": operation_id(&[&settings.name, interface, function.name(), method]),
            "summary": format!("{function}: {signature}"),
            "description": description,
            "tags": [settings.name],
        })
    };
    let mut post = operation("post");
    post["requestBody"] = json!({
        "required": true,
        "content": {
            "application/json": { "schema": object(parameters(), SchemaOf::Argument) },
        },
    });
    post["responses"] = responses.clone();
    let mut item = json!({ "post": post });
    if function.sharing() == CallSharing::Shared {
        let mut get = operation("get");
        let in_query: Vec<_> = parameters()
            .map(|(name, ty, docs)| query(name, ty, docs))
            .collect();
        get["parameters"] = in_query.into();
        get["responses"] = responses;
        item["get"] = get;
    }
    item
}

/// A parameter of a query: its text where JSON has a string or a number, else JSON.
fn query(name: &str, ty: &ValueType, docs: &PartDocs) -> Value {
    let (content, of_content, required) = match ty {
        ValueType::Option(inner) => (&**inner, docs.ty.of(0), false),
        ty => (ty, &docs.ty, true),
    };
    let schema = json_schema(content, of_content, SchemaOf::Argument);
    let is_text = matches!(
        content,
        ValueType::Bool
            | ValueType::S8
            | ValueType::U8
            | ValueType::S16
            | ValueType::U16
            | ValueType::S32
            | ValueType::U32
            | ValueType::Char
            | ValueType::String
            | ValueType::Enum(_)
    );
    let mut parameter = json!({ "name": name, "in": "query", "required": required });
    if let Some(text) = docs.ty.text.as_ref().or(of_content.text.as_ref()) {
        parameter["description"] = (&**text).into();
    }
    if is_text {
        parameter["schema"] = schema;
    } else {
        parameter["content"] = json!({ "application/json": { "schema": schema } });
    }
    parameter
}

fn responses(answer: &Value, err: Option<&Value>) -> Value {
    let problem = json!({ "$ref": "#/components/schemas/problem" });
    let problem = match err {
        None => problem,
        Some(err) => json!({ "allOf": [problem, { "properties": { "err": err } }] }),
    };
    json!({
        "200": {
            "description": "The answer.",
            "content": { "application/json": { "schema": answer } },
        },
        "default": {
            "description": "There is no answer: code says why.",
            "content": { "application/problem+json": { "schema": problem } },
        },
    })
}

/// RFC 9457, with the members that this service adds.
fn problem() -> Value {
    let codes = [
        "bad-request",
        "unknown-client",
        "key-too-long",
        "arguments-too-long",
        "caller-deadline",
    ];
    let codes: Vec<_> = ClientError::CODES.iter().chain(&codes).collect();
    json!({
        "type": "object",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "enum": codes },
            "detail": { "type": "string" },
            "err": {},
        },
        "required": ["title", "status", "code", "detail"],
    })
}

/// A name for generators of code: letters, digits and underscores.
fn operation_id(parts: &[&str]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect();
    let letter = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '_'
        }
    };
    parts.join("_").chars().map(letter).collect()
}
