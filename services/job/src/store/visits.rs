//! Visits of hosts that are no pages: each holds the row of its host, as whoever hands out a page does.

use std::time::Duration;

use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;

use super::{
    Store,
    hosts::{self, Hosts},
};
use crate::{
    error::Error,
    host::{Answer, Reservation},
};

impl Store {
    /// Reserves the next moment of a host that is at most `patience` away.
    pub(crate) async fn reserve_visit(
        &self,
        key: &str,
        patience: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, Error> {
        let pace = self.paces.of(key);
        self.db
            .write(async |txn| {
                let mut hosts = hosts::lock(txn, std::iter::once(key), now).await?;
                let running = hosts::running(txn).await?.get(key).copied().unwrap_or_default();
                let Some(host) = hosts.get_mut(key) else { return Ok(Reservation::AskAgain(Duration::ZERO)) };
                let reservation = host.reserve(running, patience, now, pace);
                save(txn, &hosts, now).await?;
                Ok(reservation)
            })
            .await
    }

    /// Learns from the answer to a visit.
    pub(crate) async fn report_visit(
        &self,
        key: &str,
        answer: &Answer,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let pace = self.paces.of(key);
        self.db
            .write(async |txn| {
                let mut hosts = hosts::lock(txn, std::iter::once(key), now).await?;
                if hosts.get_mut(key).is_some_and(|host| host.visited(answer, now, pace)) {
                    save(txn, &hosts, now).await?;
                }
                Ok(())
            })
            .await
    }
}

async fn save(txn: &DatabaseTransaction, hosts: &Hosts, now: OffsetDateTime) -> Result<(), Error> {
    hosts::save(txn, &hosts.values().collect::<Vec<_>>(), now).await
}
