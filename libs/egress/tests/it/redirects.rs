//! Redirects: every hop is checked as the first one, and credentials stay at home.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use egress::{FetchError, Request};

use crate::site::{Site, client, get, redirect, response, send};

/// A site that answers with the request head it got.
async fn mirror() -> Site {
    Site::start(|head, stream| send(stream, response("set-cookie: kept=never\r\n", head))).await
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_target_is_refused() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    for (location, expected) in [
        (format!("http://[::1]:{port}/"), FetchError::NotAllowed),
        ("http://10.0.0.1/".to_owned(), FetchError::NotAllowed),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), FetchError::NotAllowed),
        ("http://metadata.google.internal/".to_owned(), FetchError::NotAllowed),
        ("http://127.0.0.1:22/".to_owned(), FetchError::NotAllowed),
        ("file:///etc/passwd".to_owned(), FetchError::BadRedirect),
        (format!("http://user:pw@127.0.0.1:{port}/"), FetchError::BadRedirect),
        ("gopher://127.0.0.1/".to_owned(), FetchError::BadRedirect),
    ] {
        let site = Site::fixed(redirect(&location)).await;
        assert_eq!(get(&client(&[]), site.url("/")).await.err(), Some(expected), "{location}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn redirects_are_followed_counted_and_bounded() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let site = Site::start(move |head, stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        let bytes = if head.starts_with("GET /end") { response("", "end") } else { redirect("/end") };
        let bytes = if head.starts_with("GET /loop") { redirect("/loop") } else { bytes };
        send(stream, bytes)
    })
    .await;
    let fetched = get(&client(&[]), site.url("/start")).await.expect("because it ends");
    assert_eq!(fetched.final_url, site.url("/end"));
    assert_eq!(fetched.redirects, [site.url("/start").to_string()]);

    requests.store(0, Ordering::SeqCst);
    let found = get(&client(&[("max_redirects", "3")]), site.url("/loop")).await;
    assert_eq!(found.err(), Some(FetchError::TooManyRedirects));
    assert_eq!(requests.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_redirect_is_the_answer_if_it_is_not_to_be_followed() {
    let canary = Site::canary().await;
    let site = Site::fixed(redirect(canary.url("/").as_str())).await;
    let request = Request::post(site.url("/"), Bytes::from_static(b"{}"), 16);
    let fetched = client(&[]).fetch(request).await.expect("because a redirect is an answer");
    assert_eq!((fetched.status, fetched.header("location")), (302, Some(canary.url("/").as_str())));
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let other = mirror().await;
    let to = other.url("/other").to_string();
    let site = Site::start(move |head, stream| {
        let bytes = match head.split(' ').nth(1) {
            Some("/away") => redirect(&to),
            Some("/near") => redirect("/here"),
            _ => response("", head),
        };
        send(stream, bytes)
    })
    .await;
    for (path, kept) in [("/near", true), ("/away", false)] {
        let request = Request::get(site.url(path))
            .header("Authorization", "Bearer sesame")
            .header("Cookie", "sesame=1")
            .header("X-Own", "sesame")
            .header("Accept-Language", "open");
        let fetched = client(&[]).fetch(request).await.expect("because it is answered");
        let head = String::from_utf8_lossy(&fetched.body);
        assert_eq!(head.matches("sesame").count(), if kept { 3 } else { 0 }, "{head}");
        assert!(head.contains("open") && !head.to_ascii_lowercase().contains("referer"), "{head}");
    }
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let site = mirror().await;
    let client = client(&[]);
    for _ in 0..2 {
        let fetched = get(&client, site.url("/")).await.expect("because it is answered");
        assert_eq!(fetched.header("set-cookie"), Some("kept=never"));
        assert!(!String::from_utf8_lossy(&fetched.body).to_ascii_lowercase().contains("cookie:"));
    }
}

#[tokio::test]
async fn we_say_who_we_are_and_what_we_have() {
    let site = mirror().await;
    let mut request = Request::get(site.url("/"));
    request.etag = Some("\"v1\"".to_owned());
    request.last_modified = Some("Thu, 01 Jan 1970 00:00:00 GMT".to_owned());
    let fetched = client(&[]).fetch(request).await.expect("because it is answered");
    let head = String::from_utf8_lossy(&fetched.body);
    for line in [
        "user-agent: crawlmesh/0.1 (+https://github.com/crawlmesh/crawlmesh)\r\n",
        "accept-encoding: gzip, deflate, br, zstd\r\n",
        "if-none-match: \"v1\"\r\n",
        "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
}
