//! Where the host's files look for limited text.

#[path = "../../../../host/src/printable/bounded.rs"]
mod bounded;

pub(crate) use self::bounded::bounded;

const MAX_TEXT_BYTES: usize = 4 << 10;
