//! The host's conversion between bytes and the values of a guest.

#[path = "../../../../host/src/component/contract/typed/values.rs"]
mod values;

use wasmtime::component::Val;

use crate::typed::{Malformed, Signature, ValueType};

/// The arguments that a guest gets; `None` if they take more than `room` bytes.
pub(crate) fn arguments(
    signature: &Signature,
    bytes: &[u8],
    room: usize,
) -> Result<Option<Vec<Val>>, Malformed> {
    values::arguments(signature, bytes, room)
}

/// The bytes of a value that a guest returns; `None` if it is not of this type.
pub(crate) fn encoded(ty: &ValueType, value: &Val) -> Option<Vec<u8>> {
    values::encoded(ty, value, usize::MAX).ok()
}
