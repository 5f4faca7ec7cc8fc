//! What the two fuzz targets of the callers' side share: the service that they connect to, which response a request
//! should get, and what is true of every response.

pub mod answer;
pub mod expected;
pub mod service;
