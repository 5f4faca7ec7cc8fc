//! The paths in one item: in its `use` declarations, types, expressions, patterns, and in the tokens of
//! macros and attributes, as far as a path can be recognised there.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Meta, UseTree};

use crate::attributes::{attributes, is_shared, is_test};

/// A path as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// A leaf of a `use` declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Reference,
    pub(crate) binding: Binding,
    /// Whether other modules may name it by this module's path.
    pub(crate) reexported: bool,
}

/// The name that an import gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    Name(String),
    /// `*`: every name of the module that the path names.
    Glob,
    /// `as _`
    Unnamed,
}

/// Adds the paths of `item`, without those behind `cfg(test)`.
pub(crate) fn collect(item: &Item, imports: &mut Vec<Import>, references: &mut Vec<Reference>) {
    Collector {
        imports,
        references,
    }
    .visit_item(item);
}

struct Collector<'c> {
    imports: &'c mut Vec<Import>,
    references: &'c mut Vec<Reference>,
}

impl Collector<'_> {
    fn add_tree(&mut self, mut prefix: Vec<String>, tree: &UseTree, reexported: bool) {
        let (last, line, binding) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                return self.add_tree(prefix, &path.tree, reexported);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(prefix.clone(), tree, reexported);
                }
                return;
            }
            UseTree::Glob(glob) => (None, glob.star_token.span.start().line, Binding::Glob),
            UseTree::Name(name) => (
                Some(name.ident.to_string()),
                name.ident.span().start().line,
                Binding::Name(name.ident.to_string()),
            ),
            UseTree::Rename(rename) => (
                Some(rename.ident.to_string()),
                rename.ident.span().start().line,
                match rename.rename.to_string() {
                    name if name == "_" => Binding::Unnamed,
                    name => Binding::Name(name),
                },
            ),
        };
        // `use a::b::{self}` names `a::b`.
        let (last, binding) = match (last, binding) {
            (Some(last), Binding::Name(name)) if last == "self" && !prefix.is_empty() => {
                let named = if name == "self" {
                    prefix.last().cloned().unwrap_or_default()
                } else {
                    name
                };
                (None, Binding::Name(named))
            }
            other => other,
        };
        prefix.extend(last);
        self.imports.push(Import {
            path: Reference {
                segments: prefix,
                line,
            },
            binding,
            reexported,
        });
    }

    fn add_tokens(&mut self, tokens: TokenStream, shortest: usize) {
        for path in paths(tokens) {
            if path.segments.len() >= shortest {
                self.references.push(path);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `use ::name` is another crate's, whatever this one declares.
        if item.leading_colon.is_none() {
            self.add_tree(Vec::new(), &item.tree, is_shared(&item.vis));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            self.references.push(Reference {
                segments: path.segments.iter().map(|s| s.ident.to_string()).collect(),
                line: first.ident.span().start().line,
            });
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // A single name in an attribute is the attribute's own word, not a path.
        match &attribute.meta {
            Meta::List(list) if !list.path.is_ident("cfg") => {
                self.add_tokens(list.tokens.clone(), 2)
            }
            _ => {}
        }
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.add_tokens(item.tokens.clone(), 1);
    }
}

/// Everything that has the form of a path in tokens: names with `::` between them that follow neither a dot, nor a
/// `'`, nor another `::`, and are not the name of a field.
fn paths(tokens: TokenStream) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut open: Option<Reference> = None;
    let mut colons = 0;
    // Whether the next name belongs to what stands before it.
    let mut attached = false;
    // Whether the last token was the first dot of `..`.
    let mut range = false;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                colons += 1;
                attached = colons == 2 && open.is_none();
            }
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                match &mut open {
                    Some(path) if colons == 2 => path.segments.push(name),
                    _ => {
                        finish(&mut open, colons, &mut found);
                        if !attached {
                            open = Some(Reference {
                                segments: vec![name],
                                line: ident.span().start().line,
                            });
                        }
                    }
                }
                (colons, attached) = (0, false);
            }
            TokenTree::Punct(punct) => {
                finish(&mut open, colons, &mut found);
                colons = 0;
                let dot = punct.as_char() == '.';
                let joint = punct.spacing() == Spacing::Joint;
                attached = punct.as_char() == '\'' || dot && !joint && !range;
                range = dot && joint;
            }
            TokenTree::Group(group) => {
                finish(&mut open, colons, &mut found);
                (colons, attached) = (0, false);
                found.extend(paths(group.stream()));
            }
            TokenTree::Literal(_) => {
                finish(&mut open, colons, &mut found);
                (colons, attached) = (0, false);
            }
        }
    }
    finish(&mut open, colons, &mut found);
    found
}

/// Closes a path. A name before a single colon is a field's.
fn finish(open: &mut Option<Reference>, colons: usize, found: &mut Vec<Reference>) {
    if let Some(path) = open.take()
        && !(colons == 1 && path.segments.len() == 1)
    {
        found.push(path);
    }
}
