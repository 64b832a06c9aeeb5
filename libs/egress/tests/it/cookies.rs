//! Cookies: kept in the jar of a request and sent with the next, to whom they belong and to nobody else.

use std::sync::Arc;

use egress::{Client, Crumb, Jar, Request, Resolver};
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use url::Url;

use crate::site::{Site, client, client_of, response, send, url};

/// A site that sets what its path names in `?`, and answers with the cookies it got.
async fn site() -> Site {
    Site::start(|head, stream| {
        let set = head.split(['?', ' ']).nth(2).filter(|set| !set.starts_with("HTTP")).unwrap_or_default();
        let headers = match set {
            "" => String::new(),
            set => format!("set-cookie: {}\r\n", set.replace('+', "; ")),
        };
        let got = head.lines().find_map(|line| line.strip_prefix("cookie: ")).unwrap_or_default().to_owned();
        let bytes = if head.starts_with("GET /login") {
            format!("HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nlocation: /in\r\n{headers}\r\n").into_bytes()
        } else {
            response(&headers, got)
        };
        send(stream, bytes)
    })
    .await
}

async fn sent(client: &Client, request: Request) -> String {
    let fetched = client.fetch(request).await.expect("because the site answers");
    String::from_utf8(fetched.body.to_vec()).expect("because it is ASCII")
}

fn with(jar: &Arc<Jar>, page: domain::PageUrl) -> Request {
    Request { cookies: Some(jar.clone()), ..Request::get(page) }
}

#[tokio::test]
async fn what_an_answer_sets_goes_with_the_next_request_of_its_jar() {
    let (site, client) = (site().await, client(&[]));
    let (jar, other) = (Arc::new(Jar::new(10)), Arc::new(Jar::new(10)));
    // The redirect after a login is where most sessions begin.
    assert_eq!(sent(&client, with(&jar, site.url("/login?session=1+Path=/+HttpOnly"))).await, "session=1");
    assert_eq!(sent(&client, with(&jar, site.url("/next"))).await, "session=1");
    assert_eq!(sent(&client, with(&other, site.url("/next"))).await, "");
    assert_eq!(sent(&client, Request::get(site.url("/next"))).await, "");
    // What the job itself sends wins over what the site has set.
    let own = with(&jar, site.url("/next")).header("cookie", "session=mine; a=b");
    assert_eq!(sent(&client, own).await, "session=mine; a=b");
    assert_eq!(sent(&client, with(&jar, site.url("/x?session=gone+Path=/+Max-Age=0"))).await, "session=1");
    assert_eq!(sent(&client, with(&jar, site.url("/next"))).await, "");
    assert!(!format!("{jar:?}").contains("session"));
}

#[tokio::test]
async fn cookies_stay_with_the_host_that_set_them() {
    let site = site().await;
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let names = ["a.test", "b.test"].map(|name| (name, vec![loopback]));
    let client = client_of(Resolver::fixed(names), &[]);
    let jar = Arc::new(Jar::new(10));
    let at = |host: &str, path: &str| url(&format!("http://{host}:{}{path}", site.addr.port()));
    sent(&client, with(&jar, at("a.test", "/?k=v+Path=/"))).await;
    assert_eq!(sent(&client, with(&jar, at("a.test", "/"))).await, "k=v");
    assert_eq!(sent(&client, with(&jar, at("b.test", "/"))).await, "");
}

#[test]
fn a_cookie_is_for_the_host_and_its_parents_but_for_no_public_suffix() {
    for (from, set, to, expected) in [
        ("https://www.example.com/", "a=1", "https://www.example.com/", Some("a=1")),
        ("https://www.example.com/", "a=1", "https://example.com/", None),
        ("https://www.example.com/", "a=1; Domain=example.com", "https://other.example.com/", Some("a=1")),
        ("https://www.example.com/", "a=1; Domain=.EXAMPLE.com", "https://example.com/", Some("a=1")),
        ("https://www.example.com/", "a=1; Domain=other.com", "https://other.com/", None),
        ("https://www.example.com/", "a=1; Domain=com", "https://other.com/", None),
        ("https://a.example.co.uk/", "a=1; Domain=co.uk", "https://b.co.uk/", None),
        ("https://me.github.io/", "a=1; Domain=github.io", "https://you.github.io/", None),
        ("https://github.io/", "a=1; Domain=github.io", "https://github.io/", Some("a=1")),
        ("https://github.io/", "a=1; Domain=github.io", "https://you.github.io/", None),
        ("https://example.com/", "a=1; Secure", "http://example.com/", None),
        ("https://example.com/a/b", "a=1; Path=/a", "https://example.com/ab", None),
        ("https://example.com/a/b", "a=1", "https://example.com/a/c", Some("a=1")),
        ("http://example.com/", "__Secure-a=1; Secure", "https://example.com/", None),
        ("https://example.com/", "__Host-a=1; Secure; Path=/", "https://example.com/x", Some("__Host-a=1")),
        (
            "https://example.com/",
            "__Host-a=1; Secure; Path=/; Domain=example.com",
            "https://example.com/",
            None,
        ),
    ] {
        let jar = Jar::new(10);
        keep(&jar, from, set);
        assert_eq!(cookies(&jar, to).as_deref(), expected, "{set} from {from} to {to}");
    }
}

#[test]
fn a_jar_has_a_bound() {
    let jar = Jar::new(3);
    for number in 0..10 {
        keep(&jar, "https://example.com/", &format!("c{number}=x"));
    }
    keep(&jar, "https://example.com/", "c1=new");
    keep(&jar, "https://example.com/", &format!("c2={}", "x".repeat(5_000)));
    assert_eq!(jar.len(), 3);
    let sent = cookies(&jar, "https://example.com/").expect("because there are three");
    let mut sent: Vec<&str> = sent.split("; ").collect();
    sent.sort_unstable();
    assert_eq!(sent, ["c0=x", "c1=new", "c2=x"]);
}

#[test]
fn a_cookie_goes_to_a_browser_and_comes_back_the_same() {
    let jar = Jar::new(10);
    assert_eq!(jar.version(), 0);
    let from = "https://www.example.com/a/b";
    for set in [
        "host=sesame",
        "wide=2; Domain=example.com; Path=/; HttpOnly",
        "late=3; Path=/x; Secure; Max-Age=3600",
    ] {
        keep(&jar, from, set);
    }
    let (version, crumbs) = (jar.version(), jar.crumbs());
    assert_eq!((version, crumbs.len()), (3, 3));
    let named = |name: &str| crumbs.iter().find(|crumb| crumb.name == name).expect("because it was kept");
    let told = |name: &str| {
        let crumb = named(name);
        (
            crumb.host.as_str(),
            crumb.below,
            crumb.path.as_str(),
            crumb.secure,
            crumb.http_only,
            crumb.expires.is_some(),
        )
    };
    assert_eq!(told("host"), ("www.example.com", false, "/a", false, false, false));
    assert_eq!(told("wide"), ("example.com", true, "/", false, true, false));
    assert_eq!(told("late"), ("www.example.com", false, "/x", true, false, true));
    assert!(!format!("{crumbs:?}").contains("sesame"));

    let other = Jar::new(10);
    for crumb in &crumbs {
        other.put(crumb);
    }
    let sorted = |jar: &Jar| {
        let mut crumbs = jar.crumbs();
        crumbs.sort_by(|a, b| a.name.cmp(&b.name));
        crumbs
    };
    assert_eq!(sorted(&other), sorted(&jar));
    assert_eq!(other.version(), 0, "the browser knows them already");
    for host in ["com", "not a host"] {
        other.put(&Crumb { name: "evil".into(), host: host.into(), below: true, ..named("wide").clone() });
    }
    let sent = cookies(&other, "https://www.example.com/").expect("because it has cookies");
    assert!(!sent.contains("evil"), "what no site may set for others, no browser may: {sent}");
}

fn keep(jar: &Jar, from: &str, set: &str) {
    let mut headers = HeaderMap::new();
    headers.insert(SET_COOKIE, set.parse().expect("because it is a value"));
    jar.keep(&Url::parse(from).expect("because it is a URL"), &headers);
}

fn cookies(jar: &Jar, to: &str) -> Option<String> {
    let mut headers = HeaderMap::new();
    jar.add(&Url::parse(to).expect("because it is a URL"), &mut headers);
    headers.get(COOKIE).map(|value| value.to_str().expect("because it is ASCII").to_owned())
}
