//! Pull requests: how messages are asked for, so that a worker never holds more than it asked for.
//!
//! One pull first sweeps the consumers that have something (`no_wait` requests, by weight), and only when all are empty leaves
//! one waiting request of one message at each; with its message it takes what came at the same time, and meanwhile what
//! answers an earlier sweep too late. All waiting requests answer to one subscription that the server ends after its first
//! message, so together they deliver one. They outlive the pull that sent them: ending them loses what the server sends in
//! that moment, which then comes late and looks like a crash. After the last message there was, the next pull waits at once, without
//! asking what is there. Promises: a pull may be dropped
//! at any time; what was on its way comes with the next pull, or from the server after `ack_wait`.

use std::{sync::Arc, time::Duration};

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::{Delivery, Error, epoch::Source, link::Link, look::Looks, shares::Shares};

/// A pull that is refused at once is not repeated faster than this.
const REFUSED_PAUSE: Duration = Duration::from_millis(250);
/// How many pulls may wait with the same requests, in case the server has lost one without saying so.
const WAITS: u32 = 10;
/// How much longer than that the server keeps them: it is we who end them.
const EXPIRY_GRACE: Duration = Duration::from_secs(1);
/// Less than this is not worth waiting for.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// A message that took this long to come, and after which no other waits, was not there when it was asked for.
const WAITED: Duration = Duration::from_millis(1);
/// How long a message may be held while others are asked for.
const HELD: Duration = Duration::from_millis(100);
/// How long an old server holds a request for what is there, where nothing is.
const OLD_SERVER_EXPIRY: Duration = Duration::from_millis(20);
/// How long after that its answer may still come; it drops a request that expires while a message comes in, and says nothing.
const OLD_SERVER_GRACE: Duration = Duration::from_millis(80);

/// Pull requests to a fixed list of consumers.
///
/// What a dropped pull had in hand stays here for the next one.
pub(crate) struct Requests {
    pub(crate) link: Arc<Link>,
    /// The stream of the consumers.
    stream: Source,
    /// Where each consumer takes requests.
    subjects: Vec<String>,
    /// How each consumer's ack subjects go on after `$JS.ACK.` (and a domain): tells whose message it is.
    marks: Vec<String>,
    shares: Shares,
    looks: Looks,
    inbox: String,
    answers: Option<Subscriber>,
    next_token: u64,
    /// Messages of the running sweep, with their sources.
    found: Vec<(usize, Delivery)>,
    waiting: Option<Waiting>,
    /// When inboxes were looked at last: at the begin of the last pull, or at its end.
    last: Instant,
    /// The last sweep left nothing, or the last message had to be waited for: there is no backlog to sweep.
    idle: bool,
    /// A request was not answered: its consumer may be gone.
    pub(crate) doubtful: bool,
}

/// One waiting request at each consumer; the first message to any of them ends all.
struct Waiting {
    answers: Subscriber,
    inbox: String,
    /// At how many consumers the request is already.
    asked: usize,
    epoch: u64,
    /// When they are sent anew.
    until: Instant,
}

/// One request on its way: how many messages it may still bring.
struct Asked {
    source: usize,
    token: String,
    left: usize,
}

/// What one message to an inbox means.
enum Answer {
    Message(Box<Delivery>),
    /// The request has nothing (more) to bring.
    Over,
    /// The server does not serve the request now; asking again at once would be refused again.
    Refused,
    /// There is no such consumer.
    Gone(String),
}

impl Requests {
    pub(crate) fn new(
        link: Arc<Link>,
        stream: Source,
        consumers: &[(String, String)],
        weights: &[u32],
    ) -> Self {
        let next = |(stream, name): &(String, String)| format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
        Self {
            stream,
            subjects: consumers.iter().map(next).collect(),
            marks: consumers.iter().map(|(stream, name)| format!(".{stream}.{name}.")).collect(),
            shares: Shares::new(weights),
            looks: Looks::new(Arc::clone(&link), consumers),
            inbox: link.client.new_inbox(),
            answers: None,
            next_token: 0,
            found: Vec::new(),
            waiting: None,
            last: Instant::now(),
            idle: false,
            doubtful: false,
            link,
        }
    }

    /// Returns 1 to `max` messages as soon as there is one, or none after `wait`.
    pub(crate) async fn pull(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let pulled = self.sweep_or_wait(max, wait).await?;
        self.last = Instant::now();
        Ok(pulled)
    }

    async fn sweep_or_wait(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        self.link.usable()?;
        let until = Instant::now() + wait;
        let left = self.left_over(max);
        if !left.is_empty() {
            return Ok(left);
        }
        loop {
            // Requests of an earlier pull still stand: nothing was there then, so go on waiting.
            if self.waiting.is_none() {
                if !std::mem::take(&mut self.idle) {
                    self.sweep(max).await?;
                    if !self.found.is_empty() {
                        // Fewer than there was room for: all consumers are empty.
                        self.idle = self.found.len() < max;
                        return Ok(self.take(max));
                    }
                }
                self.begin_to_wait().await?;
            }
            let asked = Instant::now();
            if let Some(pending) = self.wait(until).await? {
                let more = pending > 0;
                self.idle = !more && asked.elapsed() >= WAITED;
                if more && max > 1 {
                    // What is in hand does not wait for others on a slow connection: those come with the next pull.
                    if let Ok(swept) = tokio::time::timeout(HELD, self.sweep(max)).await {
                        swept?;
                    }
                }
                return Ok(self.take(max));
            }
            if until.saturating_duration_since(Instant::now()) < SHORTEST_WAIT {
                return Ok(Vec::new());
            }
        }
    }

    /// Messages that a dropped pull had in hand or that came for it since.
    fn left_over(&mut self, max: usize) -> Vec<Delivery> {
        // When they came is not known. Those that may be about to go to another worker are left to it.
        let now = Instant::now();
        if now.duration_since(self.last) > self.link.config.ack_wait / 2 {
            self.found.clear();
            self.answers = None;
            self.waiting = None;
        }
        self.last = now;
        if self.waiting.as_ref().is_some_and(|w| w.epoch != self.link.epoch() || w.until <= now) {
            self.waiting = None;
        }
        while self.found.len() < max {
            let Some(message) = self.answers.as_mut().and_then(|a| a.next().now_or_never()).flatten() else {
                break;
            };
            let source = self.source(&message);
            if let Answer::Message(mut delivery) = self.read(message) {
                delivery.late = true;
                self.keep(source, *delivery);
            }
        }
        self.take(max)
    }

    /// Stops asking, and returns what was on its way here.
    ///
    /// Afterwards the server has no request of ours that it could still answer.
    pub(crate) async fn close(mut self) -> Vec<Delivery> {
        let mut rest = self.left_over(usize::MAX);
        // Without a connection the server has forgotten our requests already.
        if self.link.usable().is_ok() {
            rest.extend(self.end_sweep().await);
            rest.extend(self.end_wait().await);
        }
        rest
    }

    /// What a sweep that was dropped still brings.
    async fn end_sweep(&mut self) -> Vec<Delivery> {
        let mut found = Vec::new();
        let deadline = self.last + OLD_SERVER_EXPIRY + OLD_SERVER_GRACE;
        while self.answers.is_some()
            && let Ok(Some(message)) = self.answer(deadline).await
        {
            if let Answer::Message(delivery) = self.read(message) {
                found.push(*delivery);
            }
        }
        found
    }

    /// Ends the waiting requests with a message of our own: it comes after one that was on its way, or it is the
    /// first and the server ends the subscription.
    async fn end_wait(&mut self) -> Option<Delivery> {
        let mut waiting = self.waiting.take()?;
        let end = self.link.client.publish(format!("{}.end", waiting.inbox), Bytes::new());
        end.await.ok()?;
        let first = tokio::time::timeout(self.link.config.publish_timeout, waiting.answers.next());
        match self.read(first.await.ok()??) {
            Answer::Message(delivery) => Some(*delivery),
            Answer::Over | Answer::Refused | Answer::Gone(_) => None,
        }
    }

    /// Keeps a message until it is handed over, and what it says of its consumer.
    fn keep(&mut self, source: usize, delivery: Delivery) {
        self.looks.came(source, delivery.pending);
        self.found.push((source, delivery));
    }

    /// Hands over what was found, in order of priority.
    fn take(&mut self, max: usize) -> Vec<Delivery> {
        self.found.sort_by_key(|(source, _)| *source);
        let count = max.min(self.found.len());
        self.found.drain(..count).map(|(_, delivery)| delivery).collect()
    }

    /// Takes what is there: first by weight, then the rest in order of priority.
    async fn sweep(&mut self, max: usize) -> Result<(), Error> {
        let mut empty = match self.looks.empty().await {
            // What is here counts more than what is not: the next pull meets the fault again.
            Err(_) if !self.found.is_empty() => return Ok(()),
            looked => looked?,
        };
        let offers = self.shares.split(max.saturating_sub(self.found.len()));
        let offers = offers.into_iter().enumerate();
        let first: Vec<(usize, usize)> = offers.filter(|(source, n)| *n > 0 && !empty[*source]).collect();
        self.ask(&first, &mut empty).await?;
        for source in 0..empty.len() {
            let free = max.saturating_sub(self.found.len());
            if free > 0 && !empty[source] {
                self.ask(&[(source, free)], &mut empty).await?;
            }
        }
        Ok(())
    }

    /// Asks sources for so many messages each and collects the answers; notes which sources are empty.
    async fn ask(&mut self, wanted: &[(usize, usize)], empty: &mut [bool]) -> Result<(), Error> {
        if self.answers.is_none() {
            let subscription = self.link.client.subscribe(format!("{}.*", self.inbox)).await;
            self.answers = Some(subscription.map_err(Error::unavailable)?);
        }
        // An old server may forget to answer a `no_wait` request whose messages another worker took; it lives on until it
        // expires. A new one says at once that there is nothing, but only to a request that does not expire.
        let old = !self.link.answers_no_wait();
        let expires = if old { OLD_SERVER_EXPIRY.as_nanos() } else { 0 };
        let mut asked = Vec::with_capacity(wanted.len());
        for (source, count) in wanted {
            self.next_token += 1;
            let token = format!("{}.{}", self.inbox, self.next_token);
            let request = format!(r#"{{"batch":{count},"no_wait":true,"expires":{expires}}}"#);
            self.send(*source, token.clone(), request).await?;
            asked.push(Asked { source: *source, token, left: *count });
        }
        let patience =
            if old { OLD_SERVER_EXPIRY + OLD_SERVER_GRACE } else { self.link.config.publish_timeout };
        self.collect(asked, empty, Instant::now() + patience).await
    }

    async fn collect(
        &mut self,
        mut asked: Vec<Asked>,
        empty: &mut [bool],
        deadline: Instant,
    ) -> Result<(), Error> {
        while !asked.is_empty() {
            let settled = match self.answer(deadline).await {
                Ok(Some(message)) => self.settle(message, &mut asked, empty),
                Ok(None) if self.link.answers_no_wait() => {
                    self.link.missing();
                    Err(Error::unavailable("a pull was not answered in time"))
                }
                Ok(None) => {
                    // An old server says nothing about a consumer that is gone, either.
                    self.link.missing();
                    self.doubtful = true;
                    for silent in &asked {
                        empty[silent.source] = true;
                        self.looks.over(silent.source);
                    }
                    return Ok(());
                }
                Err(error) => Err(error),
            };
            match settled {
                Ok(()) => {}
                // What is here counts more than what is not: the next pull meets the fault again.
                Err(_) if !self.found.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn settle(&mut self, message: Message, asked: &mut Vec<Asked>, empty: &mut [bool]) -> Result<(), Error> {
        let (subject, source) = (message.subject.clone(), self.source(&message));
        match self.read(message) {
            Answer::Message(delivery) => {
                if let Some(request) = asked.iter_mut().find(|a| a.source == source) {
                    request.left -= 1;
                }
                asked.retain(|a| a.left > 0);
                // Asking an old server again would take as long as the request lives.
                empty[source] |= delivery.pending == 0 && !self.link.answers_no_wait();
                self.keep(source, *delivery);
            }
            // The end of an earlier request has another token and changes nothing.
            Answer::Over | Answer::Refused => asked.retain(|a| {
                let over = a.token == *subject;
                if over {
                    empty[a.source] = true;
                    self.looks.over(a.source);
                }
                !over
            }),
            Answer::Gone(reason) => return Err(self.gone(reason)),
        }
        Ok(())
    }

    /// Whose message it is; 0 for those that are of nobody.
    fn source(&self, message: &Message) -> usize {
        let Some(reply) = &message.reply else { return 0 };
        self.marks.iter().position(|mark| reply.contains(mark)).unwrap_or(0)
    }

    /// The next message to the inbox of sweeps; `None` if there is none by then.
    async fn answer(&mut self, deadline: Instant) -> Result<Option<Message>, Error> {
        let Some(answers) = self.answers.as_mut() else { return Err(Error::unavailable("closed")) };
        tokio::select! {
            biased;
            message = answers.next() => message.map(Some).ok_or_else(|| Error::unavailable("closed")),
            error = self.link.unusable() => Err(error),
            () = tokio::time::sleep_until(deadline) => Ok(None),
        }
    }

    /// Makes the inbox of waiting requests; the server ends its subscription after the first message.
    async fn begin_to_wait(&mut self) -> Result<(), Error> {
        let until = Instant::now() + self.link.config.pull_wait * WAITS;
        let inbox = self.link.client.new_inbox();
        let mut answers =
            self.link.client.subscribe(format!("{inbox}.*")).await.map_err(Error::unavailable)?;
        answers.unsubscribe_after(1).await.map_err(Error::unavailable)?;
        self.waiting = Some(Waiting { answers, inbox, asked: 0, epoch: self.link.epoch(), until });
        Ok(())
    }

    /// Sends the waiting requests that were not sent yet, and keeps the first message until then: how many more wait.
    async fn wait(&mut self, until: Instant) -> Result<Option<u64>, Error> {
        while let Some((source, reply, end)) = self.waiting.as_ref().and_then(|w| {
            (w.asked < self.subjects.len()).then(|| (w.asked, format!("{}.{}", w.inbox, w.asked), w.until))
        }) {
            let expires = (end.saturating_duration_since(Instant::now()) + EXPIRY_GRACE).as_nanos();
            self.send(source, reply, format!(r#"{{"batch":1,"expires":{expires}}}"#)).await?;
            if let Some(waiting) = self.waiting.as_mut() {
                waiting.asked += 1;
            }
        }
        let link = Arc::clone(&self.link);
        let message = loop {
            let Some(waiting) = self.waiting.as_mut() else { return Ok(None) };
            tokio::select! {
                biased;
                message = waiting.answers.next() => break message,
                late = next(&mut self.answers) => match late {
                    Some(message) => if self.late(message)? { return Ok(Some(0)) },
                    None => self.answers = None,
                },
                error = link.unusable() => {
                    self.waiting = None;
                    return Err(error);
                }
                () = tokio::time::sleep_until(until) => return Ok(None),
            }
        };
        self.waiting = None;
        let source = message.as_ref().map_or(0, |message| self.source(message));
        match message.map(|m| self.read(m)) {
            Some(Answer::Message(delivery)) => {
                self.looks.doubt();
                let pending = delivery.pending;
                self.keep(source, *delivery);
                Ok(Some(pending))
            }
            Some(Answer::Gone(reason)) => Err(self.gone(reason)),
            Some(Answer::Refused) => {
                tokio::time::sleep_until((Instant::now() + REFUSED_PAUSE).min(until)).await;
                Ok(None)
            }
            Some(Answer::Over) | None => Ok(None),
        }
    }

    /// Takes an answer to a sweep that was given up, as on a slow connection. Returns whether it is a message.
    fn late(&mut self, message: Message) -> Result<bool, Error> {
        let source = self.source(&message);
        match self.read(message) {
            Answer::Message(mut delivery) => {
                delivery.late = true;
                self.keep(source, *delivery);
                Ok(true)
            }
            Answer::Over | Answer::Refused => Ok(false),
            Answer::Gone(reason) => Err(self.gone(reason)),
        }
    }

    /// A consumer is not there: the link is told to put it back.
    fn gone(&self, reason: String) -> Error {
        self.link.missing();
        Error::Unavailable(reason)
    }

    async fn send(&self, source: usize, reply: String, request: String) -> Result<(), Error> {
        let sent =
            self.link.client.publish_with_reply(self.subjects[source].clone(), reply, Bytes::from(request));
        match tokio::time::timeout(self.link.config.publish_timeout, sent).await {
            Ok(result) => result.map_err(Error::unavailable),
            Err(_) => Err(Error::unavailable("a pull could not be sent in time")),
        }
    }

    fn read(&self, message: Message) -> Answer {
        let description = message.description.clone().unwrap_or_default();
        match message.status {
            None | Some(StatusCode::OK) => Delivery::new(&self.link, self.stream, message)
                .map_or(Answer::Over, |d| Answer::Message(Box::new(d))),
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => Answer::Over,
            Some(StatusCode::NO_RESPONDERS) => Answer::Gone("a consumer is gone".to_owned()),
            Some(_) if description.contains("Deleted") => Answer::Gone(description),
            Some(status) => {
                tracing::debug!(%status, description, "a pull was refused");
                Answer::Refused
            }
        }
    }
}

/// The next message of an inbox; never, where there is none.
async fn next(inbox: &mut Option<Subscriber>) -> Option<Message> {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}
