//! Nothing that a page does reaches an address that is not allowed: canaries listen at 127.0.0.2 and must hear nothing.

use tokio::net::{TcpListener, UdpSocket};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn pages_reach_only_what_is_allowed() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let canary = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let stun = UdpSocket::bind(("127.0.0.2", port)).await.unwrap();
    let there = format!("http://127.0.0.2:{port}");

    assert!(bed.body(&site.url(&format!("/canary?to={there}"))).await.contains("canary"));
    for spelling in ["127.0.0.2", "2130706434", "0x7f000002", "127.2", "[::ffff:127.0.0.2]"] {
        for path in ["", "to", "jsto"] {
            let to = format!("http://{spelling}:{port}/");
            let url = if path.is_empty() { to } else { site.url(&format!("/{path}?to={to}")) };
            assert_eq!(
                verdict(bed.fetch(&url).await),
                (Kind::Final, Verdict::NotAllowed),
                "{path} {spelling}"
            );
        }
    }
    let secure = site.url(&format!("/to?to=https://127.0.0.2:{port}/"));
    assert_eq!(verdict(bed.fetch(&secure).await), (Kind::Final, Verdict::NotAllowed));
    for to in
        ["file:///etc/hostname", "chrome://version", "data:text/html,x", "view-source:http://127.0.0.2/"]
    {
        let result = bed.fetch(&site.url(&format!("/jsto?to={to}"))).await;
        if let Ok(fetched) = result {
            let body = String::from_utf8_lossy(&fetched.body).into_owned();
            assert!(fetched.final_url.path() == "/jsto" && body.contains("before"), "{to}: {body}");
        }
    }
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));

    let heard = tokio::time::timeout(Duration::from_millis(300), canary.accept()).await;
    assert!(heard.is_err(), "the canary was reached");
    let mut packet = [0; 64];
    assert!(stun.try_recv(&mut packet).is_err(), "the canary was reached by UDP");
    bed.close().await;
}

/// The test above can only fail if the page really tries: here it may, and does.
#[tokio::test(flavor = "multi_thread")]
async fn the_canaries_sing_where_they_may() {
    let (bed, site) = (Bed::reaching("127.0.0.0/8", "").await, Site::start("127.0.0.1").await);
    let there = Site::start("127.0.0.2").await;
    let to = there.url("");
    bed.body(&site.url(&format!("/canary?to={to}"))).await;
    let ways =
        ["img", "frame", "css", "script", "fetch", "xhr", "events", "worker", "socket", "beacon", "object"];
    eventually("every way out was tried", || ways.iter().all(|way| there.was_asked(&format!("/{way}"))))
        .await;
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_resolve_and_ports_that_do_not_answer_are_told() {
    let bed = Bed::new("").await;
    assert_eq!(verdict(bed.fetch("http://nowhere.example/").await), (Kind::Final, Verdict::Dns));
    assert_eq!(verdict(bed.fetch("https://nowhere.example/").await), (Kind::Final, Verdict::Dns));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(verdict(bed.fetch(&format!("http://{closed}/")).await), (Kind::Retry, Verdict::Connect));
    assert_eq!(verdict(bed.fetch(&format!("https://{closed}/")).await), (Kind::Retry, Verdict::Connect));
    bed.close().await;
}
