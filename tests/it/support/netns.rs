//! Three network namespaces in a row, for redirected traffic: a client, a gateway that Portward runs in, and an
//! origin. Every address is inside them; they go when the test ends.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

pub const CLIENT: &str = "10.200.1.2";
pub const GATEWAY: &str = "10.200.1.1";
pub const ORIGIN: &str = "10.200.2.2";
/// The network the client is in, and the one the origin is in.
pub const CLIENT_NET: &str = "10.200.1.0/24";
pub const ORIGIN_NET: &str = "10.200.2.0/24";

/// How the gateway hands traffic to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Destination rewritten by NAT; the proxy asks for the original one.
    Nat,
    /// Destination kept; the proxy's listener accepts for addresses that are not its own.
    Tproxy,
}

pub struct NetLab {
    client: String,
    gateway: String,
    origin: String,
}

impl NetLab {
    /// The namespaces, joined and routed, with ports 80, 443 and 8443 from the client handed to `port` on the gateway.
    pub fn new(redirect: Redirect, port: u16) -> NetLab {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("pw{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab =
            NetLab { client: format!("{tag}-c"), gateway: format!("{tag}-g"), origin: format!("{tag}-o") };
        let NetLab { client: c, gateway: g, origin: o } = &lab;
        for name in [c, g, o] {
            run(&format!("ip netns add {name}"));
            run(&format!("ip -n {name} link set lo up"));
        }
        run(&format!("ip link add eth0 netns {c} type veth peer name east netns {g}"));
        run(&format!("ip link add eth0 netns {o} type veth peer name west netns {g}"));
        for (name, address, device) in [
            (c, "10.200.1.2/24", "eth0"),
            (g, "10.200.1.1/24", "east"),
            (g, "10.200.2.1/24", "west"),
            (o, "10.200.2.2/24", "eth0"),
        ] {
            run(&format!("ip -n {name} addr add {address} dev {device}"));
            run(&format!("ip -n {name} link set {device} up"));
        }
        run(&format!("ip -n {c} route add default via {GATEWAY}"));
        run(&format!("ip -n {o} route add default via 10.200.2.1"));
        run(&format!("ip netns exec {g} sysctl -qw net.ipv4.ip_forward=1"));
        match redirect {
            Redirect::Nat => run(&format!(
                "ip netns exec {g} iptables -t nat -A PREROUTING -i east -p tcp -m multiport --dports 80,443,8443 \
                 -j REDIRECT --to-ports {port}"
            )),
            Redirect::Tproxy => {
                run(&format!("ip -n {g} rule add fwmark 1 lookup 100"));
                run(&format!("ip -n {g} route add local 0.0.0.0/0 dev lo table 100"));
                run(&format!(
                    "ip netns exec {g} iptables -t mangle -A PREROUTING -i east -p tcp -m multiport \
                     --dports 80,443,8443 -j TPROXY --tproxy-mark 1 --on-port {port}"
                ));
            }
        }
        lab
    }

    /// The words that start a command inside the gateway.
    pub fn in_gateway(&self) -> [String; 4] {
        ["ip".into(), "netns".into(), "exec".into(), self.gateway.clone()]
    }

    /// A command that runs where the client is.
    pub fn client_command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client, program]);
        command
    }

    /// A listener on the origin's address.
    pub fn listen(&self, port: u16) -> TcpListener {
        let at: SocketAddr = format!("{ORIGIN}:{port}").parse().unwrap();
        inside(&self.origin, move || TcpListener::bind(at)).unwrap()
    }

    /// A connection from the client.
    pub fn connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        inside(&self.client, move || TcpStream::connect_timeout(&to, super::PATIENCE))
    }
}

impl Drop for NetLab {
    fn drop(&mut self) {
        for name in [&self.client, &self.gateway, &self.origin] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Runs `work` on a thread inside the namespace: a socket stays where it was made.
fn inside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let handle = File::open(format!("/run/netns/{name}")).unwrap();
    std::thread::spawn(move || {
        setns(handle, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
    .join()
    .unwrap()
}

fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let done = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| {
        panic!("`{line}` did not start: {error} (tests/run installs what is missing)")
    });
    assert!(
        done.status.success(),
        "`{line}` failed (network namespaces need root): {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
