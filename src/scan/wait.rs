//! The time that one body may wait for its scanner, all waits together.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// What is left of the time that a body may wait for the scanner. Waiting for the body's sender costs nothing.
pub(super) struct Budget(Duration);

impl Budget {
    pub(super) fn new(time: Duration) -> Budget {
        Budget(time)
    }

    /// `None` when the time is up.
    pub(super) async fn spend<F: Future>(&mut self, wait: F) -> Option<F::Output> {
        let began = Instant::now();
        let output = tokio::time::timeout(self.0, wait).await.ok();
        self.0 = self.0.saturating_sub(began.elapsed());
        output
    }

    pub(super) async fn io<T>(&mut self, wait: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let up = || io::Error::new(io::ErrorKind::TimedOut, "it took longer than scan.time");
        self.spend(wait).await.ok_or_else(up)?
    }
}
