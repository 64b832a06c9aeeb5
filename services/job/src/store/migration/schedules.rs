//! Schedules, and which jobs they created.
//!
//! `schedule.next_time` is NULL while a schedule is paused: the index of due ones holds only those that may become due.

use sea_orm_migration::prelude::*;

use super::{column, optional};

pub(super) struct Schedules;

impl MigrationName for Schedules {
    fn name(&self) -> &'static str {
        "m0005_schedules"
    }
}

const STATEMENTS: [&str; 5] = [
    "ALTER TABLE job ADD COLUMN schedule uuid",
    "CREATE INDEX job_schedule ON job (schedule, id) WHERE schedule IS NOT NULL",
    "CREATE INDEX schedule_due ON schedule (next_time) WHERE next_time IS NOT NULL",
    "CREATE INDEX schedule_list ON schedule (tenant, id)",
    "CREATE UNIQUE INDEX schedule_request ON schedule (tenant, request_id) WHERE request_id IS NOT NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Schedules {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(schedule()).await?;
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}

fn schedule() -> TableCreateStatement {
    Table::create()
        .table("schedule")
        .col(column("id").uuid().primary_key())
        .col(column("tenant").uuid())
        .col(optional("cron").text())
        .col(optional("time_zone").text())
        .col(optional("every").big_integer())
        .col(column("job").json_binary())
        .col(column("labels").json_binary())
        .col(column("overlap").text())
        .col(column("paused").boolean())
        .col(optional("next_time").big_integer())
        .col(optional("last_time").big_integer())
        .col(optional("last_job").uuid())
        .col(optional("last_error").text())
        .col(column("fired").big_integer())
        .col(column("skipped").big_integer())
        .col(optional("request_id").text())
        .col(optional("request_hash").binary())
        .col(column("create_time").big_integer())
        .col(column("update_time").big_integer())
        .col(column("version").big_integer())
        .to_owned()
}
