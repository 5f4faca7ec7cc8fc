//! What Oneflight promises. Each test is named after its promise, and runs real components, real servers and
//! the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails where it is wrong")]

mod administration;
#[cfg(target_os = "linux")]
mod aftermath;
mod answers;
mod authoring;
mod bounds;
#[cfg(feature = "programs")]
mod browser;
mod callers;
mod capacity;
mod certificates;
mod client_settings;
mod commands;
mod compiling;
mod components;
mod configuration;
mod connecting;
mod connections;
mod describing;
mod descriptors;
mod dev;
#[cfg(feature = "programs")]
mod docker_registry;
mod fetch_faults;
mod fetching;
mod front;
mod guests;
#[cfg(feature = "programs")]
mod haproxy;
mod idle;
mod installed;
mod instances;
mod interfaces;
mod interfaces_refused;
mod kit;
mod life;
mod limits;
mod malformed;
mod many;
mod memory;
mod metrics;
#[cfg(feature = "programs")]
mod monitoring;
mod moving;
#[cfg(feature = "programs")]
mod nginx;
mod observing;
mod output;
mod page;
mod processors;
mod proxies;
mod registries;
mod registry_credentials;
mod resending;
#[cfg(feature = "programs")]
mod scripts;
mod service;
mod sharing;
mod signals;
mod sockets;
mod toolchains;
mod traces;
mod typed;
mod typed_bodies;
mod typed_commands;
mod typed_components;
mod typed_docs;
mod typed_faults;
mod typed_requests;
mod unread;
mod uploads;
mod upstreams;
