//! One table with every kind of column that services use.

use std::time::Duration;

use sea_orm::{IntoActiveModel, entity::prelude::*};
use sea_orm_migration::prelude::*;
use store::{Config, Db};
use time::OffsetDateTime;

pub(crate) mod item {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        #[sea_orm(unique)]
        pub(crate) name: String,
        pub(crate) count: i64,
        pub(crate) options: Json,
        pub(crate) body: Vec<u8>,
        pub(crate) created: TimeDateTimeWithTimeZone,
        pub(crate) finished: Option<TimeDateTimeWithTimeZone>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &'static str {
        "m001_initial"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is written so, and async_trait tells the difference")]
#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = sea_orm::Schema::new(manager.get_database_backend());
        manager.create_table(schema.create_table_from_entity(item::Entity)).await
    }
}

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial)]
    }
}

pub(crate) fn new(name: &str) -> item::Model {
    item::Model {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        count: 0,
        options: serde_json::json!({}),
        body: Vec::new(),
        created: OffsetDateTime::UNIX_EPOCH,
        finished: None,
    }
}

pub(crate) async fn open(config: &Config) -> Db {
    Db::open::<Migrator>(config).await.unwrap()
}

pub(crate) async fn insert(db: &Db, name: &str) -> Result<(), DbErr> {
    let row = new(name);
    db.write(async |txn| row.clone().into_active_model().insert(txn).await.map(|_| ())).await
}

pub(crate) async fn count(db: &Db) -> u64 {
    item::Entity::find().count(db.read()).await.unwrap()
}

/// Asks until the answer is yes; fails the test after `patience`.
pub(crate) async fn eventually(patience: Duration, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + patience;
    while !ask().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
