//! A port whose every connection is a tunnel through the proxy to one host: for programs that know of no proxy.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::client::Client;

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let client = client.clone();
                let _ = socket.set_nodelay(true);
                open.spawn(async move {
                    let Ok(mut tunnel) = client.tunnel(host, 443).await else { return };
                    // Either end may break off: that is what the programs are for.
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut tunnel).await;
                });
            }
        });
        Door { addr, task }
    }
}
