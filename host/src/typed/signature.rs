//! [`Signature`]: the parameters and the result of a function.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::value_type::{ValueType, separated};

/// The parameters and the result of a function. [`Display`] writes it as WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters, in their order.
    pub parameters: Box<[Parameter]>,
    /// What the function returns, if it returns anything.
    pub result: Option<Arc<ValueType>>,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in WIT.
    pub name: Box<str>,
    /// Its type.
    pub ty: ValueType,
}

impl Signature {
    /// One parameter `x`, a string, as `get-items` has it.
    pub(crate) fn of_key() -> Self {
        let x = Parameter {
            name: "x".into(),
            ty: ValueType::String,
        };
        Self {
            parameters: [x].into(),
            result: None,
        }
    }

    /// What callers get: the type of `ok` where the result is a `result`, else the result.
    #[must_use]
    pub fn answer(&self) -> Option<&ValueType> {
        match self.result.as_deref() {
            Some(ValueType::Result(ok, _)) => ok.as_deref(),
            other => other,
        }
    }
}

impl Display for Signature {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        separated(f, &self.parameters, |f, Parameter { name, ty }| {
            write!(f, "{name}: {ty}")
        })?;
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}
