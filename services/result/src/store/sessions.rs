//! Sessions in the database. What is sealed in them is nobody's business here.

use domain::{SessionName, TenantId};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryOrder, QuerySelect,
    Statement, entity::prelude::*,
};
use time::OffsetDateTime;

use super::{Store, row::session};
use crate::{
    error::Error,
    session::{Extent, Session, SessionKey},
};

impl Store {
    /// A session, unless its time is over.
    pub(crate) async fn session(
        &self,
        key: &SessionKey,
        now: OffsetDateTime,
    ) -> Result<Option<Session>, Error> {
        let row = find(key).filter(session::Column::ExpireTime.gt(now)).one(self.db.read()).await?;
        Ok(row.map(Session::try_from).transpose()?)
    }

    /// At most `limit` sessions of a tenant by name, after `after`, without those whose time is over.
    pub(crate) async fn sessions(
        &self,
        tenant: TenantId,
        after: Option<&SessionName>,
        limit: u64,
        now: OffsetDateTime,
    ) -> Result<Vec<Session>, Error> {
        let mut query = of(tenant).filter(session::Column::ExpireTime.gt(now));
        if let Some(after) = after {
            query = query.filter(session::Column::Name.gt(after.as_str()));
        }
        let rows = query.order_by_asc(session::Column::Name).limit(limit).all(self.db.read()).await?;
        Ok(rows.into_iter().map(Session::try_from).collect::<Result<_, _>>()?)
    }

    /// Uses a session, or keeps `new` under its name if there is none or its time is over. Returns it with what is sealed in it; a new
    /// one is empty. Fails if the tenant has `most` others.
    pub(crate) async fn open_session(
        &self,
        tenant: TenantId,
        new: &Session,
        most: u64,
        now: OffsetDateTime,
    ) -> Result<(Session, Vec<u8>), Error> {
        self.db.write(async |txn: &DatabaseTransaction| open(txn, tenant, new, most, now).await).await
    }

    /// Gives a session another state, made of its sealed one. False: it was deleted, or another has its name, and nothing was done.
    pub(crate) async fn change_session<F>(
        &self,
        key: &SessionKey,
        id: Uuid,
        change: &F,
        now: OffsetDateTime,
    ) -> Result<bool, Error>
    where
        F: Fn(&[u8]) -> Result<(Vec<u8>, Extent), Error> + Sync,
    {
        self.db
            .write(async |txn: &DatabaseTransaction| {
                // The page began while it lived, so it is still there, whether its time is over or not.
                let row = find(key).filter(session::Column::Id.eq(id)).lock_exclusive().one(txn).await?;
                let Some(row) = row else { return Ok(false) };
                let (sealed, extent) = change(&row.sealed)?;
                let mut changed = Session::try_from(row)?;
                changed.used(now);
                changed.extent = extent;
                let row = active(key.tenant, &changed);
                session::ActiveModel { sealed: Set(sealed), ..row }.update(txn).await?;
                Ok(true)
            })
            .await
    }

    /// Deletes a session. False: there was none, or its time is over.
    pub(crate) async fn delete_session(&self, key: &SessionKey, now: OffsetDateTime) -> Result<bool, Error> {
        self.db
            .write(async |txn: &DatabaseTransaction| {
                let Some(row) = find(key).lock_exclusive().one(txn).await? else { return Ok(false) };
                let alive = row.expire_time > now;
                row.delete(txn).await?;
                Ok(alive)
            })
            .await
    }

    /// Deletes up to `limit` sessions whose time ended before `before`. Returns how many.
    pub(crate) async fn expire_sessions(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                let rows = session::Entity::find()
                    .filter(session::Column::ExpireTime.lte(before))
                    .order_by_asc(session::Column::ExpireTime)
                    .limit(limit)
                    .lock_exclusive()
                    .all(txn)
                    .await?;
                let count = rows.len() as u64;
                for row in rows {
                    row.delete(txn).await?;
                }
                Ok(count)
            })
            .await
    }
}

async fn open(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    new: &Session,
    most: u64,
    now: OffsetDateTime,
) -> Result<(Session, Vec<u8>), Error> {
    if txn.get_database_backend() == DbBackend::Postgres {
        // Two at a time would count the same sessions, or both make this one. SQLite has one writer.
        let lock = format!("SELECT pg_advisory_xact_lock({})", tenant.0.as_u64_pair().1.cast_signed());
        txn.execute_raw(Statement::from_string(DbBackend::Postgres, lock)).await?;
    }
    let key = SessionKey { tenant, name: new.name.clone() };
    if let Some(row) = find(&key).lock_exclusive().one(txn).await? {
        if row.expire_time > now {
            let sealed = row.sealed.clone();
            let mut session = Session { ttl: new.ttl, ..Session::try_from(row)? };
            session.used(now);
            active(tenant, &session).update(txn).await?;
            return Ok((session, sealed));
        }
        row.delete(txn).await?;
    }
    let count = of(tenant).filter(session::Column::ExpireTime.gt(now)).count(txn).await?;
    if count >= most {
        return Err(Error::TooManySessions(count));
    }
    let row = session::ActiveModel { sealed: Set(Vec::new()), ..active(tenant, new) };
    session::Entity::insert(row).exec_without_returning(txn).await?;
    Ok((new.clone(), Vec::new()))
}

/// The sessions of a tenant: every query for a tenant starts here.
fn of(tenant: TenantId) -> Select<session::Entity> {
    session::Entity::find().filter(session::Column::Tenant.eq(tenant.0))
}

fn find(key: &SessionKey) -> Select<session::Entity> {
    of(key.tenant).filter(session::Column::Name.eq(key.name.as_str()))
}

/// All of a row but what is sealed.
fn active(tenant: TenantId, session: &Session) -> session::ActiveModel {
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    session::ActiveModel {
        tenant: Set(tenant.0),
        name: Set(session.name.to_string()),
        id: Set(session.id),
        ttl_ms: Set(i64::try_from(session.ttl.as_millis()).unwrap_or(i64::MAX)),
        create_time: Set(session.create_time),
        use_time: Set(session.use_time),
        expire_time: Set(store::comparable(session.expire_time)),
        cookies: Set(number(session.extent.cookies)),
        origins: Set(number(session.extent.origins)),
        size: Set(number(session.extent.size)),
        ..Default::default()
    }
}

impl TryFrom<session::Model> for Session {
    type Error = DbErr;

    fn try_from(row: session::Model) -> Result<Self, DbErr> {
        let number = |number: i64| usize::try_from(number).unwrap_or_default();
        Ok(Self {
            name: row.name.parse().map_err(|_| DbErr::Type("the name of a session".to_owned()))?,
            id: row.id,
            ttl: std::time::Duration::from_millis(row.ttl_ms.unsigned_abs()),
            create_time: row.create_time,
            use_time: row.use_time,
            expire_time: row.expire_time,
            extent: Extent {
                cookies: number(row.cookies),
                origins: number(row.origins),
                size: number(row.size),
            },
        })
    }
}
