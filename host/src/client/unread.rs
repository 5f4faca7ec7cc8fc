//! [`WithUnreadLimit`]: a caller whose answer might not fit into what its connection, or the service, may hold is
//! refused before it opens or joins a flight.
//!
//! It is outside single flight, because the budget of a connection belongs to a caller, and a refused caller must not
//! cause any work. It reads no bytes and writes none: it renders the outcome, and attaches it to the budgets.

use std::sync::Arc;

use futures_util::future::{Either, ready};

use super::{Client, Reply, Request};
use crate::model::{ClientError, Generation, Limits, Resource, Usage};
use crate::unread::ConnectionBudget;

/// Refuses callers whose connection, or service, holds too much already.
#[derive(Clone, Debug)]
pub struct WithUnreadLimit<C> {
    next: C,
    /// The largest answer.
    max_result_bytes: usize,
}

impl<C> WithUnreadLimit<C> {
    /// Bounds what callers of `next` make the service hold. Its answers have at most `limits.max_result_bytes`.
    pub fn new(next: C, limits: &Limits) -> Self {
        Self {
            next,
            max_result_bytes: limits.max_result_bytes,
        }
    }
}

impl<C: Client> Client for WithUnreadLimit<C> {
    fn generation(&self) -> Generation {
        self.next.generation()
    }

    fn usage(&self) -> Usage {
        self.next.usage()
    }

    /// # Cancel safety
    ///
    /// Dropping the future drops the call inside. Nothing is held before the outcome is there.
    fn call(&self, mut request: Request) -> impl Future<Output = Reply> + Send {
        let connection = request.connection.take();
        let checked = connection.as_ref().map(|connection| {
            // Before the call is made: it opens its flight when it is polled.
            connection.check(self.max_result_bytes)
        });
        let call = match checked {
            Some(Err(resource)) => Either::Left(ready(refused(resource))),
            Some(Ok(())) | None => Either::Right(self.next.call(request)),
        };
        async move {
            let reply = call.await;
            match connection {
                None => reply,
                Some(connection) => hold(reply, &connection),
            }
        }
    }
}

/// The same reply with its JSON, which counts for the service and for `connection`.
fn hold(reply: Reply, connection: &Arc<ConnectionBudget>) -> Reply {
    let Ok(outcome) = &reply.result else {
        return reply;
    };
    let shared = outcome.json_held(|json| connection.hold_shared(json));
    let held = match shared {
        None => Err(Resource::UnreadBytes),
        Some(json) => connection.hold(json),
    };
    match held {
        Err(resource) => refused(resource),
        Ok(json) => Reply {
            json: Some(json),
            ..reply
        },
    }
}

fn refused(resource: Resource) -> Reply {
    Err(ClientError::Overloaded(resource)).into()
}
