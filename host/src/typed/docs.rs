//! [`FunctionDocs`]: the documentation comments of a function and of its types.
//!
//! They are beside the types and not in them: types are equal whatever their comments are.

/// The documentation comments of a function and of its types. The texts are escaped and limited where they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionDocs {
    /// The comment of the function.
    pub text: Option<Box<str>>,
    /// Those of the types of its parameters, in their order; empty if there are none. WIT has none of parameters themselves.
    pub(crate) parameters: Vec<PartDocs>,
    /// Those of the type of its result.
    pub(crate) result: TypeDocs,
}

/// The documentation comments of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeDocs {
    /// The comment of the type itself.
    pub(crate) text: Option<Box<str>>,
    /// Those of its parts in the order of the type: fields, cases, names, elements, or ok and err; empty if there are
    /// none.
    pub(crate) parts: Vec<PartDocs>,
}

/// The documentation comments of a part of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartDocs {
    /// The comment of the part, such as a field.
    pub(crate) text: Option<Box<str>>,
    /// Those of its type.
    pub(crate) ty: TypeDocs,
}

/// Of what has no comments.
static NO_DOCS: PartDocs = PartDocs {
    text: None,
    ty: TypeDocs {
        text: None,
        parts: Vec::new(),
    },
};

impl FunctionDocs {
    /// Those of the `nth` parameter.
    pub(crate) fn parameter(&self, nth: usize) -> &PartDocs {
        self.parameters.get(nth).unwrap_or(&NO_DOCS)
    }
}

impl TypeDocs {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_none() && self.parts.is_empty()
    }

    /// Those of the `nth` part.
    pub(crate) fn part(&self, nth: usize) -> &PartDocs {
        self.parts.get(nth).unwrap_or(&NO_DOCS)
    }

    /// Those of the type of the `nth` part.
    pub(crate) fn of(&self, nth: usize) -> &Self {
        &self.part(nth).ty
    }
}

impl PartDocs {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_none() && self.ty.is_empty()
    }

    /// The comment of the part, then that of its type.
    pub(crate) fn texts(&self) -> Option<String> {
        let texts = [&self.text, &self.ty.text].into_iter().flatten();
        let texts: Vec<_> = texts.map(|text| &**text).collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }
}
