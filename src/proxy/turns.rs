//! Turns at the processor for what is dear: opening inspected connections, with TLS handshakes on both legs and mints. Such
//! an opening keeps a worker for the better part of a millisecond; a client that asks for thousands of new names would
//! fill every worker's queue with them, and each request of everybody else would wait behind all of it.
//!
//! So the steps of such work (each poll of it) are let in one by one: in all, one less than there are
//! workers, so that one is always free for the requests of the others; and no more than that
//! of one client may stand in the line, so that the clients take turns. Nothing is held while a step
//! waits for the network, and without a crowd nobody waits. A runtime of one worker gains nothing:
//! there, one step follows another in any case.
//!
//! That orders what is dear, and a flood has a long tail of what is cheap. A client that opens more than its share goes
//! to the back with the rest: to threads of their own, which the kernel lets run last. It is refused nothing,
//! and on a machine with time to spare it is as quick there.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Instant;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::message::serve::Tasks;

/// What a client may open at once, and again every second, before the rest of it goes to the back. A browser that
/// starts with all its tabs is below that; at a millisecond each it is a fifteenth of a core.
const SHARE: f64 = 64.0;

/// A tenth of what a thread of ours gets that wants the same core. Not 19, the last that there is: a thread that is stopped
/// where others wait for it has to come back soon, on a busy machine too.
const LAST: i32 = 10;

/// One client's part in the line; clones share it.
#[derive(Clone)]
pub struct Turns {
    all: Arc<Semaphore>,
    client: Arc<Semaphore>,
    share: Arc<Mutex<Share>>,
    back: Arc<Back>,
}

/// The line itself.
#[derive(Clone)]
pub struct Line {
    all: Arc<Semaphore>,
    width: usize,
    back: Arc<Back>,
}

impl Line {
    /// For a runtime of that many workers.
    pub fn new(workers: usize) -> Line {
        let width = workers.saturating_sub(1).max(1);
        Line { all: Arc::new(Semaphore::new(width)), width, back: Arc::new(Back::start(width)) }
    }

    /// A new client's part.
    pub fn client(&self) -> Turns {
        Turns {
            all: self.all.clone(),
            client: Arc::new(Semaphore::new(self.width)),
            share: Arc::new(Mutex::new(Share { left: SHARE, at: Instant::now() })),
            back: self.back.clone(),
        }
    }
}

impl Turns {
    /// Does this work: here and step by step, or at the back, as the client's share has it. It is on the heap, so that
    /// its memory is free when it is done; what waits for it lives as long as the connection.
    pub async fn take<T: Send + 'static>(
        &self,
        tasks: &Tasks,
        work: Work<impl Future<Output = T> + Send + 'static>,
    ) -> T {
        let within = self.share.lock().is_ok_and(|mut share| share.take(Instant::now()));
        match &self.back.0 {
            Some(back) if !within => at_the_back(back, tasks, work).await,
            _ => self.step_by_step(work).await,
        }
    }

    async fn step_by_step<F: Future>(&self, mut work: Work<F>) -> F::Output {
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

pub type Work<F> = Pin<Box<F>>;

/// What is left of a client's share.
struct Share {
    left: f64,
    at: Instant,
}

impl Share {
    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * SHARE).min(SHARE);
        self.at = now;
        let within = self.left >= 1.0;
        if within {
            self.left -= 1.0;
        }
        within
    }
}

/// Threads that stand back.
struct Back(Option<Runtime>);

impl Back {
    /// Without the threads everything is done step by step.
    fn start(threads: usize) -> Back {
        let last = || {
            // On Linux of this thread alone. Where it is not allowed the threads are ordinary ones, which is better than none.
            let _ = rustix::process::setpriority_process(None, LAST);
        };
        let built = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("back")
            .on_thread_start(last)
            .build();
        if let Err(error) = &built {
            tracing::warn!(%error, "no threads for clients that open many connections; they take turns with the others");
        }
        Back(built.ok())
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        // Waiting for the threads is not allowed in a task, and nothing is left for them to do.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Polls this work on the threads at the back. Everything else of it stays at home: its sockets and timers, and what it
/// spawns.
async fn at_the_back<T: Send + 'static>(
    back: &Runtime,
    tasks: &Tasks,
    mut work: Work<impl Future<Output = T> + Send + 'static>,
) -> T {
    let home = Handle::current();
    let work = poll_fn(move |context| {
        let _at_home = home.enter();
        work.as_mut().poll(context)
    });
    match AbortOnDropHandle::new(tasks.spawn_on(work, back.handle())).await {
        Ok(Some(output)) => output,
        // Cut off, as is whoever waits here.
        Ok(None) => pending().await,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    /// A client that has used up its share.
    fn spent(line: &Line) -> Turns {
        let client = line.client();
        // Nothing comes back until then.
        *client.share.lock().unwrap() = Share { left: 0.0, at: Instant::now() + Duration::from_secs(3600) };
        client
    }

    #[test]
    fn a_share_is_used_up_and_comes_back_with_time() {
        let begin = Instant::now();
        let mut share = Share { left: SHARE, at: begin };
        let taken = |share: &mut Share, at| (0..1000).filter(|_| share.take(at)).count();
        assert_eq!(taken(&mut share, begin), 64);
        assert_eq!(taken(&mut share, begin + Duration::from_millis(500)), 32);
        assert_eq!(taken(&mut share, begin), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(&mut share, begin + Duration::from_secs(60)), 64);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_over_its_share_is_served_at_the_back_and_nobody_else_is() {
        let (line, tasks) = (Line::new(2), Tasks::default());
        let (flood, other) = (line.client(), line.client());
        let mut behind = 0;
        for _ in 0..200 {
            if flood.take(&tasks, Box::pin(async { thread() })).await == "back" {
                behind += 1;
            }
        }
        // Not all, because a busy machine gives some of the share back meanwhile.
        assert!((1..=200 - SHARE as usize).contains(&behind), "{behind}");
        for _ in 0..SHARE as usize {
            assert_ne!(other.take(&tasks, Box::pin(async { thread() })).await, "back");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_done_at_the_back_has_its_sockets_timers_and_tasks_at_home() {
        let (line, tasks) = (Line::new(2), Tasks::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            stream.write_all(&byte).await.unwrap();
        });
        let work = async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(b"!").await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            let spawned = tokio::spawn(async { thread() }).await.unwrap();
            (byte, thread(), spawned)
        };
        let (byte, here, spawned) = spent(&line).take(&tasks, Box::pin(work)).await;
        assert_eq!((byte, here.as_str()), (*b"!", "back"));
        assert_ne!(spawned, "back");
        echo.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_at_the_back_that_is_given_up_ends_and_a_panic_in_it_is_not_lost() {
        let (line, tasks) = (Line::new(2), Tasks::default());
        let held = Arc::new(());
        let holds = held.clone();
        let never = async move {
            let _holds = holds;
            pending::<()>().await;
        };
        let client = spent(&line);
        assert!(
            tokio::time::timeout(Duration::from_millis(1), client.take(&tasks, Box::pin(never)))
                .await
                .is_err()
        );
        let panics = tokio::spawn(async move {
            client.take(&tasks, Box::pin(async { panic!("on purpose") })).await;
        });
        assert!(panics.await.unwrap_err().is_panic());
        let until = Instant::now() + Duration::from_secs(30);
        while Arc::strong_count(&held) > 1 {
            assert!(Instant::now() < until, "the work is still there");
            tokio::task::yield_now().await;
        }
    }

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
                tasks.spawn(async move { client.step_by_step(Box::pin(work)).await });
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
            let never = client.step_by_step(Box::pin(pending::<()>()));
            assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        }
        client.step_by_step(Box::pin(async {})).await;
        assert_eq!((line.all.available_permits(), client.client.available_permits()), (1, 1));
    }
}
