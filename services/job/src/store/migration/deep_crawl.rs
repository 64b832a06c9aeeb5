//! Pages that were found on other pages: where, by which rule, in which order they go, and which are the same.

use sea_orm_migration::prelude::*;

use super::{column, optional};

pub(super) struct DeepCrawl;

impl MigrationName for DeepCrawl {
    fn name(&self) -> &'static str {
        "m0003_deep_crawl"
    }
}

const STATEMENTS: [&str; 6] = [
    "DROP INDEX page_frontier",
    "CREATE INDEX page_frontier ON page (lane, tenant, priority, job_id, rank, idx) \
     WHERE state = 'pending' AND due_time IS NULL AND host_since IS NULL",
    "DROP INDEX page_parked",
    "CREATE INDEX page_parked ON page (lane, host, tenant, priority, job_id, rank, idx) \
     WHERE state = 'pending' AND host_since IS NOT NULL",
    // Pages that may lose their place to a better one.
    "CREATE INDEX page_worst ON page (job_id, rank, idx) \
     WHERE state = 'pending' AND dispatch_seq = 0 AND depth > 0 AND kind = 'page'",
    "CREATE INDEX page_print_band ON page_print (job_id, band, bits)",
];

#[async_trait::async_trait]
impl MigrationTrait for DeepCrawl {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for new in page_columns() {
            manager.alter_table(Table::alter().table("page").add_column(new).to_owned()).await?;
        }
        let discovery = optional("discovery").json_binary().to_owned();
        manager.alter_table(Table::alter().table("job").add_column(discovery).to_owned()).await?;
        manager.create_table(claim()).await?;
        manager.create_table(print()).await?;
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// One by one: SQLite adds one column with a statement.
fn page_columns() -> Vec<ColumnDef> {
    vec![
        column("depth").integer().default(0).to_owned(),
        column("rank").big_integer().default(0).to_owned(),
        optional("score").double().to_owned(),
        optional("found_on").uuid().to_owned(),
        column("rule").text().default("").to_owned(),
        optional("seed").text().to_owned(),
        column("kind").text().default("page").to_owned(),
        optional("found_time").big_integer().to_owned(),
        optional("first_dispatch_time").big_integer().to_owned(),
        column("new_links").big_integer().default(0).to_owned(),
    ]
}

/// What a page is known under: its addresses and its text. The first page of a job with a key keeps it.
fn claim() -> TableCreateStatement {
    Table::create()
        .table("page_claim")
        .col(column("job_id").uuid())
        .col(column("claim").binary())
        .col(column("page_id").uuid())
        .primary_key(Index::create().col("job_id").col("claim"))
        .to_owned()
}

/// SimHashes, each in four bands of 16 bits: two that are at most three bits apart agree in one band at least.
fn print() -> TableCreateStatement {
    Table::create()
        .table("page_print")
        .col(column("id").big_integer().auto_increment().primary_key())
        .col(column("job_id").uuid())
        .col(column("band").small_integer())
        .col(column("bits").integer())
        .col(column("simhash").big_integer())
        .col(column("page_id").uuid())
        .to_owned()
}
