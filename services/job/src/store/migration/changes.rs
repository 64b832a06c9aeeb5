//! What pages said, in a word, and how that differs from an earlier job.

use sea_orm_migration::prelude::*;

use super::optional;

pub(super) struct Changes;

impl MigrationName for Changes {
    fn name(&self) -> &'static str {
        "m0006_changes"
    }
}

/// Jobs that others compare themselves with right now must stay.
const BASELINES: &str =
    "CREATE INDEX job_baseline ON job (baseline) WHERE baseline IS NOT NULL AND end_time IS NULL";

const TRACKS: &str = "ALTER TABLE schedule ADD COLUMN track_changes boolean NOT NULL DEFAULT FALSE";

#[async_trait::async_trait]
impl MigrationTrait for Changes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("page", optional("content_key").binary().to_owned()),
            ("page", optional("change").text().to_owned()),
            ("page", optional("base").uuid().to_owned()),
            ("job", optional("baseline").uuid().to_owned()),
            ("job", optional("changes").json_binary().to_owned()),
        ];
        for (table, column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        for statement in [BASELINES, TRACKS] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}
