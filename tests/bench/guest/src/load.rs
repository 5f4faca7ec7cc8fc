//! The load, the same for everyone: callers that ask again as soon as they are answered, each for keys of
//! its own, so that nothing is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use oneflight::{Client, ClientError};

use crate::upstream::ITEMS;

/// One caller.
pub(crate) trait Caller: Send + 'static {
    /// Asks once, and looks at the answer.
    fn ask(&mut self, key: String) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Lets every caller ask for as long as `turn`: the microseconds that one answer takes, all callers
/// together.
pub(crate) async fn drive(callers: Vec<impl Caller>, turn: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let ask = |(number, mut caller): (usize, _)| {
        tokio::spawn(async move {
            let mut answers = 0_u64;
            while began.elapsed() < turn {
                Caller::ask(&mut caller, format!("{number}-{answers}")).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        })
    };
    let asking: Vec<_> = callers.into_iter().enumerate().map(ask).collect();
    let mut answers = 0;
    for caller in asking {
        answers += caller.await??;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / answers as f64)
}

/// Wants the upstream's items.
pub(crate) struct ForItems<C>(pub(crate) Arc<C>);

impl<C: Client> Caller for ForItems<C> {
    async fn ask(&mut self, key: String) -> anyhow::Result<()> {
        let items = self.0.get_items(key.into()).await.result?;
        ensure!(items.as_slice().len() == ITEMS, "{items:?}");
        Ok(())
    }
}

/// Asks for the one key that the built-in client refuses before it asks anybody.
pub(crate) struct ForNothing<C>(pub(crate) Arc<C>);

impl<C: Client> Caller for ForNothing<C> {
    async fn ask(&mut self, _: String) -> anyhow::Result<()> {
        let result = self.0.get_items("".into()).await.result;
        ensure!(matches!(result, Err(ClientError::InvalidKey)), "{result:?}");
        Ok(())
    }
}
