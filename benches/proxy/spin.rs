//! A runtime of one thread that does not sleep while there is traffic.
//!
//! On loopback the sender pays for waking its receiver, and on a virtual machine that can be a third
//! of what a proxy spends on a request. A network card wakes its own end, so the far ends here are
//! kept awake: what is left is the proxy's own work.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::machine::Cores;

/// Awake for this long after the last byte came in; some pauses of the slowest scenario.
const AWAKE: Duration = Duration::from_millis(20);

/// How often a quiet runtime looks whether there is traffic again.
const NAP: Duration = Duration::from_millis(2);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Bytes came in on this thread.
pub fn busy() {
    LAST.set(Some(Instant::now()));
}

/// Runs a future and all it spawns on this thread, on the given one of the cores.
pub fn block_on<T>(cores: &Cores, index: usize, future: impl Future<Output = T>) -> Result<T> {
    cores.pin(index)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(16).build()?;
    Ok(runtime.block_on(async {
        // A task that is always ready keeps the runtime from waiting in epoll.
        tokio::spawn(async {
            loop {
                match LAST.get() {
                    Some(last) if last.elapsed() < AWAKE => tokio::task::yield_now().await,
                    _ => tokio::time::sleep(NAP).await,
                }
            }
        });
        future.await
    }))
}
