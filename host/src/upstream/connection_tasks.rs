//! [`ConnectionTasks`]: runs the tasks of hyper's connections so that the task that sends a request body can be ended.
//!
//! hyper sends a body from a task: over HTTP/1.1 that of the connection, over HTTP/2 one for each body. While the
//! upstream does not read, that task does not poll the body, so an error of the body cannot stop it. Aborting it does:
//! the connection is closed, or the stream is reset.

use futures_util::future::{AbortHandle, Abortable};
use hyper::rt::Executor;

tokio::task_local! {
    /// The handle of a task of hyper's, in that task. hyper states nowhere else which task sends a body.
    static TASK: AbortHandle;
}

/// The executor of a client's connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTasks;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for ConnectionTasks {
    fn execute(&self, future: F) {
        let (handle, registration) = AbortHandle::new_pair();
        let future = TASK.scope(handle, future);
        tokio::spawn(Abortable::new(future, registration));
    }
}

/// The handle of the task of hyper's that calls this, if one does.
pub(super) fn current_task() -> Option<AbortHandle> {
    TASK.try_with(AbortHandle::clone).ok()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_that_is_aborted_drops_what_it_owns() {
        assert!(current_task().is_none());
        let (send, found) = oneshot::channel();
        let (alive, gone) = oneshot::channel::<()>();
        ConnectionTasks.execute(async move {
            let _alive = alive;
            drop(send.send(current_task()));
            std::future::pending().await
        });
        found.await.unwrap().unwrap().abort();
        assert!(gone.await.is_err());
    }
}
