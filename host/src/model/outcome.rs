//! [`Outcome`]: what a function returned.

use std::fmt;
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

/// A [`Value`] with its JSON, which is rendered when it is first needed. Cloning shares it.
///
/// [`fmt::Debug`] prints its size only: an answer may be private.
#[derive(Clone)]
pub struct RenderedValue(Arc<Rendered>);

struct Rendered {
    value: Value,
    /// Written by the first reader, and the same for all that follow.
    json: OnceLock<Bytes>,
    /// The same bytes as they are held for callers; `None` if they did not fit. Written by the first reader.
    held: OnceLock<Option<Bytes>>,
}

impl RenderedValue {
    /// `value`, whose JSON is `json`.
    pub(crate) fn new(value: Value, json: Bytes) -> Self {
        Self::with(value, json.into())
    }

    /// `value`, whose JSON no limit refuses.
    pub(crate) fn unrendered(value: Value) -> Self {
        Self::with(value, OnceLock::new())
    }

    fn with(value: Value, json: OnceLock<Bytes>) -> Self {
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
        let Rendered { value, json, .. } = &*self.0;
        json.get_or_init(|| value.json(usize::MAX).unwrap_or_default())
    }
}

impl fmt::Debug for RenderedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
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
            Self::Value(value) => value.json().clone(),
        }
    }

    /// The same JSON, as what `hold` makes of it for all callers; `None` if it refuses. See [`Items::json_held`].
    #[must_use]
    pub(crate) fn json_held(&self, hold: impl FnOnce(Bytes) -> Option<Bytes>) -> Option<Bytes> {
        match self {
            Self::Items(items) => items.json_held(hold),
            Self::Value(value) => {
                let held = &value.0.held;
                held.get_or_init(|| hold(value.json().clone())).clone()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::{ValueType, WideIntegers, Writer};

    #[test]
    fn the_json_of_a_value_is_rendered_when_it_is_first_needed_and_shared() {
        let mut writer = Writer::new(100);
        writer.text(b"secret").unwrap();
        let ty = Arc::new(ValueType::String);
        let value = Value::new(Some(&ty), writer.into_bytes(), WideIntegers::Number);
        let value = RenderedValue::unrendered(value);
        assert!(value.0.json.get().is_none());
        let outcomes = [(); 2].map(|()| Outcome::from(value.clone()));
        let json = outcomes.map(|outcome| outcome.json());
        assert_eq!(json[0], "\"secret\"");
        assert_eq!(json[0].as_ptr(), json[1].as_ptr());
        assert_eq!(value.json().as_ptr(), json[0].as_ptr());
        assert!(!format!("{value:?}").contains("secret"));
    }
}
