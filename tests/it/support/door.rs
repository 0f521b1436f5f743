//! A port whose every connection is a tunnel through the proxy to one host: for programs that know of no proxy.

use std::future::Future;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::client::Client;
use super::origin::Stream;

pub struct Door {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    pub async fn to(client: Client, host: &'static str) -> Door {
        Door::through(move || {
            let client = client.clone();
            async move { client.tunnel(host, 443).await.ok() }
        })
        .await
    }

    /// Opens a stream of its own for each connection.
    pub async fn through<F>(open: impl Fn() -> F + Send + 'static) -> Door
    where
        F: Future<Output = Option<Box<dyn Stream>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut inside = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let opened = open();
                let _ = socket.set_nodelay(true);
                inside.spawn(async move {
                    let Some(mut stream) = opened.await else { return };
                    // Either end may break off: that is what the programs are for.
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut stream).await;
                });
            }
        });
        Door { addr, task }
    }
}
