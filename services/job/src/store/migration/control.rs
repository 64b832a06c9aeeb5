//! What owners do with their jobs: pause, retry, priority, deadline, labels.
//!
//! Pages of a paused job are put aside when they are met, with a `due_time` that never comes; `job.stale` says that its pages
//! have yet to follow its state and its priority.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

pub(super) struct Control;

impl MigrationName for Control {
    fn name(&self) -> &'static str {
        "m0003_control"
    }
}

const STATEMENTS: [&str; 7] = [
    "ALTER TABLE job ADD COLUMN deadline bigint",
    "ALTER TABLE job ADD COLUMN retry_of uuid",
    "ALTER TABLE job ADD COLUMN stale boolean NOT NULL DEFAULT FALSE",
    "CREATE INDEX job_deadline ON job (deadline) WHERE deadline IS NOT NULL AND end_time IS NULL",
    "CREATE INDEX job_stale ON job (id) WHERE stale",
    "CREATE INDEX label_list ON label (tenant, name, value, job_id)",
    "CREATE INDEX label_job ON label (job_id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Control {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let label = Table::create()
            .table("label")
            .col(ColumnDef::new("job_id").uuid().not_null())
            .col(ColumnDef::new("tenant").uuid().not_null())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("value").text().not_null())
            .primary_key(Index::create().col("job_id").col("name"))
            .to_owned();
        manager.create_table(label).await?;
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        let (each, value) = match db.get_database_backend() {
            DbBackend::Postgres => ("jsonb_each_text(job.labels)", "e.value"),
            _ => ("json_each(job.labels)", "e.value"),
        };
        let fill = format!(
            "INSERT INTO label (job_id, tenant, name, value) SELECT job.id, job.tenant, e.key, {value} FROM job, {each} e"
        );
        db.execute_unprepared(&fill).await?;
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}
