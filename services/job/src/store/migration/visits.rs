//! The visits of a host that are no pages of a job.

use sea_orm_migration::prelude::*;

use super::optional;

pub(super) struct Visits;

impl MigrationName for Visits {
    fn name(&self) -> &'static str {
        "m0008_visits"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Visits {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = optional("visits").json_binary().to_owned();
        manager.alter_table(Table::alter().table("host").add_column(column).to_owned()).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}
