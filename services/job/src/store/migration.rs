//! The tables, append only.
//!
//! Times are microseconds since 1970 in a bigint: SQLite would keep them as texts, whose order is not that of the times.
//! States and verdicts are words. `page.due_time` is NULL for a page that is due: the frontier index holds only those, so
//! that picking never walks over pages in back-off.

#![expect(elided_lifetimes_in_paths, reason = "the trait of sea-orm-migration is written so")]

mod attempts;
mod changes;
mod control;
mod deep_crawl;
mod hosts;
mod schedules;
mod visits;

use sea_orm_migration::prelude::*;

pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Initial),
            Box::new(hosts::Hosts),
            Box::new(deep_crawl::DeepCrawl),
            Box::new(control::Control),
            Box::new(schedules::Schedules),
            Box::new(changes::Changes),
            Box::new(attempts::Attempts),
            Box::new(visits::Visits),
        ]
    }
}

struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

const INDEXES: [&str; 13] = [
    "CREATE UNIQUE INDEX job_request ON job (tenant, request_id) WHERE request_id IS NOT NULL",
    "CREATE INDEX job_request_age ON job (create_time) WHERE request_id IS NOT NULL",
    "CREATE INDEX job_list ON job (tenant, id)",
    "CREATE INDEX job_list_state ON job (tenant, state, id)",
    "CREATE INDEX job_ended ON job (end_time) WHERE end_time IS NOT NULL",
    "CREATE UNIQUE INDEX page_url ON page (job_id, url_key)",
    "CREATE UNIQUE INDEX page_list ON page (job_id, idx)",
    "CREATE INDEX page_frontier ON page (lane, tenant, priority, job_id, idx) WHERE state = 'pending' AND due_time IS NULL",
    "CREATE INDEX page_waiting ON page (due_time) WHERE state = 'pending' AND due_time IS NOT NULL",
    "CREATE INDEX page_running ON page (lane, dispatch_time) WHERE state = 'running'",
    "CREATE UNIQUE INDEX event_log ON event (job_id, sequence)",
    "CREATE INDEX event_webhook ON event (cursor) WHERE has_webhook",
    "CREATE INDEX event_age ON event (time)",
];

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(job()).await?;
        manager.create_table(page()).await?;
        manager.create_table(event()).await?;
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["event", "page", "job"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn column(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.not_null();
    column
}

fn optional(name: &'static str) -> ColumnDef {
    ColumnDef::new(name)
}

fn job() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("job")
        .col(column("id").uuid().primary_key())
        .col(column("tenant").uuid())
        .col(column("state").text())
        .col(column("priority").small_integer())
        .col(column("spec").json_binary())
        .col(column("spec_version").integer())
        .col(optional("webhook").json_binary())
        .col(column("labels").json_binary())
        .col(column("first_urls").json_binary());
    for count in ["found", "succeeded", "failed", "skipped", "cancelled", "pending", "running"] {
        table.col(column(count).big_integer());
    }
    table
        .col(column("verdicts").json_binary())
        .col(column("event_sequence").big_integer())
        .col(optional("traceparent").text())
        .col(optional("request_id").text())
        .col(optional("request_hash").binary())
        .col(column("create_time").big_integer())
        .col(optional("start_time").big_integer())
        .col(optional("end_time").big_integer())
        .col(optional("progress_time").big_integer())
        .to_owned()
}

fn page() -> TableCreateStatement {
    Table::create()
        .table("page")
        .col(column("id").uuid().primary_key())
        .col(column("job_id").uuid())
        .col(column("tenant").uuid())
        .col(column("idx").big_integer())
        .col(column("url").text())
        .col(optional("url_key").binary())
        .col(column("host").text())
        .col(column("lane").text())
        .col(column("lane_reason").text())
        .col(column("priority").small_integer())
        .col(column("state").text())
        .col(optional("verdict").text())
        .col(column("detail").text())
        .col(optional("http_status").integer())
        .col(column("attempts").integer())
        .col(column("infra_faults").integer())
        .col(column("crashes").integer())
        .col(column("dispatch_seq").big_integer())
        .col(optional("dispatch_time").big_integer())
        .col(optional("due_time").big_integer())
        .col(optional("end_time").big_integer())
        .col(column("stored").boolean())
        .to_owned()
}

fn event() -> TableCreateStatement {
    Table::create()
        .table("event")
        .col(column("cursor").big_integer().auto_increment().primary_key())
        .col(column("job_id").uuid())
        .col(column("tenant").uuid())
        .col(column("sequence").big_integer())
        .col(column("type").text())
        .col(column("snapshot").json_binary())
        .col(column("has_webhook").boolean())
        .col(column("time").big_integer())
        .col(optional("traceparent").text())
        .to_owned()
}
