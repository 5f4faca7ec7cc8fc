//! Calls with arguments and answers of Rust types, by serde.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Stack;
use crate::client::{Client, Execute};
use crate::model::{Call, ClientError, Function, UnknownFunction};
use crate::typed::{ArgumentError, ArgumentProblem};

impl<E: Execute> Stack<E> {
    /// Calls `function` with `arguments`, and returns its answer: the `ok` of a `result`, else the result itself.
    ///
    /// `function` is its name, with that of its interface if it is needed: `get-order`, or
    /// `acme:orders/orders#get-order`. `arguments` serialize as an object that names them, and both sides have the form
    /// that JSON has ([`typed`](crate::typed)): records are structs, variants are enums in `kebab-case`, and bytes are
    /// base64.
    ///
    /// # Errors
    ///
    /// [`TypedCallError::Client`] if there is no answer; the `err` of a `result` is in its
    /// [`FunctionError`](crate::model::FunctionError). The other errors are about types that do not match.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight, as that of [`Client::call`] does.
    pub async fn call_typed<T: DeserializeOwned>(
        &self,
        function: &str,
        arguments: &(impl Serialize + Sync),
    ) -> Result<T, TypedCallError> {
        let function = self.functions().named(function);
        let Function::Typed(function) = function.map_err(TypedCallError::Function)? else {
            return Err(TypedCallError::Client(ClientError::UnknownFunction));
        };
        let json = serde_json::to_vec(arguments).map_err(|error| {
            let problem = ArgumentProblem::Syntax(error.to_string());
            TypedCallError::Arguments(ArgumentError {
                path: String::new(),
                problem,
            })
        })?;
        let call = Call::from_json(&function, &json).map_err(TypedCallError::Arguments)?;
        let outcome = self.call(call.into()).await.result;
        let outcome = outcome.map_err(TypedCallError::Client)?;
        let value = outcome
            .value()
            .ok_or(TypedCallError::Client(ClientError::Internal))?;
        value.to().map_err(TypedCallError::Answer)
    }
}

/// Why a call with Rust types has no answer.
#[derive(Debug)]
pub enum TypedCallError {
    /// The name stands for no function, or for several.
    Function(UnknownFunction),
    /// The arguments are not those of the function.
    Arguments(ArgumentError),
    /// The call failed.
    Client(ClientError),
    /// The answer is not of the type that was expected.
    Answer(serde_json::Error),
}

impl fmt::Display for TypedCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(error) => error.fmt(f),
            Self::Arguments(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Answer(error) => write!(f, "expected an answer of another type: {error}"),
        }
    }
}

impl std::error::Error for TypedCallError {}
