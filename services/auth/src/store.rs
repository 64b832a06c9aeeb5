//! The only file that knows SQL exists. The tenant comes first, except where a credential is what tells the tenant.

mod migration;
mod row;

use domain::{KeyId, TenantId};
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryOrder, QuerySelect, entity::prelude::*,
};
use store::Db;
use time::OffsetDateTime;

use self::row::{api_key, first_start, signing_key, tenant};
use crate::{error::Error, key::Key, tenant::Tenant};

/// A key with what is stored of its secret.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) hash: Vec<u8>,
}

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct SealedKey {
    pub(crate) id: String,
    pub(crate) sealed: Vec<u8>,
    /// The public half, base64url, for people who look into the table.
    pub(crate) public: String,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) retire_time: Option<OffsetDateTime>,
}

/// Tenants, API keys and signing keys in the database.
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

    /// The tenant of the first start, if it has been.
    pub(crate) async fn first_tenant(&self) -> Result<Option<TenantId>, Error> {
        let row = first_start::Entity::find_by_id(FIRST).one(self.db.read()).await?;
        Ok(row.map(|row| TenantId(row.tenant)))
    }

    /// Creates the first tenant and its key. False, and nothing is created, if another process was faster.
    pub(crate) async fn create_first(&self, tenant: &Tenant, entry: &Entry) -> Result<bool, Error> {
        let (tenant, entry) = (tenant.clone(), entry.clone());
        let created = self
            .db
            .write(async move |txn: &DatabaseTransaction| {
                let row = first_start::ActiveModel { id: Set(FIRST), tenant: Set(tenant.id.0) };
                first_start::Entity::insert(row).exec_without_returning(txn).await?;
                insert(txn, tenant, entry).await
            })
            .await;
        match created {
            Ok(()) => Ok(true),
            Err(Error::Store(error)) if store::is_unique_violation(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a tenant and its first key.
    pub(crate) async fn create_tenant(&self, tenant: &Tenant, entry: &Entry) -> Result<(), Error> {
        let (tenant, entry) = (tenant.clone(), entry.clone());
        self.db.write(async move |txn: &DatabaseTransaction| insert(txn, tenant, entry).await).await
    }

    /// Adds a key to its tenant, unless `limit` keys of it can be used at `entry.key.create_time`.
    pub(crate) async fn add_key(&self, entry: &Entry, limit: u64) -> Result<(), Error> {
        let tenant = entry.key.tenant;
        let usable = Condition::all().add(api_key::Column::RevokeTime.is_null()).add(
            Condition::any()
                .add(api_key::Column::ExpireTime.is_null())
                .add(api_key::Column::ExpireTime.gt(entry.key.create_time)),
        );
        let entry = entry.clone();
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                // The tenant's row is the lock: two keys at once cannot both be the last that fits.
                tenant::Entity::find_by_id(tenant.0).lock_exclusive().one(txn).await?;
                if row::keys(tenant).filter(usable).count(txn).await? >= limit {
                    return Err(Error::TooManyKeys(limit));
                }
                insert_key(txn, entry).await
            })
            .await
    }

    /// The key with this hash, whoever's it is.
    pub(crate) async fn key_by_hash(&self, hash: Vec<u8>) -> Result<Option<Key>, Error> {
        let row = api_key::Entity::find().filter(api_key::Column::Hash.eq(hash)).one(self.db.read()).await?;
        Ok(row.map(Key::from))
    }

    /// A key of a tenant.
    pub(crate) async fn key(&self, tenant: TenantId, id: KeyId) -> Result<Option<Key>, Error> {
        let row = row::keys(tenant).filter(api_key::Column::Id.eq(id.0)).one(self.db.read()).await?;
        Ok(row.map(Key::from))
    }

    /// At most `limit` keys of a tenant, newest first, older than `before`.
    pub(crate) async fn keys(
        &self,
        tenant: TenantId,
        before: Option<KeyId>,
        limit: u64,
    ) -> Result<Vec<Key>, Error> {
        let mut query = row::keys(tenant);
        if let Some(before) = before {
            query = query.filter(api_key::Column::Id.lt(before.0));
        }
        let rows = query.order_by_desc(api_key::Column::Id).limit(limit).all(self.db.read()).await?;
        Ok(rows.into_iter().map(Key::from).collect())
    }

    /// Revokes a key of a tenant. A key that was revoked before keeps its time.
    pub(crate) async fn revoke(
        &self,
        tenant: TenantId,
        id: KeyId,
        now: OffsetDateTime,
    ) -> Result<Key, Error> {
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                let query = row::keys(tenant).filter(api_key::Column::Id.eq(id.0)).lock_exclusive();
                let row = query.one(txn).await?.ok_or(Error::KeyNotFound(id))?;
                if row.revoke_time.is_some() {
                    return Ok(row.into());
                }
                let mut row = row.into_active_model();
                row.revoke_time = Set(Some(now));
                Ok(row.update(txn).await?.into())
            })
            .await
    }

    /// All signing keys, newest first. There are few: one a month, and retired ones are deleted.
    pub(crate) async fn signing_keys(&self) -> Result<Vec<SealedKey>, Error> {
        let rows = signing_key::Entity::find()
            .order_by_desc(signing_key::Column::CreateTime)
            .order_by_desc(signing_key::Column::Kid)
            .all(self.db.read())
            .await?;
        Ok(rows.into_iter().map(SealedKey::from).collect())
    }

    /// Adds a signing key, retires all others, and deletes those that retired before `forget`.
    pub(crate) async fn rotate(&self, key: &SealedKey, forget: OffsetDateTime) -> Result<(), Error> {
        let key = key.clone();
        self.db
            .write(async move |txn: &DatabaseTransaction| {
                signing_key::Entity::update_many()
                    .col_expr(signing_key::Column::RetireTime, Expr::value(Some(key.create_time)))
                    .filter(signing_key::Column::RetireTime.is_null())
                    .exec(txn)
                    .await?;
                signing_key::Entity::delete_many()
                    .filter(signing_key::Column::RetireTime.lt(forget))
                    .exec(txn)
                    .await?;
                let row = signing_key::ActiveModel {
                    kid: Set(key.id),
                    sealed: Set(key.sealed),
                    public: Set(key.public),
                    create_time: Set(key.create_time),
                    retire_time: Set(None),
                };
                signing_key::Entity::insert(row).exec_without_returning(txn).await?;
                Ok(())
            })
            .await
    }
}

/// The one id in the table `first_start`.
const FIRST: i32 = 1;

impl From<signing_key::Model> for SealedKey {
    fn from(row: signing_key::Model) -> Self {
        let signing_key::Model { kid, sealed, public, create_time, retire_time } = row;
        Self { id: kid, sealed, public, create_time, retire_time }
    }
}

async fn insert(txn: &DatabaseTransaction, tenant: Tenant, entry: Entry) -> Result<(), Error> {
    tenant::Entity::insert(tenant::ActiveModel::from(tenant)).exec_without_returning(txn).await?;
    insert_key(txn, entry).await
}

async fn insert_key(txn: &DatabaseTransaction, entry: Entry) -> Result<(), Error> {
    api_key::Entity::insert(api_key::ActiveModel::from(entry)).exec_without_returning(txn).await?;
    Ok(())
}
