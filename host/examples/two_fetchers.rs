//! Two fetchers of a service need the same order. They share one client, and cause one call.
//!
//! ```text
//! cargo run --example two_fetchers -- orders.wasm http://localhost:3000
//! ```

use anyhow::Context;
use oneflight::{ClientMetrics, ComponentClient, Engine, Settings, Stack};
use serde::{Deserialize, Serialize};

/// What `get-order` of `acme:orders/orders` takes, in the names of WIT.
#[derive(Serialize)]
struct GetOrder<'a> {
    tenant: &'a str,
    id: &'a str,
    parts: &'a [&'a str],
}

/// The parts of an order that this service needs.
#[derive(Debug, Deserialize)]
struct Order {
    id: String,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
}

type Orders = Stack<ComponentClient>;

/// The fetcher of the invoices.
async fn fetch_for_invoice(orders: Orders, id: &str) -> anyhow::Result<u32> {
    let order = get_order(&orders, id).await?;
    Ok(order.lines.iter().map(|line| line.quantity).sum())
}

/// The fetcher of the shipping, which knows nothing of the other one.
async fn fetch_for_shipping(orders: Orders, id: &str) -> anyhow::Result<Vec<String>> {
    let order = get_order(&orders, id).await?;
    println!("shipping order {}", order.id);
    Ok(order.lines.into_iter().map(|line| line.sku).collect())
}

async fn get_order(orders: &Orders, id: &str) -> anyhow::Result<Order> {
    let arguments = GetOrder {
        tenant: "acme",
        id,
        parts: &["lines"],
    };
    Ok(orders.call_typed("get-order", &arguments).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let component = arguments.next().context("expected a component")?;
    let url = arguments
        .next()
        .context("expected the URL of the upstream")?;
    let settings = Settings::new("orders")
        .env("BASE_URL", &url)
        .allow(&url)?
        .share("get-order")?;
    let engine = Engine::new(&settings.limits)?;
    let binary = std::fs::read(component)?;
    let component = ComponentClient::load(&engine, binary, settings.clone()).await?;
    let orders = Stack::new(component.clone(), &settings, ClientMetrics::default());

    let (quantity, skus) = tokio::try_join!(
        fetch_for_invoice(orders.clone(), "42"),
        fetch_for_shipping(orders, "42"),
    )?;
    println!("{quantity} articles: {}", skus.join(", "));
    println!("{} upstream request", component.usage().upstream_requests);
    Ok(())
}
