//! The three questions, as tables.

use super::*;
use crate::net::hello::Sni;

fn authority(text: &str) -> Authority {
    Authority::parse(text, Some(Port::HTTPS)).unwrap()
}

fn client(ip: &str) -> ClientFacts<'static> {
    ClientFacts {
        ip: ip.parse().unwrap(),
        entry: Entry::HttpProxy,
        identity: None,
        now: SystemTime::UNIX_EPOCH,
    }
}

fn rule(name: &str, hosts: &[&str]) -> Rule {
    Rule { name: name.into(), hosts: hosts.iter().map(|h| h.parse().unwrap()).collect(), ..Rule::default() }
}

fn hello(sni: &str) -> Hello {
    Hello {
        sni: Sni::Name(Host::parse(sni).unwrap()),
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        ..Hello::default()
    }
}

fn no_sni() -> Hello {
    Hello::default()
}

/// "inspect DIAL NAME", "tunnel DIAL NAME: reason" or "deny code".
fn show(answer: &Answer) -> String {
    match answer {
        Answer::Inspect(p) => {
            assert_eq!(p.passage(), Passage::Inspect);
            format!("inspect {} {}", p.dial(), p.server_name())
        }
        Answer::Tunnel(p, reason) => {
            assert_eq!(p.passage(), Passage::Tunnel);
            format!("tunnel {} {}: {}", p.dial(), p.server_name(), reason.code())
        }
        Answer::Deny(denial) => format!("deny {}", denial.code()),
    }
}

fn connect(config: &Config, target: &str) -> String {
    show(&Policy::new(config).connect(&client("192.0.2.9"), &authority(target)))
}

fn permit(policy: &Policy, target: &str) -> Permit {
    match policy.connect(&client("192.0.2.9"), &authority(target)) {
        Answer::Inspect(permit) => permit,
        other => panic!("{target}: {other:?}"),
    }
}

fn forward(config: &Config, target: &str) -> String {
    match Policy::new(config).forward(&client("192.0.2.9"), &authority(target)) {
        RequestAnswer::Proceed(p) => format!("proceed {}", p.dial()),
        RequestAnswer::Deny(denial) => format!("deny {}", denial.code()),
    }
}

/// CONNECT, then a ClientHello.
fn tls(config: &Config, target: &str, hello: &Hello) -> String {
    let policy = Policy::new(config);
    show(&policy.hello(permit(&policy, target), hello))
}

/// CONNECT, a ClientHello if there is one, then a request for `host`.
fn request(config: &Config, target: &str, hello: Option<&Hello>, host: &str) -> String {
    let policy = Policy::new(config);
    let mut permit = permit(&policy, target);
    if let Some(hello) = hello {
        permit = match policy.hello(permit, hello) {
            Answer::Inspect(permit) => permit,
            other => return show(&other),
        };
    }
    let default = if hello.is_some() { Port::HTTPS } else { Port::HTTP };
    match policy.request(&permit, &Authority::parse(host, Some(default)).unwrap()) {
        RequestAnswer::Proceed(p) => format!("proceed {} {}", p.dial(), p.server_name()),
        RequestAnswer::Deny(denial) => format!("deny {}", denial.code()),
    }
}

#[test]
fn web_ports_are_inspected_and_other_connect_ports_denied() {
    let config = Config::default();
    for port in [80, 443, 8443] {
        assert_eq!(connect(&config, &format!("a.test:{port}")), format!("inspect a.test:{port} a.test"));
    }
    for port in [1, 22, 25, 81, 444, 3128, 8080, 65535] {
        assert_eq!(connect(&config, &format!("a.test:{port}")), "deny port_denied", "{port}");
    }
}

#[test]
fn the_port_table_decides_what_a_tunnel_is() {
    let mut config = Config::default();
    let port = |p| Port::new(p).unwrap();
    config.ports.insert(port(22), PortAction::Tunnel);
    config.ports.insert(port(8080), PortAction::Inspect);
    config.ports.insert(port(80), PortAction::Deny);
    assert_eq!(connect(&config, "a.test:22"), "tunnel a.test:22 a.test: port");
    assert_eq!(connect(&config, "a.test:8080"), "inspect a.test:8080 a.test");
    assert_eq!(connect(&config, "a.test:80"), "deny port_denied");
    config.other_ports = PortAction::Tunnel;
    assert_eq!(connect(&config, "a.test:9999"), "tunnel a.test:9999 a.test: port");
}

#[test]
fn forwarded_requests_reach_web_ports_and_high_ports_only() {
    let mut config = Config::default();
    for (target, answer) in [
        ("a.test:80", "proceed a.test:80"),
        ("a.test:8080", "proceed a.test:8080"),
        ("a.test:1024", "proceed a.test:1024"),
        ("a.test:25", "deny port_denied"),
        ("a.test:1023", "deny port_denied"),
        ("10.0.0.1:80", "deny address_denied"),
    ] {
        assert_eq!(forward(&config, target), answer, "{target}");
    }
    config.ports.insert(Port::new(6379).unwrap(), PortAction::Deny);
    assert_eq!(forward(&config, "a.test:6379"), "deny port_denied");
    config.forward_high_ports = false;
    assert_eq!(forward(&config, "a.test:8080"), "deny port_denied");
}

#[test]
fn addresses_that_are_not_public_are_denied_in_every_spelling() {
    let config = Config::default();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        assert_eq!(connect(&config, &format!("{host}:443")), "deny address_denied", "{host}");
        assert_eq!(forward(&config, &format!("{host}:80")), "deny address_denied", "{host}");
    }
    for host in ["localhost", "LOCALHOST.", "a.localhost"] {
        assert_eq!(connect(&config, &format!("{host}:443")), "deny local_name", "{host}");
    }
    let open = Config { allow_private: vec!["127.0.0.0/8".parse().unwrap()], ..config };
    assert_eq!(connect(&open, "127.0.0.1:443"), "inspect 127.0.0.1:443 127.0.0.1");
    assert_eq!(connect(&open, "localhost:443"), "inspect localhost:443 localhost");
    assert_eq!(connect(&open, "10.0.0.1:443"), "deny address_denied");
}

#[test]
fn what_a_name_resolved_to_is_checked_on_the_permit() {
    let config = Config {
        own_listeners: vec!["203.0.113.1:443".parse().unwrap()],
        deny: vec![rule("bad net", &["198.51.100.0/24"])],
        ..Config::default()
    };
    let policy = Policy::new(&config);
    let permit = permit(&policy, "rebind.test:443");
    let dial = |ip: &str| permit.check_address(ip.parse().unwrap());
    assert_eq!(dial("93.184.216.34").unwrap().addr().to_string(), "93.184.216.34:443");
    for (ip, code) in [
        ("127.0.0.1", "address_denied"),
        ("::ffff:10.0.0.1", "address_denied"),
        ("169.254.169.254", "address_denied"),
        ("203.0.113.1", "own_listener"),
        ("198.51.100.7", "host_denied"),
    ] {
        assert_eq!(dial(ip).unwrap_err().code(), code, "{ip}");
    }
}

#[test]
fn a_denial_wins_over_bypass_port_and_allow() {
    let config = Config {
        deny: vec![rule("no games", &[".games.test"])],
        bypass: vec![rule("all", &["*"])],
        allow: vec![rule("all", &["*"])],
        other_ports: PortAction::Tunnel,
        ..Config::default()
    };
    assert_eq!(connect(&config, "a.games.test:443"), "deny host_denied");
    assert_eq!(connect(&config, "a.games.test:99"), "deny host_denied");
    assert_eq!(forward(&config, "games.test:80"), "deny host_denied");
    assert_eq!(connect(&config, "a.test:443"), "tunnel a.test:443 a.test: bypass");
    // Denied ports stay denied for hosts on the bypass list.
    let config = Config { other_ports: PortAction::Deny, ..config };
    assert_eq!(connect(&config, "a.test:22"), "deny port_denied");
}

#[test]
fn rules_hold_for_the_clients_and_people_they_name() {
    let mut bypass = rule("ann's bank", &["bank.test"]);
    bypass.identities = vec!["ann".into()];
    bypass.clients = vec!["192.0.2.0/24".parse().unwrap()];
    let policy = Policy::new(&Config { bypass: vec![bypass], ..Config::default() });
    for (ip, identity, answer) in [
        ("192.0.2.9", Some("ann"), "tunnel bank.test:443 bank.test: bypass"),
        ("192.0.2.9", Some("bob"), "inspect bank.test:443 bank.test"),
        ("192.0.2.9", None, "inspect bank.test:443 bank.test"),
        ("203.0.113.9", Some("ann"), "inspect bank.test:443 bank.test"),
    ] {
        let facts = ClientFacts { identity, ..client(ip) };
        assert_eq!(show(&policy.connect(&facts, &authority("bank.test:443"))), answer, "{ip} {identity:?}");
    }
}

#[test]
fn clients_outside_the_listed_networks_are_refused() {
    let policy =
        Policy::new(&Config { client_networks: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() });
    for (ip, ok) in [
        ("10.1.1.1", true),
        ("::ffff:10.1.1.1", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("11.0.0.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(policy.client(ip.parse().unwrap()).is_ok(), ok, "{ip}");
        let answer = show(&policy.connect(&client(ip), &authority("a.test:443")));
        assert_eq!(answer.starts_with("inspect"), ok, "{ip} {answer}");
    }
}

#[test]
fn the_sni_must_agree_with_the_target() {
    let config = Config::default();
    let table = [
        ("a.test:443", hello("a.test"), "inspect a.test:443 a.test"),
        ("a.test:443", hello("A.TEST."), "inspect a.test:443 a.test"),
        ("a.test:443", no_sni(), "inspect a.test:443 a.test"),
        ("a.test:443", hello("b.test"), "deny sni_mismatch"),
        ("a.test:443", hello("x.a.test"), "deny sni_mismatch"),
        ("a.test:443", Hello { sni: Sni::Invalid, ..Hello::default() }, "deny sni_invalid"),
        ("192.0.2.1:443", hello("a.test"), "inspect 192.0.2.1:443 a.test"),
        ("192.0.2.1:443", no_sni(), "inspect 192.0.2.1:443 192.0.2.1"),
        ("192.0.2.1:443", hello("192.0.2.1"), "inspect 192.0.2.1:443 192.0.2.1"),
        ("192.0.2.1:443", hello("192.0.2.2"), "deny sni_invalid"),
        ("a.test:443", hello("192.0.2.2"), "deny sni_invalid"),
    ];
    for (target, hello, answer) in table {
        assert_eq!(tls(&config, target, &hello), answer, "{target} {hello:?}");
    }
}

#[test]
fn a_bypass_by_sni_dials_the_name_that_earned_it() {
    let config = Config { bypass: vec![rule("bank", &[".bank.test"])], ..Config::default() };
    assert_eq!(
        tls(&config, "192.0.2.1:443", &hello("www.bank.test")),
        "tunnel www.bank.test:443 www.bank.test: bypass"
    );
    assert_eq!(tls(&config, "192.0.2.1:443", &hello("a.test")), "inspect 192.0.2.1:443 a.test");
    // A bypassed name in the SNI does not take another target out of inspection.
    assert_eq!(tls(&config, "evil.test:443", &hello("bank.test")), "deny sni_mismatch");
    let lax = Config { fronting: Fronting::Allow, ..config };
    assert_eq!(tls(&lax, "evil.test:443", &hello("bank.test")), "inspect evil.test:443 evil.test");
}

#[test]
fn a_denied_name_is_denied_wherever_it_shows() {
    let config =
        Config { deny: vec![rule("no", &["no.test"])], fronting: Fronting::Allow, ..Config::default() };
    assert_eq!(connect(&config, "no.test:443"), "deny host_denied");
    assert_eq!(tls(&config, "a.test:443", &hello("no.test")), "deny host_denied");
    assert_eq!(tls(&config, "192.0.2.1:443", &hello("no.test")), "deny host_denied");
    assert_eq!(request(&config, "a.test:443", Some(&hello("a.test")), "no.test"), "deny host_denied");
    assert_eq!(request(&config, "192.0.2.1:80", None, "no.test"), "deny host_denied");
}

#[test]
fn the_host_must_agree_with_sni_and_target() {
    let config = Config::default();
    let (a, none) = (hello("a.test"), no_sni());
    let table = [
        ("a.test:443", Some(&a), "a.test", "proceed a.test:443 a.test"),
        ("a.test:443", Some(&a), "A.test.:443", "proceed a.test:443 a.test"),
        ("a.test:443", Some(&a), "b.test", "deny host_mismatch"),
        ("a.test:443", Some(&a), "a.test:444", "deny host_mismatch"),
        ("a.test:8443", Some(&a), "a.test:8443", "proceed a.test:8443 a.test"),
        ("a.test:8443", Some(&a), "a.test", "proceed a.test:8443 a.test"),
        ("a.test:443", Some(&none), "b.test", "deny host_mismatch"),
        ("192.0.2.1:443", Some(&a), "a.test", "proceed 192.0.2.1:443 a.test"),
        ("192.0.2.1:443", Some(&a), "192.0.2.1", "deny host_mismatch"),
        ("192.0.2.1:443", Some(&none), "a.test", "deny host_mismatch"),
        ("192.0.2.1:443", Some(&none), "192.0.2.1", "proceed 192.0.2.1:443 192.0.2.1"),
        ("a.test:80", None, "a.test", "proceed a.test:80 a.test"),
        ("a.test:80", None, "b.test", "deny host_mismatch"),
        ("192.0.2.1:80", None, "a.test", "proceed 192.0.2.1:80 a.test"),
        ("192.0.2.1:80", None, "192.0.2.2", "deny host_mismatch"),
        ("192.0.2.1:80", None, "a.test:8080", "deny host_mismatch"),
    ];
    for (target, hello, host, answer) in table {
        assert_eq!(request(&config, target, hello, host), answer, "{target} {hello:?} {host}");
    }
}

#[test]
fn hosts_that_belong_together_may_share_a_connection() {
    let config = Config {
        fronting_allow: vec![FrontingRule {
            targets: vec!["cdn.test".parse().unwrap()],
            hosts: vec![".shop.test".parse().unwrap()],
        }],
        ..Config::default()
    };
    let cdn = hello("cdn.test");
    assert_eq!(
        request(&config, "cdn.test:443", Some(&cdn), "www.shop.test"),
        "proceed cdn.test:443 cdn.test"
    );
    assert_eq!(request(&config, "cdn.test:443", Some(&cdn), "other.test"), "deny host_mismatch");
    let shop = hello("shop.test");
    assert_eq!(request(&config, "shop.test:443", Some(&shop), "cdn.test"), "deny host_mismatch");
}

#[test]
fn with_an_allow_list_only_listed_names_are_reached_and_claims_are_not_believed() {
    let config = Config { allow: vec![rule("ours", &[".ours.test"])], ..Config::default() };
    assert_eq!(connect(&config, "a.ours.test:443"), "inspect a.ours.test:443 a.ours.test");
    assert_eq!(connect(&config, "other.test:443"), "deny host_not_allowed");
    assert_eq!(forward(&config, "other.test:80"), "deny host_not_allowed");
    assert_eq!(forward(&config, "192.0.2.1:80"), "deny host_not_allowed");
    // An address may turn out to be asked for by a listed name; its certificate proves that...
    assert_eq!(tls(&config, "192.0.2.1:443", &hello("a.ours.test")), "inspect 192.0.2.1:443 a.ours.test");
    assert_eq!(tls(&config, "192.0.2.1:443", &hello("other.test")), "deny host_not_allowed");
    assert_eq!(tls(&config, "192.0.2.1:443", &no_sni()), "deny host_not_allowed");
    // ...and where nothing proves it, the name is dialled instead.
    assert_eq!(request(&config, "192.0.2.1:80", None, "a.ours.test"), "proceed a.ours.test:80 a.ours.test");
    assert_eq!(request(&config, "192.0.2.1:80", None, "other.test"), "deny host_not_allowed");
    let lax = Config { fail: FailModes { not_http: NotHttp::Tunnel, ..FailModes::default() }, ..config };
    let policy = Policy::new(&lax);
    let opaque = policy.opaque(permit(&policy, "192.0.2.1:443"), Opaque::NotHttp);
    assert_eq!(show(&opaque), "deny host_not_allowed");
    let smtp = Hello { alpn: vec![b"smtp".to_vec()], ..hello("a.ours.test") };
    assert_eq!(tls(&lax, "192.0.2.1:443", &smtp), "tunnel a.ours.test:443 a.ours.test: alpn_not_http");
}

#[test]
fn what_is_not_http_follows_the_fail_modes() {
    let deny = Config::default();
    let fail = FailModes { not_http: NotHttp::Tunnel, silent_tunnel: SilentTunnel::Tunnel, ..deny.fail };
    let tunnel = Config { fail, ..Config::default() };
    let odd = Hello { alpn: vec![b"imap".to_vec()], ..hello("a.test") };
    assert_eq!(tls(&deny, "a.test:443", &odd), "deny alpn_not_http");
    assert_eq!(tls(&tunnel, "a.test:443", &odd), "tunnel a.test:443 a.test: alpn_not_http");
    for (what, denied, relayed) in [
        (Opaque::NotHttp, "deny not_http", "tunnel a.test:443 a.test: not_http"),
        (Opaque::Silent, "deny silent", "tunnel a.test:443 a.test: silent"),
    ] {
        for (config, answer) in [(&deny, denied), (&tunnel, relayed)] {
            let policy = Policy::new(config);
            assert_eq!(show(&policy.opaque(permit(&policy, "a.test:443"), what)), answer);
        }
    }
}

#[test]
fn a_silent_tunnel_is_no_leave_for_tls() {
    let fail = FailModes { silent_tunnel: SilentTunnel::Tunnel, ..FailModes::default() };
    let policy = Policy::new(&Config { fail, ..Config::default() });
    let Answer::Tunnel(permit, reason) = policy.opaque(permit(&policy, "a.test:443"), Opaque::Silent) else {
        panic!("relayed as long as it is silent")
    };
    assert_eq!(permit.passage(), Passage::Tunnel);
    for name in ["a.test", "b.test"] {
        let Answer::Inspect(back) = policy.tunnelled(&permit, &reason, &hello(name)) else {
            panic!("{name}")
        };
        assert_eq!(back.passage(), Passage::Inspect);
        assert_eq!(matches!(policy.hello(back, &hello(name)), Answer::Inspect(_)), name == "a.test");
    }
}

#[test]
fn a_new_policy_holds_for_the_next_request_of_an_open_connection() {
    let old = Policy::new(&Config::default());
    let Answer::Inspect(permit) = old.hello(permit(&old, "a.test:443"), &hello("a.test")) else {
        panic!("a plain host must be inspected")
    };
    let new = Policy::new(&Config {
        deny: vec![rule("no a", &["a.test"])],
        verification: VerificationId(7),
        ..Config::default()
    });
    let host = authority("a.test:443");
    assert!(matches!(old.request(&permit, &host), RequestAnswer::Proceed(_)));
    let RequestAnswer::Deny(denial) = new.request(&permit, &host) else { panic!("denied by now") };
    assert_eq!(denial.code(), "host_denied");
    let newer = Policy::new(&Config { verification: VerificationId(8), ..Config::default() });
    let RequestAnswer::Proceed(permit) = newer.request(&permit, &host) else { panic!("allowed again") };
    assert_eq!(permit.verification(), VerificationId(8));
}

/// CONNECT to what is relayed unread, then a ClientHello.
fn tunnelled(config: &Config, target: &str, hello: &Hello) -> String {
    let policy = Policy::new(config);
    match policy.connect(&client("192.0.2.9"), &authority(target)) {
        Answer::Tunnel(permit, reason) => show(&policy.tunnelled(&permit, &reason, hello)),
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn names_are_judged_in_tunnels_that_are_not_read() {
    let mut config = Config {
        bypass: vec![rule("bank", &[".bank.test", "192.0.2.0/24"])],
        deny: vec![rule("no", &["no.test", "no.bank.test"])],
        ..Config::default()
    };
    config.ports.insert(Port::new(22).unwrap(), PortAction::Tunnel);
    let invalid = Hello { sni: Sni::Invalid, ..Hello::default() };
    let table = [
        ("bank.test:443", hello("bank.test"), "tunnel bank.test:443 bank.test: bypass"),
        ("bank.test:443", hello("BANK.test."), "tunnel bank.test:443 bank.test: bypass"),
        ("bank.test:443", no_sni(), "tunnel bank.test:443 bank.test: bypass"),
        ("bank.test:443", invalid.clone(), "deny sni_invalid"),
        ("bank.test:443", hello("192.0.2.1"), "deny sni_invalid"),
        ("bank.test:443", hello("no.test"), "deny host_denied"),
        ("bank.test:443", hello("no.bank.test"), "deny host_denied"),
        ("bank.test:443", hello("a.test"), "deny sni_mismatch"),
        ("bank.test:443", hello("www.bank.test"), "deny sni_mismatch"),
        ("192.0.2.1:443", hello("a.test"), "tunnel 192.0.2.1:443 a.test: bypass"),
        ("192.0.2.1:443", hello("no.test"), "deny host_denied"),
        ("192.0.2.1:443", hello("192.0.2.1"), "tunnel 192.0.2.1:443 192.0.2.1: bypass"),
        ("a.test:22", hello("no.test"), "deny host_denied"),
        ("a.test:22", hello("b.test"), "deny sni_mismatch"),
        ("a.test:22", hello("a.test"), "tunnel a.test:22 a.test: port"),
        ("a.test:22", invalid, "deny sni_invalid"),
    ];
    for (target, hello, answer) in &table {
        assert_eq!(tunnelled(&config, target, hello), *answer, "{target} {hello:?}");
    }
    // Where names may disagree, each of them has to have earned the bypass.
    config.fronting = Fronting::Allow;
    assert_eq!(tunnelled(&config, "bank.test:443", &hello("a.test")), "inspect bank.test:443 bank.test");
    let www = tunnelled(&config, "bank.test:443", &hello("www.bank.test"));
    assert_eq!(www, "tunnel bank.test:443 bank.test: bypass");
    assert_eq!(tunnelled(&config, "a.test:22", &hello("b.test")), "tunnel a.test:22 a.test: port");
    let allow = Config { allow: vec![rule("ours", &[".bank.test", "192.0.2.0/24"])], ..config };
    assert_eq!(tunnelled(&allow, "192.0.2.1:443", &hello("a.test")), "deny host_not_allowed");
}

#[test]
fn a_rule_that_ended_holds_no_longer() {
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    let ends = Rule { expires: Some(Expiry { at, text: "then".into() }), ..rule("bank", &["bank.test"]) };
    let config = Config { bypass: vec![ends], ..Config::default() };
    let policy = Policy::new(&config);
    for (seconds, answer) in
        [(999, "tunnel bank.test:443 bank.test: bypass"), (1_000, "inspect bank.test:443 bank.test")]
    {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let client = ClientFacts { now, ..client("192.0.2.9") };
        assert_eq!(show(&policy.connect(&client, &authority("bank.test:443"))), answer);
        let Answer::Inspect(permit) = policy.connect(&client, &authority("192.0.2.1:443")) else { panic!() };
        let by_sni = show(&policy.hello(permit, &hello("bank.test")));
        assert_eq!(by_sni.starts_with("tunnel"), seconds == 999, "{by_sni}");
        assert_eq!(config.expired(now).collect::<Vec<_>>().len(), usize::from(seconds == 1_000));
    }
}

#[test]
fn categories_stand_for_the_hosts_in_them() {
    let mut hosts = HostList::default();
    hosts.add("bank.test\n.credit.test").unwrap();
    let categories = vec![Category { name: "banking".into(), hosts: Arc::new(hosts) }];
    let banking = Rule { categories: vec!["banking".into()], ..rule("money", &["fund.test"]) };
    let config =
        Config { bypass: vec![banking.clone()], categories: categories.clone(), ..Config::default() };
    for (host, bypassed) in
        [("bank.test", true), ("a.credit.test", true), ("fund.test", true), ("a.test", false)]
    {
        assert_eq!(connect(&config, &format!("{host}:443")).starts_with("tunnel"), bypassed, "{host}");
    }
    let denied = Config { deny: vec![banking.clone()], categories: categories.clone(), ..Config::default() };
    assert_eq!(connect(&denied, "a.credit.test:443"), "deny host_denied");
    let allowed = Config { allow: vec![banking], categories, ..Config::default() };
    assert_eq!(connect(&allowed, "bank.test:443"), "inspect bank.test:443 bank.test");
    assert_eq!(connect(&allowed, "a.test:443"), "deny host_not_allowed");
}

#[test]
fn a_name_that_leads_to_bypassed_addresses_alone_is_bypassed_there() {
    let config = Config { bypass: vec![rule("plant", &["192.0.2.0/25"])], ..Config::default() };
    let policy = Policy::new(&config);
    let name = permit(&policy, "plc.test:443");
    assert!(policy.asks_where(&name));
    let leads_to = |ips: &[&str]| {
        let leads =
            Leads { addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(), port: Port::new(9443) };
        let (permit, reason) = policy.leads_to(&name, leads.clone())?;
        assert_eq!(permit.leads(), Some(&leads), "what was judged is what is dialled");
        Some(show(&Answer::Tunnel(permit, reason)))
    };
    let tunnel = Some("tunnel plc.test:443 plc.test: bypass".to_owned());
    assert_eq!(leads_to(&["192.0.2.7"]), tunnel);
    assert_eq!(leads_to(&["192.0.2.7", "192.0.2.8"]), tunnel);
    assert_eq!(leads_to(&["192.0.2.7", "203.0.113.1"]), None);
    assert_eq!(leads_to(&["203.0.113.1", "192.0.2.7"]), None);
    assert_eq!(leads_to(&[]), None);
    let names = Policy::new(&Config { bypass: vec![rule("bank", &["bank.test"])], ..Config::default() });
    assert!(!names.asks_where(&permit(&names, "plc.test:443")), "nothing to ask a resolver for");
}

#[test]
fn a_host_outside_the_cas_constraints_is_denied_or_relayed_as_policy_says() {
    let config = |outside_ca_constraints| Config {
        fail: FailModes { outside_ca_constraints, ..FailModes::default() },
        ..Config::default()
    };
    let target = authority("away.test:443");
    let answer = |outside| {
        let policy = Policy::new(&config(outside));
        let Answer::Inspect(permit) = policy.connect(&client("192.0.2.1"), &target) else { panic!() };
        policy.outside_ca(permit, &target.host, "its certificate permits only corp.test".into())
    };
    let Answer::Deny(denial) = answer(OutsideCa::Deny) else { panic!("the default") };
    assert_eq!(denial.code(), "ca_constraints");
    assert!(denial.to_string().contains("away.test") && denial.help().is_some());
    let Answer::Tunnel(permit, reason) = answer(OutsideCa::Tunnel) else { panic!() };
    assert_eq!((reason.code(), permit.dial()), ("ca_constraints", &target));
    assert_eq!(Config::default().fail.outside_ca_constraints, OutsideCa::Deny);
}
