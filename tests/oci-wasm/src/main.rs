//! `pull REFERENCE FILE` and `push FILE REFERENCE`, by the crate oci-wasm and plain HTTP.

use anyhow::{Context, bail};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use oci_wasm::{WasmClient, WasmConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Every client of reqwest needs one, also for plain HTTP.
    let provider = rustls::crypto::ring::default_provider().install_default();
    provider.expect("the first provider");
    let client = WasmClient::new(Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    }));
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(|argument| &**argument).collect();
    match &*arguments {
        ["pull", reference, file] => {
            let reference: Reference = reference.parse()?;
            let auth = RegistryAuth::Anonymous;
            let (_, config, digest) = client.pull_manifest_and_config(&reference, &auth).await?;
            let component = config.component.context("a config with a component")?;
            let image = client.pull(&reference, &auth).await?;
            std::fs::write(file, &image.layers[0].data)?;
            println!("{digest}\n{}", component.exports.join("\n"));
        }
        ["push", file, reference] => {
            let (config, layer) = WasmConfig::from_component(file, None).await?;
            let reference: Reference = reference.parse()?;
            let auth = RegistryAuth::Anonymous;
            client.push(&reference, &auth, layer, config, None).await?;
        }
        _ => bail!("expected pull REFERENCE FILE or push FILE REFERENCE"),
    }
    Ok(())
}
