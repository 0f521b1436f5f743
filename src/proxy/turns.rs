//! Turns at the processor for what is dear: TLS handshakes on both legs, and mints. A handshake keeps a
//! worker for a tenth of a millisecond and more; a client that asks for thousands of new names
//! would fill every worker's queue with them, and each request of everybody else would wait
//! behind all of it.
//!
//! So the steps of such work (each poll of it) are let in one by one: in all, one less than there are
//! workers, so that one is always free for the requests of the others; and no more than that
//! of one client may stand in the line, so that the clients take turns. Nothing is held while a step
//! waits for the network, and without a crowd nobody waits.

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
    use std::sync::Mutex;

    use super::*;

    /// Work of that many steps, each written down.
    async fn steps(name: &'static str, count: usize, seen: Arc<Mutex<Vec<&'static str>>>) {
        for _ in 0..count {
            seen.lock().unwrap().push(name);
            // Ready again at once. Tokio's own yield waits until nothing else is ready.
            let mut again = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut again, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_client_with_a_hundred_handshakes_does_not_keep_another_waiting() {
        let line = Line::new(2);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (crowd, one) = (line.client(), line.client());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (crowd, seen) = (crowd.clone(), seen.clone());
            tasks.spawn(async move { crowd.take(steps("crowd", 10, seen)).await });
        }
        tokio::task::yield_now().await;
        let seen_by_one = seen.clone();
        tasks.spawn(async move { one.take(steps("one", 10, seen_by_one)).await });
        tasks.join_all().await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1010);
        let first = seen.iter().position(|name| *name == "one").unwrap();
        let last = seen.iter().rposition(|name| *name == "one").unwrap();
        // It had its ten steps while the crowd had some ten times as many, not all thousand.
        assert!(last - first < 200, "from {first} to {last}");
    }

    #[tokio::test]
    async fn work_that_is_given_up_gives_its_turn_back() {
        let line = Line::new(1);
        let client = line.client();
        for _ in 0..10 {
            let never = client.take(std::future::pending::<()>());
            assert!(tokio::time::timeout(std::time::Duration::from_millis(1), never).await.is_err());
        }
        client.take(async {}).await;
        assert_eq!((line.all.available_permits(), client.client.available_permits()), (1, 1));
    }
}
