//! [`Outcome`]: what a function returned.

use bytes::Bytes;

use super::items::Items;

/// What a function returned. Cloning shares it between callers. It is immutable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The items of `get-items`.
    Items(Items),
}

impl Outcome {
    /// The items, if the function was `get-items`.
    #[must_use]
    pub fn items(&self) -> Option<&Items> {
        match self {
            Self::Items(items) => Some(items),
        }
    }

    /// The outcome as JSON in UTF-8: rendered for the first caller, and shared as bytes by the others.
    #[must_use]
    pub fn json(&self) -> Bytes {
        match self {
            Self::Items(items) => items.json(),
        }
    }

    /// The same JSON, as what `hold` makes of it for all callers; `None` if it refuses. See [`Items::json_held`].
    #[must_use]
    pub(crate) fn json_held(&self, hold: impl FnOnce(Bytes) -> Option<Bytes>) -> Option<Bytes> {
        match self {
            Self::Items(items) => items.json_held(hold),
        }
    }

    /// Whether both are one outcome in memory, and not merely equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Items(one), Self::Items(other)) => one.is_same(other),
        }
    }
}

impl From<Items> for Outcome {
    fn from(items: Items) -> Self {
        Self::Items(items)
    }
}
