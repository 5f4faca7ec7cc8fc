//! [`Outcome`]: what a function returned.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::items::Items;
use crate::typed::Value;

/// What a function returned. Cloning shares it between callers. It is immutable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The items of `get-items`.
    Items(Items),
    /// What a typed function returned: the `ok` of a `result`, else the result itself.
    Value(RenderedValue),
}

/// A [`Value`] with its JSON. Cloning shares it.
#[derive(Clone, Debug)]
pub struct RenderedValue(Arc<Rendered>);

#[derive(Debug)]
struct Rendered {
    value: Value,
    json: Bytes,
    /// The same bytes as they are held for callers; `None` if they did not fit. Written by the first reader.
    held: OnceLock<Option<Bytes>>,
}

impl RenderedValue {
    /// `value`, whose JSON is `json`.
    pub(crate) fn new(value: Value, json: Bytes) -> Self {
        Self(Arc::new(Rendered {
            value,
            json,
            held: OnceLock::new(),
        }))
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// Its JSON, in UTF-8.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.0.json
    }
}

/// Equal if the values are.
impl PartialEq for RenderedValue {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Eq for RenderedValue {}

impl Outcome {
    /// The items, if the function was `get-items`.
    #[must_use]
    pub fn items(&self) -> Option<&Items> {
        match self {
            Self::Items(items) => Some(items),
            Self::Value(_) => None,
        }
    }

    /// The value, if the function was a typed one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Items(_) => None,
            Self::Value(value) => Some(value.value()),
        }
    }

    /// The outcome as JSON in UTF-8: rendered for the first caller, and shared as bytes by the others.
    #[must_use]
    pub fn json(&self) -> Bytes {
        match self {
            Self::Items(items) => items.json(),
            Self::Value(value) => value.0.json.clone(),
        }
    }

    /// The same JSON, as what `hold` makes of it for all callers; `None` if it refuses. See [`Items::json_held`].
    #[must_use]
    pub(crate) fn json_held(&self, hold: impl FnOnce(Bytes) -> Option<Bytes>) -> Option<Bytes> {
        match self {
            Self::Items(items) => items.json_held(hold),
            Self::Value(value) => {
                let Rendered { json, held, .. } = &*value.0;
                held.get_or_init(|| hold(json.clone())).clone()
            }
        }
    }

    /// Whether both are one outcome in memory, and not merely equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Items(one), Self::Items(other)) => one.is_same(other),
            (Self::Value(one), Self::Value(other)) => Arc::ptr_eq(&one.0, &other.0),
            _ => false,
        }
    }
}

impl From<Items> for Outcome {
    fn from(items: Items) -> Self {
        Self::Items(items)
    }
}

impl From<RenderedValue> for Outcome {
    fn from(value: RenderedValue) -> Self {
        Self::Value(value)
    }
}
