//! The tables as sea-orm sees them, and the way between rows and the noun.

use domain::{JobId, PageId, TenantId, Verdict};
use sea_orm::{ActiveValue::Set, DbErr, DeleteMany, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::document::{Artifact, Kind, PageKey, Record};

pub(super) mod document {
    //! Kept pages.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "document")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) job: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) page: Uuid,
        pub(crate) dispatch_seq: i64,
        pub(crate) verdict: String,
        pub(crate) size: i64,
        pub(crate) folder: String,
        pub(crate) artifacts: Json,
        pub(crate) store_time: TimeDateTimeWithTimeZone,
        pub(crate) expire_time: TimeDateTimeWithTimeZone,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod part {
    //! Documents and artifacts that are too small for the object store, by the names of their objects.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "part")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) job: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) page: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) dispatch_seq: i64,
        pub(crate) packed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod garbage {
    //! Folders of objects that no document names, or will not when they are due.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "garbage")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) folder: String,
        pub(crate) due_time: TimeDateTimeWithTimeZone,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod latest {
    //! The page that was last stored under each cache key.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "latest")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) cache_key: Vec<u8>,
        pub(crate) job: Uuid,
        pub(crate) page: Uuid,
        pub(crate) expire_time: TimeDateTimeWithTimeZone,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod session {
    //! Sessions: how much is kept in the clear, and what is kept sealed.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "session")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tenant: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) id: Uuid,
        pub(crate) ttl_ms: i64,
        pub(crate) create_time: TimeDateTimeWithTimeZone,
        pub(crate) use_time: TimeDateTimeWithTimeZone,
        pub(crate) expire_time: TimeDateTimeWithTimeZone,
        pub(crate) cookies: i64,
        pub(crate) origins: i64,
        pub(crate) size: i64,
        /// Empty: nothing is kept yet.
        pub(crate) sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An artifact in the column `artifacts`.
#[derive(Serialize, Deserialize)]
struct ArtifactJson {
    kind: String,
    content_type: String,
    size: u64,
}

/// The documents of a job: every query for a tenant starts here.
pub(super) fn of_job(tenant: TenantId, job: JobId) -> Select<document::Entity> {
    document::Entity::find()
        .filter(document::Column::Tenant.eq(tenant.0))
        .filter(document::Column::Job.eq(job.0))
}

/// The document of a page.
pub(super) fn of_page(key: PageKey) -> Select<document::Entity> {
    of_job(key.tenant, key.job).filter(document::Column::Page.eq(key.page.0))
}

/// One part of a page.
pub(super) fn part_of(key: PageKey, name: &str) -> Select<part::Entity> {
    part::Entity::find_by_id((key.tenant.0, key.job.0, key.page.0, name.to_owned()))
}

/// Deletes the parts of a page.
pub(super) fn parts_of(row: &document::Model) -> DeleteMany<part::Entity> {
    part::Entity::delete_many()
        .filter(part::Column::Tenant.eq(row.tenant))
        .filter(part::Column::Job.eq(row.job))
        .filter(part::Column::Page.eq(row.page))
}

impl From<&Record> for document::ActiveModel {
    fn from(record: &Record) -> Self {
        let artifacts = record.artifacts.iter().map(|artifact| {
            serde_json::json!(ArtifactJson {
                kind: artifact.kind.as_str().to_owned(),
                content_type: artifact.content_type.clone(),
                size: artifact.size,
            })
        });
        Self {
            tenant: Set(record.key.tenant.0),
            job: Set(record.key.job.0),
            page: Set(record.key.page.0),
            dispatch_seq: Set(record.dispatch_seq),
            verdict: Set(record.verdict.as_str().to_owned()),
            size: Set(record.size.cast_signed()),
            folder: Set(record.folder.clone()),
            artifacts: Set(artifacts.collect()),
            store_time: Set(record.store_time),
            expire_time: Set(record.expire_time),
        }
    }
}

impl TryFrom<document::Model> for Record {
    type Error = DbErr;

    fn try_from(row: document::Model) -> Result<Self, DbErr> {
        let artifacts: Vec<ArtifactJson> =
            serde_json::from_value(row.artifacts).map_err(|error| DbErr::Type(error.to_string()))?;
        Ok(Self {
            key: PageKey { tenant: TenantId(row.tenant), job: JobId(row.job), page: PageId(row.page) },
            dispatch_seq: row.dispatch_seq,
            verdict: row.verdict.parse::<Verdict>().map_err(|error| DbErr::Type(error.to_string()))?,
            size: row.size.cast_unsigned(),
            folder: row.folder,
            // A kind that this version does not know cannot be served by it.
            artifacts: artifacts.into_iter().filter_map(Artifact::from_json).collect(),
            store_time: row.store_time,
            expire_time: row.expire_time,
            cache_key: None,
        })
    }
}

impl Artifact {
    fn from_json(json: ArtifactJson) -> Option<Self> {
        let ArtifactJson { kind, content_type, size } = json;
        Some(Self { kind: Kind::parse(&kind)?, content_type, size })
    }
}
