//! The comments of the functions of a component, once the package has been compared with it.

use std::collections::BTreeSet;

use wit_parser::Function;

use super::Wit;
use super::types::{DocsBudget, TypeReader};
use crate::printable::bounded;
use crate::typed::{FunctionDocs, Signature, TypeBudget};

/// How a package differs from a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitDifference {
    /// It has none of the component's functions.
    NoFunction,
    /// A function is other than that of the component.
    Function {
        /// Its name.
        name: String,
        /// What the package has.
        wit: String,
        /// What the component has.
        component: String,
    },
}

const NO_SUCH_FUNCTION: &str = "no such function";

/// A function of a component that can be called.
pub(crate) struct CallableFunction<'a> {
    pub(crate) interface: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) signature: &'a Signature,
}

impl CallableFunction<'_> {
    fn differs(&self, wit: String, component: String) -> WitDifference {
        let name = match self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.to_owned(),
        };
        WitDifference::Function {
            name: bounded(name),
            wit,
            component,
        }
    }
}

impl Wit {
    /// The comments of `functions`, in their order, which are those of a component that can be called. Functions of
    /// interfaces that the package does not have, have none. `exports` says whether an interface of the component has a
    /// function.
    pub(crate) fn docs_of(
        &self,
        functions: &[CallableFunction<'_>],
        exports: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<FunctionDocs>, WitDifference> {
        let (mut budget, mut docs) = (TypeBudget::default(), DocsBudget::default());
        let mut documented = BTreeSet::new();
        let mut all = Vec::with_capacity(functions.len());
        for function in functions {
            let candidates = self.functions(function.interface, function.name);
            if !candidates.is_empty() {
                documented.insert(function.interface);
                all.push(self.docs(function, &candidates, &mut budget, &mut docs)?);
                continue;
            }
            if function
                .interface
                .is_some_and(|interface| !self.interfaces(interface).is_empty())
            {
                let component = bounded(function.signature);
                return Err(function.differs(NO_SUCH_FUNCTION.to_owned(), component));
            }
            all.push(FunctionDocs::default());
        }
        if documented.is_empty() {
            return Err(WitDifference::NoFunction);
        }
        for interface in documented.into_iter().flatten() {
            for id in self.interfaces(interface) {
                let functions = &self.resolve.interfaces[id].functions;
                if let Some(name) = functions.keys().find(|name| !exports(interface, name)) {
                    return Err(WitDifference::Function {
                        name: bounded(format_args!("{interface}#{name}")),
                        wit: "such a function".to_owned(),
                        component: NO_SUCH_FUNCTION.to_owned(),
                    });
                }
            }
        }
        if docs.is_exceeded {
            tracing::warn!(
                "the documentation comments of the client exceed 256 KiB; the others are left out"
            );
        }
        Ok(all)
    }

    /// The comments of that one of `candidates` which has the types of `function`.
    fn docs(
        &self,
        function: &CallableFunction<'_>,
        candidates: &[&Function],
        budget: &mut TypeBudget,
        docs: &mut DocsBudget,
    ) -> Result<FunctionDocs, WitDifference> {
        let mut other = None;
        for candidate in candidates {
            let resolve = &self.resolve;
            let read = budget.or_return(|budget| {
                TypeReader {
                    resolve,
                    budget,
                    docs,
                }
                .function(candidate)
            });
            let found = match read {
                Ok((signature, docs)) if signature == *function.signature => return Ok(docs),
                Ok((signature, _)) => bounded(signature),
                Err(reason) => format!("a function of which {reason}"),
            };
            other.get_or_insert(found);
        }
        let component = bounded(function.signature);
        Err(function.differs(other.unwrap_or_default(), component))
    }
}
