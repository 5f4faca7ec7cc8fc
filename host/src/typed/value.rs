//! [`Value`]: what a function returned, immutable and shared.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::json_write::{WideIntegers, write_value};
use super::read::Reader;
use super::value_type::ValueType;
use super::wave_write::value_as_wave;

/// What a function returned. Cloning shares it.
///
/// [`fmt::Debug`] prints its size only: an answer may be private.
#[derive(Clone)]
pub struct Value(Arc<SharedValue>);

/// Invariant: `bytes` are the canonical bytes of a value of type `ty`; none without a type.
struct SharedValue {
    ty: Option<Arc<ValueType>>,
    bytes: Box<[u8]>,
    wide: WideIntegers,
}

impl Value {
    /// The value of type `ty` with these canonical `bytes`, whose JSON has integers as `wide` says.
    pub(crate) fn new(ty: Option<&Arc<ValueType>>, bytes: Vec<u8>, wide: WideIntegers) -> Self {
        Self(Arc::new(SharedValue {
            ty: ty.cloned(),
            bytes: bytes.into(),
            wide,
        }))
    }

    /// Its type; `None` for what a function without a result returns.
    #[must_use]
    pub fn ty(&self) -> Option<&ValueType> {
        self.0.ty.as_deref()
    }

    /// Its canonical bytes: equal for equal values of one type.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The value as a Rust type, which has the form of its JSON. Integers of 64 bits are numbers.
    ///
    /// # Errors
    ///
    /// If the type has another form.
    pub fn to<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        let json = self.json_with(WideIntegers::Number, usize::MAX);
        serde_json::from_slice(&json.unwrap_or_default())
    }

    /// The value as JSON, in UTF-8: `null` without a type. `None` if it has more than `limit` bytes.
    #[must_use]
    pub fn json(&self, limit: usize) -> Option<Bytes> {
        self.json_with(self.0.wide, limit)
    }

    fn json_with(&self, wide: WideIntegers, limit: usize) -> Option<Bytes> {
        let mut json = Bounded {
            // Most values take a little more as JSON.
            bytes: Vec::with_capacity((self.0.bytes.len() * 3 / 2 + 64).min(limit)),
            limit,
        };
        let written = match &self.0.ty {
            None => json.write_all(b"null"),
            Some(ty) => write_value(ty, &mut Reader::new(&self.0.bytes), wide, &mut json),
        };
        written.ok().map(|()| json.bytes.into())
    }

    /// The value as WAVE, at most about `limit` bytes of it.
    #[must_use]
    pub fn wave(&self, limit: usize) -> String {
        match &self.0.ty {
            None => String::new(),
            Some(ty) => value_as_wave(ty, &self.0.bytes, limit),
        }
    }

    /// Whether both are one value in memory, and not merely equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Values of the same type with the same bytes are equal.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.0.ty == other.0.ty && self.0.bytes == other.0.bytes)
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.bytes.len())
    }
}

/// What is written, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
