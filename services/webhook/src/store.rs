//! The only file that knows tables: the cursor, deliveries with their attempts, signing secrets.

mod migration;
mod row;

use std::{collections::HashMap, time::Duration};

use ::store::comparable;
use domain::{JobId, TenantId, id::DeliveryId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, OnConflict},
};
use time::OffsetDateTime;
use uuid::Uuid;

use self::row::{attempt, cursor, delivery, secret};
use crate::{
    delivery::{Attempt, Delivery, Next, State},
    error::Error,
};

/// The row of the cursor table.
const CURSOR: i32 = 1;

/// Deliveries in the database.
#[derive(Clone)]
pub(crate) struct Store {
    db: store::Db,
}

impl Store {
    pub(crate) async fn open(config: &store::Config) -> anyhow::Result<Self> {
        Ok(Self { db: store::Db::open::<migration::Migrations>(config).await? })
    }

    pub(crate) async fn ready(&self) -> bool {
        self.db.ready().await
    }

    pub(crate) async fn close(&self) {
        self.db.close().await;
    }

    /// The last event that has been followed. 0: none.
    pub(crate) async fn cursor(&self) -> Result<i64, Error> {
        let row = cursor::Entity::find_by_id(CURSOR).one(self.db.read()).await?;
        Ok(row.map_or(0, |row| row.position))
    }

    /// Keeps new deliveries and moves the cursor, both or neither. Deliveries that exist are left as they are.
    pub(crate) async fn follow(&self, position: i64, deliveries: &[Delivery]) -> Result<(), Error> {
        let rows: Vec<delivery::ActiveModel> = deliveries.iter().map(Into::into).collect();
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<(), Error> {
                if !rows.is_empty() {
                    let known = OnConflict::columns([delivery::Column::EventId, delivery::Column::Url])
                        .do_nothing()
                        .to_owned();
                    delivery::Entity::insert_many(rows.clone())
                        .on_conflict(known)
                        .exec_without_returning(txn)
                        .await?;
                }
                let row = cursor::ActiveModel { id: Set(CURSOR), position: Set(position) };
                let known =
                    OnConflict::column(cursor::Column::Id).update_column(cursor::Column::Position).to_owned();
                cursor::Entity::insert(row).on_conflict(known).exec_without_returning(txn).await?;
                Ok(())
            })
            .await
    }

    /// Leases up to `limit` due deliveries until `now + lease`. A delivery whose lease ran out (its sender died) is due again.
    pub(crate) async fn claim(
        &self,
        now: OffsetDateTime,
        lease: Duration,
        limit: usize,
        busy_hosts: &[String],
    ) -> Result<Vec<Delivery>, Error> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let (now, until) = (comparable(now), comparable(now + lease));
        let free = Condition::any()
            .add(delivery::Column::LeaseUntil.is_null())
            .add(delivery::Column::LeaseUntil.lte(now));
        let due = Condition::all()
            .add(delivery::Column::State.eq(State::Pending.as_str()))
            .add(delivery::Column::NextAttemptTime.lte(now))
            .add(free);
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<Vec<Delivery>, Error> {
                let mut query = delivery::Entity::find().filter(due.clone());
                if !busy_hosts.is_empty() {
                    query =
                        query.filter(delivery::Column::Host.is_not_in(busy_hosts.iter().map(String::as_str)));
                }
                let rows = query
                    .order_by_asc(delivery::Column::NextAttemptTime)
                    .limit(limit)
                    .lock_with_behavior(
                        sea_orm::sea_query::LockType::Update,
                        sea_orm::sea_query::LockBehavior::SkipLocked,
                    )
                    .all(txn)
                    .await?;
                if rows.is_empty() {
                    return Ok(Vec::new());
                }
                delivery::Entity::update_many()
                    .col_expr(delivery::Column::LeaseUntil, Expr::value(until))
                    .filter(delivery::Column::Id.is_in(rows.iter().map(|row| row.id)))
                    .exec(txn)
                    .await?;
                rows.into_iter().map(Delivery::try_from).collect()
            })
            .await
    }

    /// Gives a leased delivery back untried.
    pub(crate) async fn release(&self, id: DeliveryId) -> Result<(), Error> {
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<(), Error> {
                delivery::Entity::update_many()
                    .col_expr(delivery::Column::LeaseUntil, Expr::value(Option::<OffsetDateTime>::None))
                    .filter(delivery::Column::Id.eq(id.0))
                    .exec(txn)
                    .await?;
                Ok(())
            })
            .await
    }

    /// Writes down an attempt and what becomes of its delivery.
    pub(crate) async fn settle(
        &self,
        id: DeliveryId,
        attempt: &Attempt,
        next: Next,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let (state, due, end) = match next {
            Next::Delivered => (State::Delivered, None, Some(comparable(now))),
            Next::Failed => (State::Failed, None, Some(comparable(now))),
            Next::Again(delay) => (State::Pending, Some(comparable(now + delay)), None),
        };
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<(), Error> {
                // A second sender may have written the same number after a lost lease; the first report stands.
                let known = OnConflict::columns([attempt::Column::Delivery, attempt::Column::Number])
                    .do_nothing()
                    .to_owned();
                attempt::Entity::insert(attempt.to_row(id))
                    .on_conflict(known)
                    .exec_without_returning(txn)
                    .await?;
                delivery::Entity::update_many()
                    .col_expr(delivery::Column::State, Expr::value(state.as_str()))
                    .col_expr(delivery::Column::NextAttemptTime, Expr::value(due))
                    .col_expr(delivery::Column::LeaseUntil, Expr::value(Option::<OffsetDateTime>::None))
                    .col_expr(delivery::Column::EndTime, Expr::value(end))
                    .col_expr(
                        delivery::Column::Attempts,
                        Expr::value(i32::try_from(attempt.number).unwrap_or(i32::MAX)),
                    )
                    .filter(delivery::Column::Id.eq(id.0))
                    .filter(delivery::Column::State.eq(State::Pending.as_str()))
                    .exec(txn)
                    .await?;
                Ok(())
            })
            .await
    }

    /// When the next delivery is due, if one is waiting.
    pub(crate) async fn next_due(&self) -> Result<Option<OffsetDateTime>, Error> {
        let row = delivery::Entity::find()
            .filter(delivery::Column::State.eq(State::Pending.as_str()))
            .filter(delivery::Column::LeaseUntil.is_null())
            .order_by_asc(delivery::Column::NextAttemptTime)
            .one(self.db.read())
            .await?;
        Ok(row.and_then(|row| row.next_attempt_time))
    }

    /// Up to `limit` deliveries of a job after `after`, oldest first, with their attempts.
    pub(crate) async fn list(
        &self,
        tenant: TenantId,
        job: JobId,
        after: Option<DeliveryId>,
        limit: u64,
    ) -> Result<Vec<(Delivery, Vec<Attempt>)>, Error> {
        let mut query = delivery::Entity::find()
            .filter(delivery::Column::Tenant.eq(tenant.0))
            .filter(delivery::Column::Job.eq(job.0));
        if let Some(after) = after {
            query = query.filter(delivery::Column::Id.gt(after.0));
        }
        let rows = query.order_by_asc(delivery::Column::Id).limit(limit).all(self.db.read()).await?;
        let mut attempts: HashMap<Uuid, Vec<Attempt>> = HashMap::new();
        let found = attempt::Entity::find()
            .filter(attempt::Column::Delivery.is_in(rows.iter().map(|row| row.id)))
            .order_by_asc(attempt::Column::Number)
            .all(self.db.read())
            .await?;
        for row in found {
            attempts.entry(row.delivery).or_default().push(row.into());
        }
        rows.into_iter()
            .map(|row| {
                let attempts = attempts.remove(&row.id).unwrap_or_default();
                Ok((Delivery::try_from(row)?, attempts))
            })
            .collect()
    }

    /// The sealed secret of a tenant; `new` becomes it where there is none.
    pub(crate) async fn secret(
        &self,
        tenant: TenantId,
        new: &[u8],
        now: OffsetDateTime,
    ) -> Result<Vec<u8>, Error> {
        if let Some(row) = secret::Entity::find_by_id(tenant.0).one(self.db.read()).await? {
            return Ok(row.sealed);
        }
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<Vec<u8>, Error> {
                let row = secret::ActiveModel {
                    tenant: Set(tenant.0),
                    sealed: Set(new.to_vec()),
                    create_time: Set(now),
                };
                let known = OnConflict::column(secret::Column::Tenant).do_nothing().to_owned();
                secret::Entity::insert(row).on_conflict(known).exec_without_returning(txn).await?;
                let row = secret::Entity::find_by_id(tenant.0).one(txn).await?;
                row.map(|row| row.sealed).ok_or(Error::Row("secret"))
            })
            .await
    }

    /// Deletes up to `limit` deliveries that ended before `before`, with their attempts. Returns how many.
    pub(crate) async fn purge(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        self.db
            .write(async |txn: &DatabaseTransaction| -> Result<u64, Error> {
                let rows = delivery::Entity::find()
                    .filter(delivery::Column::EndTime.lt(comparable(before)))
                    .order_by_asc(delivery::Column::EndTime)
                    .limit(limit)
                    .all(txn)
                    .await?;
                let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
                attempt::Entity::delete_many()
                    .filter(attempt::Column::Delivery.is_in(ids.iter().copied()))
                    .exec(txn)
                    .await?;
                let deleted =
                    delivery::Entity::delete_many().filter(delivery::Column::Id.is_in(ids)).exec(txn).await?;
                Ok(deleted.rows_affected)
            })
            .await
    }
}
