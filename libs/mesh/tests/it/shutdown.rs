//! The orderly end: not ready, no new calls, running calls finish, and only what does not is cut.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mesh::{Ca, error_reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{Handler, answer, eventually, gateway, start_with, text, within};

/// Says when a call has begun, and answers when told to.
fn gated() -> (Handler, Arc<Notify>, Arc<Notify>) {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, gate) = (begun.clone(), gate.clone());
        Handler::new(move |_| {
            let (begun, gate) = (begun.clone(), gate.clone());
            async move {
                begun.notify_one();
                gate.notified().await;
                answer("finished")
            }
        })
    };
    (handler, begun, gate)
}

async fn http(addr: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_running_call_finishes_and_new_ones_are_refused() {
    let ca = Ca::generate().unwrap();
    let (handler, begun, gate) = gated();
    let member = start_with(&ca, handler, "grace = \"20s\"").await;
    let mut client = member.client(&gateway(&ca));
    let running = mesh::spawn("call", async move { client.list_workers(within(20_000)).await });
    begun.notified().await;

    member.shutdown.begin();
    eventually("the port is closed", async || TcpStream::connect(member.addr).await.is_err()).await;
    let status = member.client(&gateway(&ca)).list_workers(within(5_000)).await.unwrap_err();
    assert_eq!(
        (status.code(), error_reason(&status).as_deref()),
        (Code::Unavailable, Some("PEER_UNREACHABLE"))
    );
    assert!(!running.finished() && !member.served.finished());

    gate.notify_one();
    assert_eq!(text(running.await.unwrap().unwrap()), "finished");
    timeout(Duration::from_secs(5), member.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_finish_within_the_grace_is_cut() {
    let ca = Ca::generate().unwrap();
    let (handler, begun, gate) = gated();
    let held = Arc::strong_count(&gate);
    let member = start_with(&ca, handler, "grace = \"100ms\"").await;
    let mut client = member.client(&gateway(&ca));
    let running = mesh::spawn("call", async move { client.list_workers(within(60_000)).await });
    begun.notified().await;
    let asked = Instant::now();
    member.shutdown.begin();
    timeout(Duration::from_secs(5), member.served).await.unwrap().unwrap().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(100));
    assert_eq!(running.await.unwrap().unwrap_err().code(), Code::Unavailable);
    eventually("the handler is gone", async || Arc::strong_count(&gate) < held).await;
}

#[tokio::test]
async fn a_channel_survives_the_restart_of_its_peer() {
    let ca = Ca::generate().unwrap();
    let member = start_with(&ca, Handler::saying("first"), "").await;
    let mut client = member.client(&gateway(&ca));
    assert_eq!(text(client.list_workers(within(5_000)).await.unwrap()), "first");
    member.shutdown.begin();
    timeout(Duration::from_secs(5), member.served).await.unwrap().unwrap().unwrap();
    let status = client.list_workers(within(5_000)).await.unwrap_err();
    assert_eq!(
        (status.code(), error_reason(&status).as_deref()),
        (Code::Unavailable, Some("PEER_UNREACHABLE"))
    );

    let overlay = format!("listen = \"{}\"", member.addr);
    let _again = start_with(&ca, Handler::saying("second"), &overlay).await;
    assert_eq!(text(client.list_workers(within(5_000)).await.unwrap()), "second");
}

#[tokio::test]
async fn while_draining_the_member_is_not_ready_but_still_answers() {
    let ca = Ca::generate().unwrap();
    let overlay = "admin_listen = \"127.0.0.1:0\"\ndrain_delay = \"2s\"";
    let member = start_with(&ca, Handler::saying("hello"), overlay).await;
    let admin = member.admin.unwrap();
    let identity = gateway(&ca);
    let health = async || {
        let mut client = HealthClient::new(member.channel(&identity));
        client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status
    };
    assert!(http(admin, "/ready").await.starts_with("HTTP/1.1 200"));
    assert!(http(admin, "/live").await.starts_with("HTTP/1.1 200"));
    assert_eq!(health().await, 1, "SERVING");

    member.shutdown.begin();
    eventually("it is not ready", async || http(admin, "/ready").await.starts_with("HTTP/1.1 503")).await;
    eventually("health says so", async || health().await == 2).await;
    assert!(http(admin, "/live").await.starts_with("HTTP/1.1 200"));
    assert_eq!(text(member.client(&identity).list_workers(within(5_000)).await.unwrap()), "hello");
    timeout(Duration::from_secs(10), member.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_member_ends_at_once() {
    let ca = Ca::generate().unwrap();
    let member = start_with(&ca, Handler::saying("hello"), "grace = \"60s\"").await;
    let mut client = member.client(&gateway(&ca));
    client.list_workers(within(5_000)).await.unwrap();
    member.shutdown.begin();
    timeout(Duration::from_secs(5), member.served).await.unwrap().unwrap().unwrap();
}
