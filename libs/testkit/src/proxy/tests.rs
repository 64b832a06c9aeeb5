//! Each toxic against a server that says everything back.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Proxy, Toxic, Way};

/// A proxy before an echo, and a connection through it.
async fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback can be bound");
    let addr = listener.local_addr().expect("because it is bound");
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let proxy = Proxy::start(addr).await;
    let client = TcpStream::connect(proxy.addr()).await.expect("because it listens");
    (proxy, client)
}

async fn say(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).await.expect("because the connection is open");
}

async fn hear(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut heard = vec![0; count];
    client.read_exact(&mut heard).await.expect("because the echo answers");
    heard
}

#[tokio::test]
async fn a_healthy_proxy_changes_nothing_and_passes_the_end_on() {
    let (_proxy, client) = echo().await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut from, mut to) = client.into_split();
    let all = sent.clone();
    let send = async move {
        to.write_all(&all).await.expect("because the connection is open");
        to.shutdown().await.expect("because the connection is open");
        to
    };
    let mut heard = Vec::new();
    let (read, _to) = tokio::join!(from.read_to_end(&mut heard), send);
    assert_eq!(read.expect("because it ends in order"), sent.len());
    assert!(heard == sent, "the bytes were changed");
}

#[tokio::test]
async fn latency_holds_back_and_keeps_the_order() {
    let (proxy, mut client) = echo().await;
    proxy.harm_both(Toxic::Latency(Duration::from_millis(50), Duration::from_millis(50)));
    let begun = Instant::now();
    for digit in b"0123456789" {
        say(&mut client, &[*digit]).await;
    }
    assert_eq!(hear(&mut client, 10).await, b"0123456789");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_narrow_way_takes_its_time() {
    let (proxy, mut client) = echo().await;
    proxy.harm(Way::Up, Toxic::Bandwidth(10_000));
    let begun = Instant::now();
    say(&mut client, &[7; 3000]).await;
    assert_eq!(hear(&mut client, 3000).await, [7; 3000]);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cut_comes_at_once_or_after_so_many_bytes() {
    let (proxy, mut client) = echo().await;
    say(&mut client, b"before").await;
    assert_eq!(hear(&mut client, 6).await, b"before");
    proxy.harm(Way::Up, Toxic::CutAfter(4));
    say(&mut client, b"abcdefgh").await;
    let mut heard = Vec::new();
    let end = client.read_to_end(&mut heard).await;
    assert!(end.is_err(), "a reset, not an end: {end:?}");
    assert!(b"abcd".starts_with(&heard), "no more than what was let through: {heard:?}");

    proxy.heal();
    let mut again = TcpStream::connect(proxy.addr()).await.expect("because it listens");
    say(&mut again, b"again").await;
    assert_eq!(hear(&mut again, 5).await, b"again");
    proxy.cut();
    assert!(again.read_to_end(&mut heard).await.is_err());
    let mut new = TcpStream::connect(proxy.addr()).await.expect("because it listens");
    say(&mut new, b"new").await;
    assert_eq!(hear(&mut new, 3).await, b"new");
}

#[tokio::test]
async fn silence_hides_until_it_is_over() {
    let (proxy, mut client) = echo().await;
    proxy.harm(Way::Down, Toxic::Silence);
    say(&mut client, b"hello").await;
    let mut one = [0];
    assert!(timeout(Duration::from_millis(100), client.read(&mut one)).await.is_err());
    proxy.heal();
    assert_eq!(hear(&mut client, 5).await, b"hello");
}

#[tokio::test]
async fn an_end_may_come_late() {
    let (proxy, mut client) = echo().await;
    proxy.harm(Way::Up, Toxic::SlowClose(Duration::from_millis(200)));
    say(&mut client, b"x").await;
    assert_eq!(hear(&mut client, 1).await, b"x");
    let begun = Instant::now();
    client.shutdown().await.expect("because the connection is open");
    assert_eq!(client.read(&mut [0]).await.expect("because it ends in order"), 0);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_is_away_is_a_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("because loopback can be bound");
    let addr = nobody.local_addr().expect("because it is bound");
    drop(nobody);
    let proxy = Proxy::start(addr).await;
    let mut client = TcpStream::connect(proxy.addr()).await.expect("because it listens");
    assert!(client.read(&mut [0]).await.is_err());
}
