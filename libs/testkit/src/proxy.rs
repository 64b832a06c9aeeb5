//! A TCP proxy between two members that misbehaves on command: slow, narrow, silent, cut.
//!
//! Promises: bytes arrive in order and unchanged or not at all, so that mTLS passes through it; what it does to one way it
//! does to that way of every connection, those that come later included, until it is healed; dropped, it is gone.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, sleep_until},
};

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;
/// Pieces of one way that wait for their time; then the sender has to wait.
const WAITING: usize = 256;

/// A way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connects to who listens.
    Up,
    /// Back.
    Down,
}

/// What can be wrong with a way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Toxic {
    /// Everything arrives later by the first, and by a random part of the second.
    Latency(Duration, Duration),
    /// So many bytes pass in a second.
    Bandwidth(u32),
    /// After so many bytes of a connection, counted from now or its start, it is reset.
    CutAfter(u64),
    /// Nothing arrives and nobody is told. What was sent meanwhile arrives after healing, as after a partition.
    Silence,
    /// An end arrives so much later.
    SlowClose(Duration),
}

/// What every connection obeys.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Orders {
    up: Option<Toxic>,
    down: Option<Toxic>,
    /// Counts the orders; bytes are counted from the last change.
    number: u64,
    /// Counts cuts; a connection ends when it changes.
    cuts: u64,
}

impl Orders {
    fn of(&self, way: Way) -> Option<Toxic> {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    upstream: watch::Sender<SocketAddr>,
    orders: watch::Sender<Orders>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `upstream`, which need not be there yet, on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// Where loopback cannot be bound.
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback can be bound");
        let addr = listener.local_addr().expect("because it is bound");
        let orders = watch::Sender::new(Orders::default());
        let upstream = watch::Sender::new(upstream);
        let server = tokio::spawn(accept(listener, upstream.subscribe(), orders.clone()));
        Self { addr, upstream, orders, server }
    }

    /// Leads to another upstream from now on, as a load balancer does that lost one; connections that are open are reset.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.upstream.send_replace(upstream);
        self.cut();
    }

    /// Where to connect instead.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Harms one way, instead of what it suffered before.
    pub fn harm(&self, way: Way, toxic: Toxic) {
        self.orders.send_modify(|orders| {
            orders.number += 1;
            match way {
                Way::Up => orders.up = Some(toxic),
                Way::Down => orders.down = Some(toxic),
            }
        });
    }

    /// Harms both ways.
    pub fn harm_both(&self, toxic: Toxic) {
        self.harm(Way::Up, toxic);
        self.harm(Way::Down, toxic);
    }

    /// All is well again for connections that are left.
    pub fn heal(&self) {
        self.orders.send_modify(|orders| {
            *orders = Orders { number: orders.number + 1, cuts: orders.cuts, ..Orders::default() };
        });
    }

    /// Resets every connection now.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, upstream: watch::Receiver<SocketAddr>, orders: watch::Sender<Orders>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, orders) = (*upstream.borrow(), orders.subscribe());
        connections.spawn(async move {
            // Who connects to a proxy learns only from a reset that there is nobody.
            match TcpStream::connect(upstream).await {
                Ok(server) => carry(client, server, orders).await,
                Err(_) => drop(client.set_zero_linger()),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection to its end.
async fn carry(mut client: TcpStream, mut server: TcpStream, mut orders: watch::Receiver<Orders>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let before = orders.borrow_and_update().cuts;
    let carried = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let up = Pump::new(Way::Up, orders.clone()).run(from_client, to_server);
        let down = Pump::new(Way::Down, orders.clone()).run(from_server, to_client);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
            _ = orders.wait_for(|orders| orders.cuts != before) => false,
        }
    };
    if !carried {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// One way of one connection.
struct Pump {
    way: Way,
    orders: watch::Receiver<Orders>,
    /// What was read, with the time at which it is to arrive. Empty: the end.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that passed since the last order.
    passed: u64,
    number: u64,
}

impl Pump {
    fn new(way: Way, orders: watch::Receiver<Orders>) -> Self {
        let number = orders.borrow().number;
        Self { way, orders, waiting: VecDeque::new(), passed: 0, number }
    }

    /// Pumps until the end has passed. An error: the connection is to be reset.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut ended = false;
        let mut piece = vec![0; PIECE];
        loop {
            let due = self.waiting.front().map(|(due, _)| *due);
            tokio::select! {
                read = from.read(&mut piece), if !ended && self.waiting.len() < WAITING => {
                    let count = read?;
                    ended = count == 0;
                    let due = self.due(ended);
                    self.waiting.push_back((due, piece[..count].to_vec()));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    let Some((_, piece)) = self.waiting.pop_front() else { continue };
                    if piece.is_empty() {
                        return to.shutdown().await;
                    }
                    self.pass(&mut to, &piece).await?;
                }
            }
        }
    }

    /// When something that was just read is to arrive: never before what was read earlier.
    fn due(&self, end: bool) -> Instant {
        let delay = match self.orders.borrow().of(self.way) {
            Some(Toxic::Latency(delay, jitter)) => delay + jitter.mul_f64(rand::random()),
            Some(Toxic::SlowClose(delay)) if end => delay,
            _ => Duration::ZERO,
        };
        let due = Instant::now() + delay;
        self.waiting.back().map_or(due, |(last, _)| due.max(*last))
    }

    async fn pass(&mut self, to: &mut WriteHalf<'_>, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let loud = |orders: &Orders| orders.of(self.way) != Some(Toxic::Silence);
            let orders = *self.orders.wait_for(loud).await.map_err(io::Error::other)?;
            if orders.number != self.number {
                (self.number, self.passed) = (orders.number, 0);
            }
            let room = match orders.of(self.way) {
                Some(Toxic::CutAfter(limit)) => limit.saturating_sub(self.passed),
                Some(Toxic::Bandwidth(rate)) => u64::from(rate / 10).max(1),
                _ => u64::MAX,
            };
            if room == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let (now, later) = piece.split_at(piece.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            to.write_all(now).await?;
            self.passed += now.len() as u64;
            if let Some(Toxic::Bandwidth(rate)) = orders.of(self.way) {
                sleep(Duration::from_secs_f64(now.len() as f64 / f64::from(rate.max(1)))).await;
            }
            piece = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
