//! Paths of the guests that the build script built.

/// A client that misbehaves as its key says: `tests/guests/misbehaving`, whose table lists the keys.
pub const MISBEHAVING: &str = env!("MISBEHAVING_COMPONENT");

/// A client with the mistakes of a first attempt, which requests `BASE_URL/items/{x}`: `tests/guests/naive`.
pub const NAIVE: &str = env!("NAIVE_COMPONENT");

/// A client written as a user would write it, which requests `UPSTREAM/things/{x}`:
/// `tests/guests/second-client`.
pub const SECOND_CLIENT: &str = env!("SECOND_CLIENT_COMPONENT");

/// The client in Rust of `host/docs/clients.md`: `tests/guests/readme-client`.
pub const README_CLIENT: &str = env!("README_CLIENT_COMPONENT");

/// What built [`SECOND_CLIENT`] and [`README_CLIENT`]: `cargo component` and its version where it is installed, or `cargo`.
pub const SECOND_CLIENT_BUILT_WITH: &str = env!("SECOND_CLIENT_BUILT_WITH");

/// A client with an interface of its own, `acme:orders/orders`: `tests/guests/orders`.
pub const ORDERS: &str = env!("ORDERS_COMPONENT");

/// A component with functions of every type, and functions that misbehave: `tests/guests/typed`.
pub const TYPED: &str = env!("TYPED_COMPONENT");

/// A component whose typed functions return what their types do not allow.
pub const MALFORMED_TYPED: &str = env!("MALFORMED_TYPED_COMPONENT");

/// A component that exports the contract's interface with a number for an item's body.
pub const OTHER_TYPES: &str = env!("OTHER_TYPES_COMPONENT");

/// A component that exports nothing of the contract.
pub const NO_ITEMS: &str = env!("NO_ITEMS_COMPONENT");

/// A component that exports what the contract requires and imports `acme:store/kv`.
pub const NEEDS_MORE: &str = env!("NEEDS_MORE_COMPONENT");

/// A component with a memory of 1,100 pages: 69 MiB.
pub const TOO_LARGE: &str = env!("TOO_LARGE_COMPONENT");

/// A component that exports what the contract requires, and loops for ever in its start function.
pub const SPINS_AT_START: &str = env!("SPINS_AT_START_COMPONENT");
