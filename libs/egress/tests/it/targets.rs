//! Forbidden targets: no spelling, name or rebinding reaches them, and the answer tells nothing.

use std::net::IpAddr;

use domain::{AddressPolicy, Verdict};
use egress::{Client, FetchError, Guard, Request, Resolver};

use crate::site::{Site, client, client_of, config, get, response, url};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("because it is an address")
}

#[tokio::test]
async fn no_spelling_of_loopback_is_connected_to() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    let resolver = Resolver::system().expect("because the machine has one");
    let guard = Guard::new(AddressPolicy::default(), resolver);
    let closed = Client::with_guard(&config(&[]), guard).expect("because the settings are sound");
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.2",
        "0.0.0.0",
        "0",
        "①②⑦.⓪.⓪.①",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::7f00:1]",
        "localhost",
        "LOCALHOST.",
        "foo.localhost",
    ] {
        let error = get(&closed, url(&format!("http://{host}:{port}/"))).await.expect_err(host);
        assert_eq!(error, FetchError::NotAllowed, "{host}");
        assert_eq!(error.verdict(), Verdict::NotAllowed);
        assert!(!error.to_string().contains(|c: char| c.is_ascii_digit()), "{error}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn an_opened_network_is_reached_and_no_other() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    let client =
        Client::new(&config(&[("allow_targets", r#"["127.0.0.0/8"]"#)])).expect("because it is sound");
    for host in ["127.0.0.1", "2130706433", "[::ffff:7f00:1]", "localhost", "foo.localhost"] {
        let fetched = get(&client, url(&format!("http://{host}:{port}/"))).await.expect(host);
        assert_eq!((fetched.status, &fetched.body[..]), (200, &b"canary"[..]), "{host}");
    }
    assert_eq!(get(&client, url(&format!("http://[::1]:{port}/"))).await.err(), Some(FetchError::NotAllowed));
    assert_eq!(canary.connections().await, 5);
}

#[tokio::test]
async fn a_name_with_any_forbidden_address_is_refused() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    let names = Resolver::fixed([
        ("private.test", vec![ip("10.0.0.1")]),
        ("metadata.test", vec![ip("169.254.169.254")]),
        ("mixed.test", vec![ip("127.0.0.1"), ip("10.0.0.1")]),
        ("mixed6.test", vec![ip("127.0.0.1"), ip("::1")]),
        ("nat64.test", vec![ip("64:ff9b::7f00:1")]),
        ("fine.test", vec![ip("127.0.0.1")]),
    ]);
    let client = client_of(names, &[]);
    for name in ["private.test", "metadata.test", "mixed.test", "mixed6.test", "nat64.test"] {
        let found = get(&client, url(&format!("http://{name}:{port}/"))).await;
        assert_eq!(found.err(), Some(FetchError::NotAllowed), "{name}");
    }
    assert_eq!(canary.connections().await, 0);
    let fetched =
        get(&client, url(&format!("http://fine.test:{port}/"))).await.expect("because it is allowed");
    assert!(fetched.timings.dns.is_some() && fetched.timings.connect.is_some());
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_the_second_time() {
    let site = Site::fixed(response("", "first")).await;
    let names = Resolver::fixed([("rebind.test", [ip("127.0.0.1")]), ("rebind.test", [ip("10.0.0.1")])]);
    let client = client_of(names, &[]);
    let target = url(&format!("http://rebind.test:{}/", site.addr.port()));
    assert_eq!(get(&client, target.clone()).await.expect("because it is allowed").status, 200);
    assert_eq!(get(&client, target).await.err(), Some(FetchError::NotAllowed));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_no_infrastructure_fault() {
    let error = get(&client(&[]), url("http://nowhere.test/")).await.expect_err("because it does not exist");
    assert_eq!(error, FetchError::Dns { transient: false });
    assert!(error.verdict() == Verdict::Dns && !error.retryable());
}

#[tokio::test]
async fn nobody_listening_is_a_connection_error() {
    let site = Site::canary().await;
    let target = site.url("/");
    drop(site);
    // The port is closed once the task of the site is gone; until then it answers.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let client = client(&[]);
    let error = loop {
        match get(&client, target.clone()).await {
            Err(error) => break error,
            Ok(_) => assert!(std::time::Instant::now() < deadline, "the port is closed"),
        }
    };
    assert!(error == FetchError::Connect && error.retryable());
}

#[tokio::test]
async fn headers_of_the_connection_cannot_be_set() {
    let canary = Site::canary().await;
    let request = Request::get(canary.url("/")).header("Host", "internal");
    assert_eq!(client(&[]).fetch(request).await.err(), Some(FetchError::BadHeader));
    assert_eq!(canary.connections().await, 0);
}
