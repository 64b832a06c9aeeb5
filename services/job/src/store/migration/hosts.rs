//! Hosts with their rates, and pages that wait for their host.
//!
//! A page that was looked at while its host was not due gets a `host_since` and leaves the frontier: picking never walks over
//! it again. `host.parked` says that a host has such pages, `host.busy` that it has as many out as it may.

use sea_orm_migration::prelude::*;

pub(super) struct Hosts;

impl MigrationName for Hosts {
    fn name(&self) -> &'static str {
        "m0002_hosts"
    }
}

const STATEMENTS: [&str; 10] = [
    "ALTER TABLE page ADD COLUMN host_since bigint",
    "ALTER TABLE page ADD COLUMN host_wait bigint NOT NULL DEFAULT 0",
    "DROP INDEX page_frontier",
    "DROP INDEX page_running",
    "CREATE INDEX page_frontier ON page (lane, tenant, priority, job_id, idx) \
     WHERE state = 'pending' AND due_time IS NULL AND host_since IS NULL",
    "CREATE INDEX page_parked ON page (lane, host, tenant, priority, job_id, idx) \
     WHERE state = 'pending' AND host_since IS NOT NULL",
    // With host and tenant, so that counting their pages reads the index only.
    "CREATE INDEX page_running ON page (lane, dispatch_time, host, tenant) WHERE state = 'running'",
    "CREATE INDEX host_due ON host (next_time) WHERE parked AND NOT busy",
    "CREATE INDEX host_busy ON host (key) WHERE busy",
    "CREATE INDEX host_age ON host (update_time)",
];

#[async_trait::async_trait]
impl MigrationTrait for Hosts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(host()).await?;
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("going back is not supported".to_owned()))
    }
}

fn host() -> TableCreateStatement {
    let required = |name: &'static str| {
        let mut column = ColumnDef::new(name);
        column.not_null();
        column
    };
    Table::create()
        .table("host")
        .col(required("key").text().primary_key())
        .col(required("next_time").big_integer())
        .col(required("known").boolean())
        .col(ColumnDef::new("latency").big_integer())
        .col(ColumnDef::new("crawl_delay").big_integer())
        .col(required("back_off").big_integer())
        .col(ColumnDef::new("hold_time").big_integer())
        .col(ColumnDef::new("throttle_time").big_integer())
        .col(required("throttles").big_integer())
        .col(required("parked").boolean())
        .col(required("busy").boolean())
        .col(ColumnDef::new("served").uuid())
        .col(required("update_time").big_integer())
        .to_owned()
}
