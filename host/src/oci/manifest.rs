//! [`Manifest`]: the manifest of an artifact in the layout "Wasm OCI Artifact" of the CNCF, as oci-wasm and wkg write
//! it: a config of `application/vnd.wasm.config.v0+json`, and one layer of `application/wasm`, the component.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::OciProblem;
use super::reference::Sha256Digest;
use crate::printable::printable;

/// The media type of a manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What may be sent for a manifest. A list of manifests is accepted, so that it can be reported as one.
pub(super) const ACCEPTED: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// The media type of the config.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";

/// The media type of the component.
const COMPONENT_TYPE: &str = "application/wasm";

/// The largest manifest: registries accept at least as much, and need not accept more.
pub(super) const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// The annotation with the policy that an artifact suggests: settings of a client, as TOML.
pub const POLICY_ANNOTATION: &str = "io.oneflight.policy";

/// The longest policy: 16 KiB, hundreds of settings.
pub const MAX_POLICY_BYTES: usize = 16 << 10;

/// What is used of a manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What a manifest says about a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// A blob, by its digest and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Sha256Digest,
    pub(super) bytes: u64,
}

/// The config of a component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig<'a> {
    /// Always the same, so that the same component has the same digest.
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: WasmInterfaces<'a>,
}

/// What a component imports and exports.
#[derive(Debug, Serialize)]
struct WasmInterfaces<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

/// An artifact that is to be pushed: its documents.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

impl Manifest {
    /// Reads a manifest.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OciProblem> {
        #[derive(Deserialize)]
        struct Index {
            manifests: Vec<serde::de::IgnoredAny>,
        }
        if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
            let count = index.manifests.len();
            return Err(OciProblem::NotWasm(format!(
                "an index of {count} manifests; give the digest of the one of the component"
            )));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            let why = printable(&error.to_string());
            OciProblem::Malformed(format!("a manifest that cannot be read: {why}"))
        })?;
        match manifest.schema_version {
            2 => Ok(manifest),
            other => Err(OciProblem::Malformed(format!(
                "a manifest of schema version {other} instead of 2"
            ))),
        }
    }

    /// The only layer, which is the component.
    pub(super) fn component(&self) -> Result<Blob, OciProblem> {
        let is_wasm = |layer: &Descriptor| layer.media_type == COMPONENT_TYPE;
        if self.config.media_type != CONFIG_TYPE && !self.layers.iter().any(is_wasm) {
            let (config, layer) = (&self.config, self.layers.first());
            let config = shown(&config.media_type);
            let layer = layer.map_or("no layer".to_owned(), |layer| {
                format!("a layer of {}", shown(&layer.media_type))
            });
            return Err(OciProblem::NotWasm(format!(
                "a config of {config} and {layer}; push the component with oneflight push, or as its registry's \
                 documentation says for Wasm"
            )));
        }
        if self.config.media_type != CONFIG_TYPE {
            let found = shown(&self.config.media_type);
            return Err(OciProblem::NotWasm(format!(
                "a config of {found} instead of {CONFIG_TYPE}; push the component with oneflight push"
            )));
        }
        let [layer] = &*self.layers else {
            return Err(OciProblem::Layers(self.layers.len()));
        };
        if !is_wasm(layer) {
            let found = shown(&layer.media_type);
            return Err(OciProblem::NotWasm(format!(
                "a layer of {found} instead of {COMPONENT_TYPE}; push the component with oneflight push"
            )));
        }
        let digest = layer.digest.parse().map_err(OciProblem::Malformed)?;
        let bytes = layer.size;
        Ok(Blob { digest, bytes })
    }

    /// The policy that the artifact suggests, of at most [`MAX_POLICY_BYTES`].
    pub(super) fn policy(&self) -> Option<String> {
        let policy = self.annotations.get(POLICY_ANNOTATION)?;
        Some(policy[..policy.floor_char_boundary(MAX_POLICY_BYTES)].to_owned())
    }
}

impl Documents {
    /// Those of a component with these imports and exports.
    pub(super) fn new(
        component: &[u8],
        imports: &[String],
        exports: &[String],
        policy: Option<String>,
    ) -> serde_json::Result<Self> {
        let layer = Descriptor::new(COMPONENT_TYPE, component);
        let config = serde_json::to_vec(&WasmConfig {
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [layer.digest.clone()],
            component: WasmInterfaces { exports, imports },
        })?;
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor::new(CONFIG_TYPE, &config),
            layers: vec![layer],
            annotations: policy
                .map(|policy| (POLICY_ANNOTATION.to_owned(), policy))
                .into_iter()
                .collect(),
        })?;
        Ok(Self { config, manifest })
    }
}

impl Descriptor {
    fn new(media_type: &str, blob: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Sha256Digest::of(blob).to_string(),
            size: blob.len() as u64,
        }
    }
}

/// A media type of another's manifest, for a message.
fn shown(media_type: &str) -> String {
    printable(&media_type[..media_type.floor_char_boundary(100)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(manifest: &str) -> Result<Blob, OciProblem> {
        Manifest::parse(manifest.as_bytes())?.component()
    }

    fn manifest(config: &str, layers: &[&str]) -> String {
        let digest = Sha256Digest::of(b"a");
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| format!(r#"{{"mediaType":"{layer}","digest":"{digest}","size":1}}"#))
            .collect();
        let layers = layers.join(",");
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":1}},"layers":[{layers}]}}"#
        )
    }

    #[test]
    fn a_component_has_one_layer_of_wasm_and_the_config_of_wasm() {
        let one = manifest(CONFIG_TYPE, &[COMPONENT_TYPE]);
        let blob = Blob {
            digest: Sha256Digest::of(b"a"),
            bytes: 1,
        };
        assert_eq!(component(&one), Ok(blob));
        let image = manifest(
            "application/vnd.oci.image.config.v1+json",
            &["application/x-tar"],
        );
        for (manifest, found) in [
            (
                manifest(CONFIG_TYPE, &[COMPONENT_TYPE, COMPONENT_TYPE]),
                "one layer",
            ),
            (manifest(CONFIG_TYPE, &[]), "one layer"),
            (
                manifest(CONFIG_TYPE, &["text/html"]),
                "a layer of text/html instead",
            ),
            (
                manifest("text/html", &[COMPONENT_TYPE]),
                "a config of text/html instead",
            ),
            (
                image,
                "a config of application/vnd.oci.image.config.v1+json and a layer of application/x-tar",
            ),
            (
                r#"{"schemaVersion":2,"manifests":[{},{}]}"#.to_owned(),
                "an index of 2 manifests",
            ),
            (one.replace(":2,", ":1,"), "schema version 1 instead of 2"),
            (one.replace("sha256", "sha512"), "expected sha256:"),
            ("{}".to_owned(), "a manifest that cannot be read"),
        ] {
            let problem = component(&manifest).unwrap_err().to_string();
            assert!(problem.contains(found), "{manifest}: {problem}");
        }
    }

    #[test]
    fn the_same_component_has_the_same_documents_and_another_policy_another_manifest() {
        let documents = |policy: Option<&str>| {
            Documents::new(b"wasm", &[], &[], policy.map(str::to_owned)).unwrap()
        };
        assert_eq!(documents(None).manifest, documents(None).manifest);
        let with = documents(Some("allow = []"));
        assert_eq!(with.config, documents(None).config);
        assert_ne!(with.manifest, documents(None).manifest);
        let parsed = Manifest::parse(&with.manifest).unwrap();
        assert_eq!(parsed.policy().as_deref(), Some("allow = []"));
        assert_eq!(
            parsed.component().unwrap().digest,
            Sha256Digest::of(b"wasm")
        );
    }
}
