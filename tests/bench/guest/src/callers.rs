//! The load, the same for all participants: callers that call again as soon as they have an answer, each with
//! keys of its own, so that nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use oneflight::{Client, ClientError, Items};

use crate::upstream::ITEMS;

/// One caller.
pub(crate) trait Caller: Send + 'static {
    /// Calls once and checks the answer. It is called again when the answer is there.
    fn call(&mut self, key: String) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Lets all callers call for as long as `turn`, and returns the microseconds per answer of all callers
/// together.
pub(crate) async fn drive(callers: Vec<impl Caller>, turn: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let spawn = |(number, mut caller): (usize, _)| {
        tokio::spawn(async move {
            let mut answers = 0_u64;
            while began.elapsed() < turn {
                Caller::call(&mut caller, format!("{number}-{answers}")).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        })
    };
    let tasks: Vec<_> = callers.into_iter().enumerate().map(spawn).collect();
    let mut answers = 0;
    for task in tasks {
        answers += task.await??;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / answers as f64)
}

/// Requests the upstream's items.
pub(crate) struct ItemsCaller<C>(pub(crate) Arc<C>);

impl<C: Client> Caller for ItemsCaller<C> {
    async fn call(&mut self, key: String) -> anyhow::Result<()> {
        let outcome = self.0.call(key.into()).await.result?;
        let items = outcome.items().map(Items::as_slice).unwrap_or_default();
        ensure!(items.len() == ITEMS, "{items:?}");
        Ok(())
    }
}

/// Calls with the empty key, which the built-in client refuses without an upstream request.
pub(crate) struct InvalidKeyCaller<C>(pub(crate) Arc<C>);

impl<C: Client> Caller for InvalidKeyCaller<C> {
    async fn call(&mut self, _: String) -> anyhow::Result<()> {
        let result = self.0.call("".into()).await.result;
        ensure!(matches!(result, Err(ClientError::InvalidKey)), "{result:?}");
        Ok(())
    }
}
