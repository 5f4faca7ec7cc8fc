//! [`ClientConfig`]: a client as a file or flags describe it, checked before anything is loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use http::Uri;

use super::value::{Value, ValueOrigin};
use crate::settings::Settings;
use crate::upstream::{AllowRule, Roots};

/// A client as it is to be loaded.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What it runs.
    pub component: Component,
    /// What that is given, and may do, but for the upstream that is named for it: see
    /// [`ClientConfig::effective`].
    pub settings: Settings,
    /// Whether `BASE_URL` was named as the upstream, and not only set.
    upstream_named: bool,
    /// The upstream that it may reach because it was named, once the client is
    /// [complete](ClientConfig::complete).
    upstream: Option<AllowRule>,
    /// Where the values of `settings.env` come from.
    origins: BTreeMap<String, ValueOrigin>,
    ca_file: Option<PathBuf>,
}

/// What a client runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Component {
    /// The client that is part of this program.
    #[default]
    Builtin,
    /// The component in this file.
    File(PathBuf),
}

const EXAMPLE: &str = "'http://localhost:3000/items?id={x}'";

impl ClientConfig {
    /// The built-in client, which is given nothing yet and may reach nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            component: Component::default(),
            settings: Settings::new(name),
            upstream_named: false,
            upstream: None,
            origins: BTreeMap::new(),
            ca_file: None,
        }
    }

    /// Names the upstream: the setting `BASE_URL`, and leave to reach its host.
    pub fn set_base_url(&mut self, url: &str) {
        self.set("BASE_URL", url);
        self.upstream_named = true;
    }

    /// Sets a variable of the guest's environment; one that was set before is replaced.
    pub fn set(&mut self, name: &str, value: &str) {
        self.put(name, Value::written(value));
    }

    /// The same, with the value of `variable` in oneflight's own environment.
    ///
    /// # Errors
    ///
    /// When there is no such variable, or it is no text.
    pub fn set_from_environment(&mut self, name: &str, variable: &str) -> anyhow::Result<()> {
        self.put(name, Value::from_environment(variable)?);
        Ok(())
    }

    pub(super) fn put(&mut self, name: &str, value: Value) {
        let env = &mut self.settings.env;
        env.retain(|(set, _)| set != name);
        env.push((name.to_owned(), value.text));
        self.origins.insert(name.to_owned(), value.origin);
    }

    /// Believes the certificates in `file`, and none of the system's.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds none.
    pub fn set_ca_file(&mut self, file: &Path) -> anyhow::Result<()> {
        let pem =
            std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        let roots = Roots::from_pem(&pem);
        self.settings.policy.roots =
            roots.with_context(|| format!("cannot use {}", file.display()))?;
        self.ca_file = Some(file.to_owned());
        Ok(())
    }

    /// Whether it is given a setting of this name.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.settings.env.iter().any(|(set, _)| set == name)
    }

    /// The client whole: it may reach the upstream that was named for it. Until then it may not.
    ///
    /// # Errors
    ///
    /// When the built-in client would not know what to do, or passes over a setting with a typing error
    /// in its name.
    pub fn complete(mut self) -> anyhow::Result<Self> {
        let builtin = self.component == Component::Builtin;
        if builtin {
            let names = self.settings.env.iter().map(|(name, _)| name);
            names.into_iter().try_for_each(|name| known(name))?;
        }
        let base_url = self
            .settings
            .env
            .iter()
            .find(|(name, _)| name == "BASE_URL");
        self.upstream = match base_url {
            // What an operator names as the upstream is allowed; for a component of theirs only where it
            // is named as one, since what a setting named BASE_URL means to it is its own affair.
            Some((_, url)) if builtin || self.upstream_named => Some(origin(url)?),
            None if builtin => bail!(
                "found no upstream for the built-in client; needed its URL: add --base-url {EXAMPLE}, \
                 or base_url in the file"
            ),
            _ => None,
        };
        Ok(self)
    }

    /// The settings that it is loaded with.
    #[must_use]
    pub fn effective(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.policy.allow.extend(self.upstream.clone());
        settings
    }

    pub(super) fn origin_of(&self, name: &str) -> Option<&ValueOrigin> {
        self.origins.get(name)
    }

    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
}

/// The built-in client would pass over a setting that it does not know, and a typing error with it.
fn known(name: &str) -> anyhow::Result<()> {
    if matches!(name, "BASE_URL" | "ITEMS_AT" | "ID_AT") || name.starts_with("HEADER_") {
        return Ok(());
    }
    bail!(
        "found the setting {name}, which the built-in client does not know; \
         needed BASE_URL, HEADER_<NAME>, ITEMS_AT or ID_AT"
    )
}

/// The origin of a BASE_URL. Its value may hold a secret, so a complaint does not repeat it.
fn origin(url: &str) -> anyhow::Result<AllowRule> {
    let parsed = url.replace("{x}", "x").parse::<Uri>().ok().and_then(|uri| {
        let (scheme, authority) = uri.scheme().zip(uri.authority())?;
        format!("{scheme}://{authority}").parse().ok()
    });
    parsed.with_context(|| {
        let found = if url.contains("://") {
            "another form of"
        } else {
            "no http:// in the"
        };
        format!("found {found} BASE_URL; needed http[s]://host[:port]/..., as in {EXAMPLE}")
    })
}
