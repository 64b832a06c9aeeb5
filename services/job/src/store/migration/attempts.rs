//! The attempts at a page, one by one.

use sea_orm_migration::prelude::*;

use super::optional;

pub(super) struct Attempts;

impl MigrationName for Attempts {
    fn name(&self) -> &'static str {
        "m0007_attempts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Attempts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = optional("history").json_binary().to_owned();
        manager.alter_table(Table::alter().table("page").add_column(column).to_owned()).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}
