//! [`TestedClient`]: the client that is tested, loaded as `get` and `serve` load it, and the calls of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use oneflight::config::{ClientConfig, Component};
use oneflight::model::{Function, SharePattern};
use oneflight::{
    Call, Client, ClientError, ClientMetrics, ComponentClient, Engine, Outcome, Settings, Stack,
};
use tokio::time::timeout;

use crate::cli::client::NAME;
use crate::cli::loading::load;

/// In a call it stands for the key.
const KEY: &str = "{key}";

/// In a setting it stands for the upstream's URL.
pub(super) const UPSTREAM: &str = "{upstream}";

/// What ends a situation whose call does not return: several times the default of `flight_timeout`, which ends it
/// before.
const FAILSAFE: Duration = Duration::from_secs(60);

/// What the component gets and how it is called.
pub(super) struct ClientSpec {
    /// The component.
    pub(super) component: Component,
    /// Its contents, which are read once.
    pub(super) binary: Arc<[u8]>,
    /// The environment of the guest.
    pub(super) settings: Vec<(String, String)>,
    /// The names of variables that it gets from the environment of this process.
    pub(super) from_environment: Vec<String>,
    /// A call of a typed function, in which `{key}` stands for the key.
    pub(super) call: Option<String>,
}

/// A loaded client.
pub(super) struct TestedClient {
    component: ComponentClient,
    stack: Stack<ComponentClient>,
    call: Option<String>,
}

impl ClientSpec {
    /// Loads the client with what `change` makes of its settings, in which the upstream is at `origins[0]`.
    pub(super) async fn load(
        &self,
        engine: &Engine,
        origins: &[String],
        change: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<TestedClient> {
        let mut config = ClientConfig::new(NAME);
        config.component = self.component.clone();
        for (name, value) in &self.settings {
            config.set(name, &value.replace(UPSTREAM, &origins[0]));
        }
        for name in &self.from_environment {
            config.set_from_environment(name, name)?;
        }
        if let Some(call) = &self.call {
            config.share = vec![function_of(call)?];
        }
        let mut settings = config.complete()?.effective();
        for origin in origins {
            settings.policy.allow.push(origin.parse()?);
        }
        // One situation needs more, and each execution reserves address space.
        settings.limits.max_executions = 8;
        change(&mut settings);
        let binary = Arc::clone(&self.binary);
        let component = load(engine, &self.component, binary, settings)
            .await
            .with_context(|| format!("cannot run {}", self.component))?;
        let metrics = ClientMetrics::default();
        let stack = Stack::new(component.clone(), component.settings(), metrics);
        Ok(TestedClient {
            component,
            stack,
            call: self.call.clone(),
        })
    }
}

/// The name of the function of a call as WAVE, in any interface.
fn function_of(call: &str) -> anyhow::Result<SharePattern> {
    ensure!(
        call.contains(KEY),
        "expected a call with {KEY} in place of the key, as in 'get-order(\"{KEY}\")', got {call}"
    );
    let name = call.split('(').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    Ok(name.trim().parse()?)
}

impl TestedClient {
    /// The call with this key.
    ///
    /// # Errors
    ///
    /// If the client has no such function, or the function other arguments.
    pub(super) fn call_with(&self, key: &str) -> anyhow::Result<Call> {
        let functions = self.component.functions();
        match &self.call {
            Some(call) => {
                let call = functions.call(&call.replace(KEY, &in_wave(key)))?;
                if *call.function() == Function::GetItems {
                    bail!("expected a typed function in --call, got get-items; remove --call");
                }
                Ok(call)
            }
            None if functions.has_items() => Ok(Call::from(key)),
            None => bail!(
                "expected a component that exports {}, got other functions; add --call with one of them, as in \
                 --call 'get-order(\"{KEY}\")' (oneflight check lists them)",
                oneflight::model::Functions::ITEMS
            ),
        }
    }

    /// Makes a call, and returns what its caller gets. `None` if it does not return, which limits of the client prevent.
    pub(super) async fn call(&self, call: Call) -> Option<Result<Outcome, ClientError>> {
        let reply = timeout(FAILSAFE, self.stack.call(call.into())).await;
        reply.ok().map(|reply| reply.result)
    }

    /// The callers that wait for an answer.
    pub(super) fn callers(&self) -> usize {
        self.stack.control().callers()
    }

    /// The idle instances.
    pub(super) fn idle_instances(&self) -> usize {
        self.component.usage().idle
    }
}

/// `text` as a part of a string in WAVE.
fn in_wave(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => escaped.extend(['\\', char]),
            char if char.is_control() => escaped.extend(char.escape_unicode()),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{function_of, in_wave};

    #[test]
    fn a_key_is_written_as_a_part_of_a_string() {
        assert_eq!(in_wave("a\"b\\c\r\né"), "a\\\"b\\\\c\\u{d}\\u{a}é");
    }

    #[test]
    fn the_function_of_a_call_is_shared_and_the_call_has_a_key() {
        let function = function_of("acme:orders/orders#get-order(\"a\", \"{key}\")");
        assert_eq!(function.unwrap().to_string(), "get-order");
        assert!(function_of("get-order(\"a\")").is_err());
    }
}
