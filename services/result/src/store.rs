//! The only file that knows SQL exists. The tenant comes first; only the janitor's methods concern all tenants.
//!
//! A page has a folder in the object store, or rows in `part`, never both.
//! Invariant: every folder in the object store is named by a row, of `document` or of `garbage`, from before its first
//! byte is written until after its last is deleted. So no crash leaves bytes that nobody will ever delete.

mod migration;
mod row;
mod sessions;

use bytes::Bytes;
use domain::{JobId, PageId, TenantId};
use sea_orm::{
    ActiveValue::Set, DatabaseTransaction, EntityTrait, QueryOrder, QuerySelect, TryInsertResult,
    entity::prelude::*, sea_query::OnConflict,
};
use store::Db;
use time::OffsetDateTime;
use tracing::debug;

use self::row::{document, garbage, latest, part};
use crate::{
    document::{CacheKey, Kept, PageKey, Part, Record},
    error::Error,
};

/// Kept pages, and folders to delete, in the database.
#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
}

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(config: &store::Config) -> Result<Self, store::Error> {
        Ok(Self { db: Db::open::<migration::Migrator>(config).await? })
    }

    /// The database, for readiness and to close it.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The record of a page, unless its time is over.
    pub(crate) async fn find(&self, key: PageKey, now: OffsetDateTime) -> Result<Option<Record>, Error> {
        let row = row::of_page(key).filter(document::Column::ExpireTime.gt(now)).one(self.db.read()).await?;
        Ok(row.map(Record::try_from).transpose()?)
    }

    /// The page that was last stored under a cache key, unless its time is over.
    pub(crate) async fn latest(
        &self,
        tenant: TenantId,
        key: CacheKey,
        now: OffsetDateTime,
    ) -> Result<Option<PageKey>, Error> {
        let row = latest::Entity::find()
            .filter(latest::Column::Tenant.eq(tenant.0))
            .filter(latest::Column::CacheKey.eq(key.0.to_vec()))
            .filter(latest::Column::ExpireTime.gt(now))
            .one(self.db.read())
            .await?;
        Ok(row.map(|row| PageKey { tenant, job: JobId(row.job), page: PageId(row.page) }))
    }

    /// At most `limit` records of a job in the order of its pages, after `after`, without those whose time is over.
    pub(crate) async fn list(
        &self,
        tenant: TenantId,
        job: JobId,
        after: Option<PageId>,
        limit: u64,
        now: OffsetDateTime,
    ) -> Result<Vec<Record>, Error> {
        let mut query = row::of_job(tenant, job).filter(document::Column::ExpireTime.gt(now));
        if let Some(after) = after {
            query = query.filter(document::Column::Page.gt(after.0));
        }
        let rows = query.order_by_asc(document::Column::Page).limit(limit).all(self.db.read()).await?;
        Ok(rows.into_iter().map(Record::try_from).collect::<Result<_, _>>()?)
    }

    /// Names folders before they are written, to be deleted when they are due.
    pub(crate) async fn reserve(&self, folders: &[String], due: OffsetDateTime) -> Result<(), Error> {
        let row = |folder: &String| garbage::ActiveModel { folder: Set(folder.clone()), due_time: Set(due) };
        let rows: Vec<_> = folders.iter().map(row).collect();
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                garbage::Entity::insert_many(rows).exec_without_returning(txn).await?;
                Ok(())
            })
            .await
    }

    /// Makes `record` what readers see, unless a later dispatch is kept, or the same one. It has either `parts`, or a folder that
    /// must be reserved beyond `now`. A folder that is not needed any more is due at once.
    pub(crate) async fn keep(
        &self,
        record: &Record,
        parts: &[Part],
        now: OffsetDateTime,
    ) -> Result<Kept, Error> {
        self.db.write(async |txn: &DatabaseTransaction| keep(txn, record, parts, now).await).await
    }

    /// The same for several pages, in one transaction if all of them are new; the answers are in their order. What fails so is tried
    /// on its own, so that no page fails because of another.
    pub(crate) async fn keep_all(&self, pages: &[(Record, Vec<Part>)]) -> Vec<Result<Kept, Error>> {
        if pages.len() > 1 {
            let now = mesh::clock::now();
            match self.db.write(async |txn: &DatabaseTransaction| keep_new(txn, pages, now).await).await {
                Ok(()) => return pages.iter().map(|_| Ok(Kept::Stored)).collect(),
                Err(error) if error.unavailable() => {
                    // Each on its own would wait in vain as long.
                    return pages.iter().map(|_| Err(Error::away())).collect();
                }
                Err(error) => debug!(%error, pages = pages.len(), "pages are kept one by one"),
            }
        }
        let mut kept = Vec::with_capacity(pages.len());
        for (record, parts) in pages {
            // The time now, not that of the call: writing its objects may have taken long.
            kept.push(self.keep(record, parts, mesh::clock::now()).await);
        }
        kept
    }

    /// A part of a record without a folder. None: the record was replaced, or its time ended.
    pub(crate) async fn part(&self, record: &Record, name: &str) -> Result<Option<Bytes>, Error> {
        let part = row::part_of(record.key, name).filter(part::Column::DispatchSeq.eq(record.dispatch_seq));
        Ok(part.one(self.db.read()).await?.map(|part| part.packed.into()))
    }

    /// Hides up to `limit` documents whose time is over, and makes their folders due. Returns how many.
    pub(crate) async fn expire(&self, now: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                let rows = document::Entity::find()
                    .filter(document::Column::ExpireTime.lte(now))
                    .order_by_asc(document::Column::ExpireTime)
                    .limit(limit)
                    .lock_exclusive()
                    .all(txn)
                    .await?;
                let count = rows.len() as u64;
                for row in rows {
                    throw_away(txn, &row.folder, now).await?;
                    row::parts_of(&row).exec(txn).await?;
                    row.delete(txn).await?;
                }
                forget_latest(txn, now, limit).await?;
                Ok(count)
            })
            .await
    }

    /// Up to `limit` folders that are due.
    pub(crate) async fn due(&self, now: OffsetDateTime, limit: u64) -> Result<Vec<String>, Error> {
        let rows = garbage::Entity::find()
            .filter(garbage::Column::DueTime.lte(now))
            .order_by_asc(garbage::Column::DueTime)
            .limit(limit)
            .all(self.db.read())
            .await?;
        Ok(rows.into_iter().map(|row| row.folder).collect())
    }

    /// Forgets folders that have been deleted.
    pub(crate) async fn forget(&self, folders: &[String]) -> Result<(), Error> {
        if folders.is_empty() {
            return Ok(());
        }
        let folders = folders.to_vec();
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                let gone = garbage::Column::Folder.is_in(folders);
                garbage::Entity::delete_many().filter(gone).exec(txn).await?;
                Ok(())
            })
            .await
    }

    /// Makes reserved folders due at `due`: at once if they are not needed, later if they could not be deleted.
    pub(crate) async fn set_due(&self, folders: &[String], due: OffsetDateTime) -> Result<(), Error> {
        if folders.is_empty() {
            return Ok(());
        }
        let folders = folders.to_vec();
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                garbage::Entity::update_many()
                    .col_expr(garbage::Column::DueTime, Expr::value(due))
                    .filter(garbage::Column::Folder.is_in(folders))
                    .exec(txn)
                    .await?;
                Ok(())
            })
            .await
    }
}

/// Keeps pages of which there is nothing yet. Fails if there is, and then nothing was done.
async fn keep_new(
    txn: &DatabaseTransaction,
    pages: &[(Record, Vec<Part>)],
    now: OffsetDateTime,
) -> Result<(), Error> {
    let records = || pages.iter().map(|(record, _)| record);
    claim(txn, pages.iter().filter(|(_, parts)| parts.is_empty()).map(|(record, _)| record), now).await?;
    let rows = records().map(document::ActiveModel::from);
    let new =
        document::Entity::insert_many(rows).on_conflict_do_nothing().exec_without_returning(txn).await?;
    if !matches!(new, TryInsertResult::Inserted(count) if count == pages.len() as u64) {
        return Err(Error::Overdue);
    }
    put_parts(txn, pages.iter().map(|(record, parts)| (record, parts.as_slice()))).await?;
    remember(txn, records()).await
}

async fn keep(
    txn: &DatabaseTransaction,
    record: &Record,
    parts: &[Part],
    now: OffsetDateTime,
) -> Result<Kept, Error> {
    if parts.is_empty() {
        claim(txn, std::iter::once(record), now).await?;
    }
    let row = document::ActiveModel::from(record);
    let first =
        document::Entity::insert(row.clone()).on_conflict_do_nothing().exec_without_returning(txn).await?;
    if matches!(first, TryInsertResult::Inserted(1..)) {
        put_parts(txn, std::iter::once((record, parts))).await?;
        remember(txn, std::iter::once(record)).await?;
        return Ok(Kept::Stored);
    }
    // None: the janitor took it away between the two statements. The crawler's next attempt finds the place free.
    let existing = row::of_page(record.key).lock_exclusive().one(txn).await?.ok_or(Error::Overdue)?;
    let kept = Kept::beside(existing.dispatch_seq, record.dispatch_seq);
    match kept {
        Kept::Stored => {
            throw_away(txn, &existing.folder, now).await?;
            row::parts_of(&existing).exec(txn).await?;
            row.update(txn).await?;
            put_parts(txn, std::iter::once((record, parts))).await?;
            remember(txn, std::iter::once(record)).await?;
        }
        Kept::Duplicate | Kept::Outdated => throw_away(txn, &record.folder, now).await?,
    }
    Ok(kept)
}

/// Takes the reserved folders of records out of the garbage.
async fn claim<'a>(
    txn: &DatabaseTransaction,
    records: impl Iterator<Item = &'a Record>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let folders: Vec<&str> = records.map(|record| record.folder.as_str()).collect();
    if folders.is_empty() {
        return Ok(());
    }
    let count = folders.len() as u64;
    let reserved = garbage::Entity::delete_many()
        .filter(garbage::Column::Folder.is_in(folders))
        .filter(garbage::Column::DueTime.gt(now))
        .exec(txn)
        .await?;
    if reserved.rows_affected == count { Ok(()) } else { Err(Error::Overdue) }
}

async fn put_parts<'a>(
    txn: &DatabaseTransaction,
    pages: impl Iterator<Item = (&'a Record, &'a [Part])>,
) -> Result<(), Error> {
    let row = |record: &Record, (name, packed): &Part| part::ActiveModel {
        tenant: Set(record.key.tenant.0),
        job: Set(record.key.job.0),
        page: Set(record.key.page.0),
        name: Set((*name).to_owned()),
        dispatch_seq: Set(record.dispatch_seq),
        packed: Set(packed.to_vec()),
    };
    let rows: Vec<_> =
        pages.flat_map(|(record, parts)| parts.iter().map(move |part| row(record, part))).collect();
    if !rows.is_empty() {
        part::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Makes pages those that are found under their cache keys, if they have any.
async fn remember<'a>(
    txn: &DatabaseTransaction,
    records: impl Iterator<Item = &'a Record>,
) -> Result<(), Error> {
    let row = |record: &Record| {
        Some(latest::ActiveModel {
            tenant: Set(record.key.tenant.0),
            cache_key: Set(record.cache_key?.0.to_vec()),
            job: Set(record.key.job.0),
            page: Set(record.key.page.0),
            expire_time: Set(record.expire_time),
        })
    };
    let rows: Vec<_> = records.filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut replace = OnConflict::columns([latest::Column::Tenant, latest::Column::CacheKey]);
    replace.update_columns([latest::Column::Job, latest::Column::Page, latest::Column::ExpireTime]);
    latest::Entity::insert_many(rows).on_conflict(replace).exec_without_returning(txn).await?;
    Ok(())
}

/// Forgets up to `limit` keys whose pages are over.
async fn forget_latest(txn: &DatabaseTransaction, now: OffsetDateTime, limit: u64) -> Result<(), Error> {
    let over = latest::Entity::find()
        .filter(latest::Column::ExpireTime.lte(now))
        .order_by_asc(latest::Column::ExpireTime)
        .limit(limit)
        .lock_exclusive()
        .all(txn)
        .await?;
    for row in over {
        row.delete(txn).await?;
    }
    Ok(())
}

/// Makes a folder due; without one there is nothing to throw away.
async fn throw_away(txn: &DatabaseTransaction, folder: &str, due: OffsetDateTime) -> Result<(), Error> {
    if folder.is_empty() {
        return Ok(());
    }
    let row = garbage::ActiveModel { folder: Set(folder.to_owned()), due_time: Set(due) };
    garbage::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}
