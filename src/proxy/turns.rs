//! Turns at the processor for what is dear: TLS handshakes on both legs, and mints. A handshake keeps a
//! worker for a tenth of a millisecond and more; a client that asks for thousands of new names
//! would fill every worker's queue with them, and each request of everybody else would wait
//! behind all of it.
//!
//! So the steps of such work (each poll of it) are let in one by one: in all, one less than there are
//! workers, so that one is always free for the requests of the others; and no more than that
//! of one client may stand in the line, so that the clients take turns. Nothing is held while a step
//! waits for the network, and without a crowd nobody waits. A runtime of one worker gains nothing:
//! there, one step follows another in any case.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// One client's part in the line; clones share it.
#[derive(Clone)]
pub struct Turns {
    all: Arc<Semaphore>,
    client: Arc<Semaphore>,
}

/// The line itself.
#[derive(Clone)]
pub struct Line {
    all: Arc<Semaphore>,
    width: usize,
}

impl Line {
    /// For a runtime of that many workers.
    pub fn new(workers: usize) -> Line {
        let width = workers.saturating_sub(1).max(1);
        Line { all: Arc::new(Semaphore::new(width)), width }
    }

    /// A new client's part.
    pub fn client(&self) -> Turns {
        Turns { all: self.all.clone(), client: Arc::new(Semaphore::new(self.width)) }
    }
}

impl Turns {
    /// Does this work step by step, each in its turn.
    pub async fn take<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut client = PollSemaphore::new(self.client.clone());
        let mut all = PollSemaphore::new(self.all.clone());
        let mut place = None;
        poll_fn(move |context| {
            // A place among the client's own first; it is kept while it stands in the line. The
            // semaphores are never closed, and closed ones would keep nobody back.
            if place.is_none() {
                place = ready!(client.poll_acquire(context));
            }
            let turn = ready!(all.poll_acquire(context));
            let step = work.as_mut().poll(context);
            drop(turn);
            place = None;
            match step {
                Poll::Ready(output) => Poll::Ready(output),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_steps_are_under_way_than_leave_a_worker_free() {
        let line = Line::new(3);
        let (now, most, steps) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((now, most, steps));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let client = line.client();
            for _ in 0..25 {
                let (client, counts) = (client.clone(), counts.clone());
                let work = async move {
                    let (now, most, steps) = &*counts;
                    for _ in 0..10 {
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        let until = Instant::now() + Duration::from_micros(100);
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                        now.fetch_sub(1, SeqCst);
                        steps.fetch_add(1, SeqCst);
                        tokio::task::yield_now().await;
                    }
                };
                tasks.spawn(async move { client.take(work).await });
            }
        }
        tasks.join_all().await;
        assert_eq!(counts.2.load(SeqCst), 1000, "everybody had all turns");
        assert!(counts.1.load(SeqCst) <= 2, "two at a time of three workers");
    }

    #[tokio::test]
    async fn work_that_is_given_up_gives_its_turn_back() {
        let line = Line::new(1);
        let client = line.client();
        for _ in 0..10 {
            let never = client.take(std::future::pending::<()>());
            assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        }
        client.take(async {}).await;
        assert_eq!((line.all.available_permits(), client.client.available_permits()), (1, 1));
    }
}
