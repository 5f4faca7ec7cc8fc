//! [`Functions`]: what callers of one load of a component can call.

use std::fmt;
use std::sync::Arc;

use super::call::Call;
use super::function::{Function, TypedFunction};
use crate::printable::bounded;
use crate::typed::ArgumentError;

/// The functions of one load of a component.
#[derive(Debug)]
pub struct Functions {
    items: Option<&'static str>,
    typed: Box<[Arc<TypedFunction>]>,
}

/// A name that stands for no function, or for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFunction {
    /// The names that are meant by it, if there are several; else all that there are, with commas between them.
    pub known: String,
    /// How many functions are meant by it.
    pub matches: usize,
}

impl Functions {
    /// The name of the interface that is called by its key.
    pub const ITEMS: &'static str = "oneflight:client/items@0.1.0";

    /// `get-items` and no other function.
    #[must_use]
    pub fn only_items() -> Self {
        Self::new(true, [])
    }

    /// These typed functions, and `get-items` if the component `has_items`.
    pub(crate) fn new(
        has_items: bool,
        typed: impl IntoIterator<Item = Arc<TypedFunction>>,
    ) -> Self {
        Self {
            items: has_items.then_some(Self::ITEMS),
            typed: typed.into_iter().collect(),
        }
    }

    /// Whether `get-items` is one of them.
    #[must_use]
    pub fn has_items(&self) -> bool {
        self.items.is_some()
    }

    /// The typed ones.
    #[must_use]
    pub fn typed(&self) -> &[Arc<TypedFunction>] {
        &self.typed
    }

    /// The function `name` of `interface`, which may be without its version (`acme:orders/orders`), only the last part of
    /// its name (`orders`), or `None` for any.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one.
    pub fn find(&self, interface: Option<&str>, name: &str) -> Result<Function, UnknownFunction> {
        let is_meant = |of: Option<&str>, function: &str| {
            function == name && interface.is_none_or(|wanted| of.is_some_and(|of| is(of, wanted)))
        };
        let items = self.items.filter(|of| is_meant(Some(of), "get-items"));
        let typed = self
            .typed
            .iter()
            .filter(|function| is_meant(function.interface(), function.name()));
        let mut found: Vec<_> = items.map(|_| Function::GetItems).into_iter().collect();
        found.extend(typed.cloned().map(Function::Typed));
        match (found.pop(), found.len()) {
            (Some(function), 0) => Ok(function),
            (Some(last), others) => {
                found.push(last);
                let names: Vec<_> = found.iter().map(Self::name_of).collect();
                Err(UnknownFunction {
                    known: bounded(names.join(", ")),
                    matches: others + 1,
                })
            }
            (None, _) => Err(UnknownFunction {
                known: bounded(self.names().join(", ")),
                matches: 0,
            }),
        }
    }

    /// The function of this name, `[interface#]function`.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one.
    pub fn named(&self, name: &str) -> Result<Function, UnknownFunction> {
        match name.rsplit_once('#') {
            Some((interface, name)) => self.find(Some(interface.trim()), name.trim()),
            None => self.find(None, name.trim()),
        }
    }

    /// The call that `text` writes, `[interface#]function(arguments)` with the arguments as WAVE:
    /// `get-order("42", some(eu))`.
    ///
    /// # Errors
    ///
    /// If it names no function, or its arguments are not those of the function.
    pub fn call(&self, text: &str) -> Result<Call, NamedCallError> {
        let open = text.find('(').ok_or(NamedCallError::NoArguments)?;
        let (name, arguments) = text.split_at(open);
        let function = self.named(name);
        let function = function.map_err(NamedCallError::Function)?;
        Call::from_wave(&function, arguments.trim()).map_err(|error| NamedCallError::Arguments {
            function: match &function {
                Function::GetItems => Self::name_of(&function),
                Function::Typed(typed) => bounded(format_args!("{typed}: {}", typed.signature())),
            },
            error,
        })
    }

    /// Their names with those of their interfaces.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let items = self.has_items().then(|| Self::name_of(&Function::GetItems));
        let typed = self.typed.iter().map(ToString::to_string);
        items.into_iter().chain(typed).collect()
    }

    fn name_of(function: &Function) -> String {
        match function {
            Function::GetItems => format!("{}#get-items", Self::ITEMS),
            Function::Typed(function) => function.to_string(),
        }
    }
}

/// Why a text is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedCallError {
    /// It has no arguments in parentheses.
    NoArguments,
    /// It names no function, or several.
    Function(UnknownFunction),
    /// The arguments are not those of the function.
    Arguments {
        /// The function and its signature.
        function: String,
        /// What is wrong with them.
        error: ArgumentError,
    },
}

impl fmt::Display for NamedCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArguments => f.write_str(
                "expected a call as WAVE, as in get-order(\"42\"), got no arguments; add them in parentheses",
            ),
            Self::Function(error) => error.fmt(f),
            Self::Arguments { function, error } => write!(f, "{function}: {error}"),
        }
    }
}

impl std::error::Error for NamedCallError {}

/// Whether `wanted` names the interface `of`.
fn is(of: &str, wanted: &str) -> bool {
    let without_version = of.split('@').next().unwrap_or(of);
    let last = without_version.rsplit('/').next();
    wanted == of || wanted == without_version || Some(wanted) == last
}

impl fmt::Display for UnknownFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known, matches } = self;
        match (matches, &**known) {
            (0, "") => f.write_str("the client has no functions"),
            (0, known) => write!(f, "expected one of {known}, got another name"),
            (_, known) => write!(
                f,
                "expected the name of one function, got that of {known}; add its interface"
            ),
        }
    }
}

impl std::error::Error for UnknownFunction {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallSharing;
    use crate::typed::Signature;

    #[test]
    fn a_function_is_found_by_its_name_and_as_much_of_its_interface_as_is_needed() {
        let names = [
            (Some("acme:orders/orders@1.0.0"), "get"),
            (Some("acme:stock/stock"), "get"),
            (Some("acme:stock/stock"), "list"),
            (None, "list-all"),
        ];
        let typed = names.iter().enumerate().map(|(nth, (interface, name))| {
            let signature = Signature {
                parameters: [].into(),
                result: None,
            };
            let sharing = CallSharing::PerCaller;
            Arc::new(TypedFunction::new(
                nth, *interface, name, signature, sharing, 0,
            ))
        });
        let functions = Functions::new(true, typed);
        let found = |interface, name| match functions.find(interface, name) {
            Ok(Function::Typed(function)) => Ok(function.to_string()),
            Ok(function) => Ok(function.name().to_owned()),
            Err(error) => Err(error.matches),
        };
        for (interface, name, expected) in [
            (None, "list", Ok("acme:stock/stock#list")),
            (None, "list-all", Ok("list-all")),
            (Some("stock"), "get", Ok("acme:stock/stock#get")),
            (
                Some("acme:orders/orders"),
                "get",
                Ok("acme:orders/orders@1.0.0#get"),
            ),
            (
                Some("acme:orders/orders@1.0.0"),
                "get",
                Ok("acme:orders/orders@1.0.0#get"),
            ),
            (Some("acme:orders/orders@2.0.0"), "get", Err(0)),
            (None, "get-items", Ok("get-items")),
            (Some("items"), "get-items", Ok("get-items")),
            (None, "get", Err(2)),
            (None, "put", Err(0)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(found(interface, name), expected, "{interface:?} {name}");
        }
        let error = functions.find(None, "get").unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected the name of one function, got that of acme:orders/orders@1.0.0#get, \
             acme:stock/stock#get; add its interface"
        );
    }
}
