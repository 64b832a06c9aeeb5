//! Migrations. Append only: one that has been released never changes.

use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait,
    sea_orm::{DbErr, EntityTrait, Schema},
    sea_query::{Index, IndexCreateStatement},
};

use super::row::{attempt, cursor, delivery, secret};

/// All migrations, oldest first.
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial)]
    }
}

struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so")]
#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        async fn table<E: EntityTrait>(manager: &SchemaManager<'_>, entity: E) -> Result<(), DbErr> {
            let schema = Schema::new(manager.get_database_backend());
            manager.create_table(schema.create_table_from_entity(entity)).await
        }
        table(manager, cursor::Entity).await?;
        table(manager, delivery::Entity).await?;
        table(manager, attempt::Entity).await?;
        table(manager, secret::Entity).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn indexes() -> [IndexCreateStatement; 4] {
    use delivery::Column;
    [
        // One delivery for each event and receiver, however often the event log is read.
        Index::create()
            .name("ux_delivery_event")
            .table(delivery::Entity)
            .col(Column::EventId)
            .col(Column::Url)
            .unique()
            .to_owned(),
        // What is due.
        Index::create()
            .name("ix_delivery_due")
            .table(delivery::Entity)
            .col(Column::State)
            .col(Column::NextAttemptTime)
            .to_owned(),
        // A job's deliveries.
        Index::create()
            .name("ix_delivery_job")
            .table(delivery::Entity)
            .col(Column::Tenant)
            .col(Column::Job)
            .col(Column::Id)
            .to_owned(),
        // What the janitor removes.
        Index::create().name("ix_delivery_end").table(delivery::Entity).col(Column::EndTime).to_owned(),
    ]
}
