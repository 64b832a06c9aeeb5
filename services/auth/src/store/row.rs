//! The tables as sea-orm sees them, and the way from rows to the nouns.

use domain::{KeyId, TenantId};
use sea_orm::{ActiveValue::Set, entity::prelude::*};

use super::Entry;
use crate::{key::Key, tenant::Tenant};

pub(super) mod tenant {
    //! Tenants.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenant")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) display_name: String,
        pub(crate) create_time: TimeDateTimeWithTimeZone,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod first_start {
    //! At most one row: which tenant the first start made. It keeps two replicas from making two.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "first_start")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: i32,
        pub(crate) tenant: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod api_key {
    //! API keys.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_key")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) tenant: Uuid,
        pub(crate) display_name: String,
        pub(crate) prefix: String,
        pub(crate) hash: Vec<u8>,
        /// Words of `domain::Scope`, separated by spaces.
        pub(crate) scopes: String,
        pub(crate) create_time: TimeDateTimeWithTimeZone,
        pub(crate) expire_time: Option<TimeDateTimeWithTimeZone>,
        pub(crate) revoke_time: Option<TimeDateTimeWithTimeZone>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod signing_key {
    //! Keys that sign tokens.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_key")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) kid: String,
        /// The secret half, sealed with the pepper.
        pub(crate) sealed: Vec<u8>,
        /// The public half, base64url.
        pub(crate) public: String,
        pub(crate) create_time: TimeDateTimeWithTimeZone,
        pub(crate) retire_time: Option<TimeDateTimeWithTimeZone>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The API keys of a tenant: every query for a tenant starts here.
pub(super) fn keys(tenant: TenantId) -> Select<api_key::Entity> {
    api_key::Entity::find().filter(api_key::Column::Tenant.eq(tenant.0))
}

impl From<Tenant> for tenant::ActiveModel {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: Set(tenant.id.0),
            display_name: Set(tenant.display_name),
            create_time: Set(tenant.create_time),
        }
    }
}

impl From<Entry> for api_key::ActiveModel {
    fn from(Entry { key, hash }: Entry) -> Self {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        Self {
            id: Set(key.id.0),
            tenant: Set(key.tenant.0),
            display_name: Set(key.display_name),
            prefix: Set(key.prefix),
            hash: Set(hash),
            scopes: Set(scopes.join(" ")),
            create_time: Set(key.create_time),
            expire_time: Set(key.expire_time),
            revoke_time: Set(key.revoke_time),
        }
    }
}

impl From<api_key::Model> for Key {
    fn from(row: api_key::Model) -> Self {
        Self {
            id: KeyId(row.id),
            tenant: TenantId(row.tenant),
            display_name: row.display_name,
            prefix: row.prefix,
            // A scope that this version does not know grants nothing.
            scopes: row.scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
            create_time: row.create_time,
            expire_time: row.expire_time,
            revoke_time: row.revoke_time,
        }
    }
}
