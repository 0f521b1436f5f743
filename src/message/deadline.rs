//! A bound on a wait that nearly always ends long before it. Setting up a timer and taking it down
//! again costs more than many of the waits it guards, so timers are kept when a wait is over and
//! used for the next one: an old timer that fires too early is set anew, which is rare.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Timers that a thread keeps.
const KEPT: usize = 256;

thread_local! {
    static TIMERS: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// A timer, once there was something to wait for.
#[derive(Default)]
pub struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready when `due` is past; otherwise the task is woken then at the latest. May be asked with
    /// another moment each time.
    pub fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| {
            TIMERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::pin(tokio::time::sleep_until(due)))
        });
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(timer) = self.0.take() else { return };
        // At a thread's end there is no place to keep it in any more.
        let _ = TIMERS.try_with(|timers| {
            let mut timers = timers.borrow_mut();
            if timers.len() < KEPT {
                timers.push(timer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn wait(deadline: &mut Deadline, due: Instant) {
        std::future::poll_fn(|cx| deadline.poll(cx, due)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_timer_fires_neither_early_nor_late() {
        let start = Instant::now();
        for (order, seconds) in [3u64, 60, 1, 10, 2].into_iter().enumerate() {
            // Started and given up: what is kept of it is due at another time.
            let mut given_up = Deadline::default();
            let far = Instant::now() + Duration::from_secs(5);
            std::future::poll_fn(|cx| {
                assert!(given_up.poll(cx, far).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(given_up);
            let before = Instant::now();
            let due = before + Duration::from_secs(seconds);
            wait(&mut Deadline::default(), due).await;
            let late = Instant::now() - due;
            assert!(late < Duration::from_millis(5), "wait {order} was {late:?} late");
        }
        assert!(start.elapsed() >= Duration::from_secs(76));
    }
}
