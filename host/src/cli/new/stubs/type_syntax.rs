//! [`TypeSyntax`]: how a language writes the types of WIT.

use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId};

/// How a language writes the types of WIT.
pub(super) trait TypeSyntax {
    fn resolve(&self) -> &Resolve;

    /// A type that is not defined in WIT.
    fn simple(&self, ty: Type) -> &'static str;

    /// A type by the name that it has in WIT, unless the language has what it stands for.
    fn named(&self, id: TypeId) -> Option<String>;

    fn bytes(&self) -> String;
    fn list(&self, element: String) -> String;
    /// `is_nested` if there is an option in it.
    fn option(&self, inner: String, is_nested: bool) -> String;
    fn result(&self, ok: Option<String>, err: Option<String>) -> String;
    fn tuple(&self, parts: Vec<String>) -> String;

    /// The text of a type.
    fn text(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else {
            return self.simple(*ty).to_owned();
        };
        self.named(*id).unwrap_or_else(|| self.expanded(*id))
    }

    /// The text of what a type stands for.
    fn expanded(&self, id: TypeId) -> String {
        let of = |ty: &Option<Type>| ty.as_ref().map(|ty| self.text(ty));
        match &self.resolve().types[id].kind {
            TypeDefKind::Type(ty) => self.text(ty),
            TypeDefKind::List(element) if is_byte(self.resolve(), element) => self.bytes(),
            TypeDefKind::List(element) => self.list(self.text(element)),
            TypeDefKind::Option(inner) => {
                self.option(self.text(inner), is_option(self.resolve(), inner))
            }
            TypeDefKind::Result(result) => self.result(of(&result.ok), of(&result.err)),
            TypeDefKind::Tuple(tuple) => {
                self.tuple(tuple.types.iter().map(|ty| self.text(ty)).collect())
            }
            // They have names.
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            // They are refused; those of WASI are not written.
            | TypeDefKind::FixedLengthList(..)
            | TypeDefKind::Map(..)
            | TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => self.simple(Type::ErrorContext).to_owned(),
        }
    }
}

/// Whether a type has parts with names, and so a name of its own in every language.
pub(super) fn has_parts(kind: &TypeDefKind) -> bool {
    matches!(
        kind,
        TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
    )
}

/// The type that an alias stands for, if it is not one of another kind.
pub(super) fn original(resolve: &Resolve, id: TypeId) -> TypeId {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(other)) => original(resolve, other),
        _ => id,
    }
}

fn is_byte(resolve: &Resolve, ty: &Type) -> bool {
    match ty {
        Type::U8 => true,
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(ty) => is_byte(resolve, ty),
            _ => false,
        },
        _ => false,
    }
}

fn is_option(resolve: &Resolve, ty: &Type) -> bool {
    let Type::Id(id) = ty else { return false };
    matches!(
        resolve.types[original(resolve, *id)].kind,
        TypeDefKind::Option(_)
    )
}

/// What callers get: the type of `ok` where the result is a `result`, else the result.
pub(super) fn answer<'a>(resolve: &'a Resolve, function: &'a Function) -> Option<&'a Type> {
    let ty = function.result.as_ref()?;
    if let Type::Id(id) = ty
        && let TypeDefKind::Result(result) = &resolve.types[original(resolve, *id)].kind
    {
        return result.ok.as_ref();
    }
    Some(ty)
}

/// Whether the result of a function is a `result`.
pub(super) fn can_fail(resolve: &Resolve, function: &Function) -> bool {
    let Some(Type::Id(id)) = &function.result else {
        return false;
    };
    matches!(
        resolve.types[original(resolve, *id)].kind,
        TypeDefKind::Result(_)
    )
}
