//! The names that an item declares.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Ident, Item};

/// The name that an item declares in its module; a `use` is no declaration.
pub(crate) fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// A type that a module declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// The types that an item of a module declares. Those in functions are not: only their function sees
/// them. What a macro generates is not, but what it is given to declare is: `pin_project! { struct S {} }`.
pub(crate) fn types(item: &Item) -> Vec<Type> {
    let ident = match item {
        Item::Enum(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) if item.ident.is_none() => return in_tokens(item.mac.tokens.clone()),
        _ => return Vec::new(),
    };
    vec![named(ident)]
}

fn named(ident: &Ident) -> Type {
    Type {
        name: ident.to_string(),
        line: ident.span().start().line,
    }
}

fn in_tokens(tokens: TokenStream) -> Vec<Type> {
    let mut found = Vec::new();
    let mut declares = false;
    for token in tokens {
        let TokenTree::Ident(ident) = token else {
            declares = false;
            continue;
        };
        if declares {
            found.push(named(&ident));
        }
        declares = ["enum", "struct", "trait", "type", "union"]
            .iter()
            .any(|word| ident == word);
    }
    found
}
