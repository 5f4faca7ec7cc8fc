//! The attributes and the visibility of an item: whether it is compiled for tests only, which file a module is in,
//! and whether other modules can use a name.

use syn::{Attribute, Item, Visibility};

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether something is compiled for tests alone: `cfg(test)`, or `cfg(all(test, ..))`.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let mut found = false;
        if attribute.path().is_ident("cfg") {
            // A `cfg` that fails to parse does not enable tests.
            let _ = attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("test") {
                    found = true;
                } else if meta.path.is_ident("all") {
                    meta.parse_nested_meta(|meta| {
                        found |= meta.path.is_ident("test");
                        skip(&meta)
                    })?;
                } else {
                    skip(&meta)?;
                }
                Ok(())
            });
        }
        found
    })
}

/// Passes over what follows a name in a list of attributes: `= value`, or `( .. )`.
fn skip(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Lit>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|meta| skip(&meta))?;
    }
    Ok(())
}

/// The path in `#[path = ".."]`.
pub(crate) fn explicit_path(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|a| a.path().is_ident("path"))?;
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(path),
            ..
        }) => Some(path.value()),
        _ => None,
    }
}

/// Whether a `use` of this visibility gives the name to other modules, too.
pub(crate) fn is_shared(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}
